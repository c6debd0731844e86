"""Damaged compressed DICOM: a decoder that ends its process must not end this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

from unet.io import dicom_decoders
from unet.io.images import ImageError, read_picture

READ = """
import sys
from unet.io.images import ImageError, read_picture
try:
    read_picture(sys.argv[1])
except ImageError as error:
    print(error)
"""


def damaged(to: Path, name: str, offset: int, value: int) -> Path:
    """One of pydicom's own files with one byte of its frame replaced."""
    source = Path(get_testdata_file(name))
    frame = get_frame(dcmread(source).PixelData, 0, number_of_frames=1)
    content = bytearray(source.read_bytes())
    content[content.find(frame[:60]) + offset] = value
    to.write_bytes(content)
    return to


@pytest.mark.parametrize(
    ("name", "offset"),  # the length of a segment, the number of a marker, the size of a tile
    [("SC_rgb_jpeg.dcm", 3), ("SC_rgb_jpeg_gdcm.dcm", 3), ("JPEG2000.dcm", 42)],
    ids=["baseline", "lossless", "2000"],
)
def test_a_damaged_frame_ends_no_process(tmp_path, name, offset):
    path = damaged(tmp_path / "scan.dcm", name, offset, 0xFF)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-300:]
    assert done.stdout == "" or done.stdout.startswith("scan.dcm: a DICOM file that is damaged")


def test_lossless_jpeg_comes_back_exactly():
    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm")
    expected = dcmread(path).pixel_array
    np.testing.assert_array_equal(read_picture(path).pixels, expected)


def test_a_frame_that_is_computed_on_for_ever_is_given_up(tmp_path, monkeypatch):
    endless = dicom_decoders.PROGRAM.split("import gdcm")[0] + "\nwhile True: pass"
    monkeypatch.setattr(dicom_decoders, "PROGRAM", endless)
    monkeypatch.setattr(dicom_decoders, "CPU_S", 1)
    for name in ("SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"):
        with pytest.raises(ImageError, match="a DICOM file that is damaged"):
            read_picture(get_testdata_file(name))
