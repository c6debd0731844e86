"""DICOM files made here, in the kinds that scanners write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)

from unet.io.images import ImageError, Picture, read_picture

RAMP = np.arange(240, dtype=np.uint8).reshape(12, 20)  # asymmetric: 12 high, 20 wide


def write(path: Path, pixels: np.ndarray, *, frames: int = 1, **tags) -> Path:
    """Write pixels `(H, W)`, `(H, W, 3)` or, with frames > 1, `(N, H, W)`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    shape = pixels.shape[1:] if frames > 1 else pixels.shape
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 3 if len(shape) == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    if len(shape) == 3:
        dataset.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PatientName = "SECRET^NAME"
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def region(width: int, delta_x: float, delta_y: float, **tags) -> Dataset:
    dataset = Dataset()
    dataset.RegionSpatialFormat = 1
    dataset.PhysicalUnitsXDirection = dataset.PhysicalUnitsYDirection = 3
    dataset.PhysicalDeltaX, dataset.PhysicalDeltaY = delta_x, delta_y
    dataset.RegionLocationMinX0 = dataset.RegionLocationMinY0 = 0
    dataset.RegionLocationMaxX1, dataset.RegionLocationMaxY1 = width, 12
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def test_grey_pixels_come_back_exactly_whatever_the_files_name(tmp_path):
    picture = read_picture(write(tmp_path / "scan", RAMP))
    np.testing.assert_array_equal(picture.pixels, RAMP)
    assert (picture.spacing_mm, picture.frames) == (None, 1)


def test_colour_stays_colour(tmp_path):
    colour = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=2)
    np.testing.assert_array_equal(read_picture(write(tmp_path / "scan.dcm", colour)).pixels, colour)


def test_monochrome1_is_inverted_so_that_bright_is_white(tmp_path):
    path = write(tmp_path / "scan.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_picture(path).pixels, 255 - RAMP)


def test_twelve_bits_are_scaled_by_their_range(tmp_path):
    values = RAMP.astype(np.uint16) * 10
    path = write(tmp_path / "scan.dcm", values, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_picture(path).pixels, np.round(values / 4095 * 255))


def test_a_window_is_applied(tmp_path):
    path = write(tmp_path / "scan.dcm", RAMP.astype(np.uint16), WindowCenter=100, WindowWidth=101)
    pixels = read_picture(path).pixels
    assert (pixels[RAMP <= 49] == 0).all()
    assert (pixels[RAMP > 150] == 255).all()
    assert pixels[RAMP == 100].astype(int) == pytest.approx(128, abs=2)


def test_a_window_after_a_falling_slope_does_not_invert(tmp_path):
    tags = {"RescaleSlope": -1, "RescaleIntercept": 255}
    plain = read_picture(write(tmp_path / "a.dcm", RAMP, **tags)).pixels
    window = {"WindowCenter": 128, "WindowWidth": 256}
    windowed = read_picture(write(tmp_path / "b.dcm", RAMP, **tags, **window)).pixels
    assert np.abs(plain.astype(int) - windowed).max() <= 1
    np.testing.assert_array_equal(plain, 255 - RAMP)


def lut(entries: np.ndarray, bits: int, words: bool) -> Dataset:
    dataset = Dataset()
    dataset.LUTDescriptor = [len(entries), 0, bits]
    dataset.add_new("LUTData", "OW", entries.astype("<u2" if words else np.uint8).tobytes())
    return dataset


@pytest.mark.parametrize("words", [True, False])
def test_a_table_of_8_bits_for_deeper_pixels_does_not_wrap(tmp_path, words):
    values = RAMP.astype(np.uint16) * 17
    table = np.round(np.sqrt(np.arange(4096) / 4095) * 255).astype(np.uint8)
    tags = {"BitsStored": 12, "HighBit": 11, "VOILUTSequence": [lut(table, 8, words)]}
    picture = read_picture(write(tmp_path / "scan.dcm", values, **tags))
    np.testing.assert_array_equal(picture.pixels, table[values])


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": None, "WindowWidth": None},
        {"VOILUTSequence": []},
        {"SequenceOfUltrasoundRegions": [Dataset()]},
    ],
)
def test_what_says_nothing_is_no_damage(tmp_path, tags):
    for name in ("PhysicalUnitsXDirection", "PhysicalUnitsYDirection"):
        for one in tags.get("SequenceOfUltrasoundRegions", []):
            setattr(one, name, 3)
    picture = read_picture(write(tmp_path / "scan.dcm", RAMP, **tags))
    np.testing.assert_array_equal(picture.pixels, RAMP)
    assert picture.spacing_mm is None


def test_signed_and_rescaled_values_keep_their_order(tmp_path):
    values = (RAMP.astype(np.int16) - 120) * 200
    path = write(tmp_path / "scan.dcm", values, RescaleSlope=2, RescaleIntercept=-7)
    pixels = read_picture(path).pixels.ravel().astype(int)
    assert (np.diff(pixels) >= 0).all()
    assert pixels[0] < 40
    assert pixels[-1] > 210


def test_a_frame_of_many_is_read(tmp_path):
    clip = np.stack([RAMP, RAMP // 2, RAMP // 4])
    path = write(tmp_path / "clip.dcm", clip, frames=3)
    for number in range(3):
        picture = read_picture(path, number)
        np.testing.assert_array_equal(picture.pixels, clip[number])
        assert picture.frames == 3
    with pytest.raises(ImageError, match="no frame 4; the file holds 3"):
        read_picture(path, 3)


def test_the_spacing_of_b_mode_regions_is_used(tmp_path):
    doppler = region(100, 0.5, 0.5, RegionSpatialFormat=3)
    regions = [region(5, 0.01, 0.02), region(20, 0.01, -0.02), doppler]
    path = write(tmp_path / "a.dcm", RAMP, SequenceOfUltrasoundRegions=regions)
    assert read_picture(path).spacing_mm == pytest.approx((0.2, 0.1))


def test_pixel_spacing_is_used_without_regions_and_nonsense_is_not(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, PixelSpacing=[0.3, 0.1])
    assert read_picture(path).spacing_mm == (0.3, 0.1)
    for nonsense in ([0, 0], [0.3, 0.1, 0.2], [0.3], [1e30, 0.1]):
        path = write(tmp_path / "b.dcm", RAMP, PixelSpacing=nonsense)
        assert read_picture(path).spacing_mm is None
    seconds = region(20, 0.01, 0.01, PhysicalUnitsXDirection=4)  # an M-mode region
    path = write(tmp_path / "c.dcm", RAMP, SequenceOfUltrasoundRegions=[seconds])
    assert read_picture(path).spacing_mm is None


@pytest.mark.parametrize("missing", ["Red", "Blue"])
def test_a_palette_without_one_of_its_colours_is_a_sentence(tmp_path, missing):
    names = [f"{name}PaletteColorLookupTable" for name in ("Red", "Green", "Blue")]
    table = np.arange(256, dtype=np.uint16) * 257
    tags = {f"{name}Data": table.tobytes() for name in names if not name.startswith(missing)}
    tags |= {f"{name}Descriptor": [256, 0, 16] for name in names}
    empty = {f"{missing}PaletteColorLookupTableData": b""}
    path = write(
        tmp_path / "scan.dcm", RAMP, PhotometricInterpretation="PALETTE COLOR", **tags, **empty
    )
    with pytest.raises(ImageError, match=r"scan\.dcm: "):
        read_picture(path)


def test_an_element_of_an_unknown_kind_is_a_sentence(tmp_path):
    path = write(tmp_path / "scan.dcm", RAMP)
    content = path.read_bytes()
    syntax = content.index(b"\x02\0\x10\0UI")
    path.write_bytes(content[: syntax + 4] + b"QI" + content[syntax + 6 :])
    with pytest.raises(ImageError, match=r"a DICOM file that is damaged"):
        read_picture(path)


@pytest.mark.parametrize("kept", [140, 400, 600])
def test_a_cut_off_file_is_a_sentence_without_folder_or_patient(tmp_path, kept):
    path = write(tmp_path / "scan.dcm", RAMP)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ImageError) as error:
        read_picture(path)
    assert str(error.value).startswith("scan.dcm: ")
    assert "SECRET" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_a_file_without_pixels_is_a_sentence(tmp_path):
    path = write(tmp_path / "scan.dcm", RAMP)
    import pydicom

    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(ImageError, match="without an image"):
        read_picture(path)


def test_an_ordinary_image_is_read_by_the_same_function(tmp_path):
    from PIL import Image

    Image.fromarray(RAMP).save(tmp_path / "scan.png")
    picture = read_picture(tmp_path / "scan.png")
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.pixels, RAMP)


COMPRESSED = (
    "JPEGLSNearLossless_08", "JPEGLSNearLossless_16", "MR_small_jpeg_ls_lossless", "JPEG2000",
    "MR_small_jp2klossless", "693_J2KI", "GDCMJ2K_TextGBR", "MR_small_RLE", "SC_rgb_rle",
    "SC_rgb_jpeg", "SC_rgb_jpeg_lossy_gdcm", "SC_rgb_jls_lossy_line", "SC_rgb_small_odd_jpeg",
    "examples_jpeg2k", "examples_palette", "examples_ybr_color", "SC_ybr_full_422_uncompressed",
)  # fmt: skip


SHOWN_RANGE = {
    # No window: the range of the bits that are used, at least 8.
    "JPEGLSNearLossless_08": (0, 255), "JPEGLSNearLossless_16": (0, 65535),
    "JPEG2000": (-256, 255),
    # A window of centre c and width w shows c - 0.5 ± (w - 1) / 2 (PS3.3 C.11.2.1.2).
    **dict.fromkeys(("MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "MR_small_RLE"),
                    (-200, 1399)),
    "693_J2KI": (-10, 89),
}  # fmt: skip
"""Values shown black and white, of the grey ones."""


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_usual_kind_of_compression_and_colour_is_read(name):
    """pydicom's own examples, as pydicom decodes them."""
    path = get_testdata_file(f"{name}.dcm")
    picture = read_picture(path)
    dataset = dcmread(path)
    assert picture.pixels.shape[:2] == (dataset.Rows, dataset.Columns)
    assert picture.pixels.dtype == np.uint8
    expected = dataset.pixel_array
    if "PALETTE" in dataset.PhotometricInterpretation:
        expected = apply_color_lut(expected, dataset)[..., :3]
        expected = expected // (np.iinfo(expected.dtype).max // 255)
    expected = expected[0] if picture.frames > 1 else expected
    if expected.ndim == 3:
        assert np.abs(picture.pixels.astype(int) - expected).max() <= 2
    else:
        low, high = SHOWN_RANGE[name]
        values = apply_modality_lut(expected, dataset)
        by_hand = np.clip((values - low) / (high - low), 0, 1) * 255
        assert np.abs(picture.pixels - by_hand).max() <= 1


def test_a_compression_that_is_not_read_is_named_with_what_to_do():
    with pytest.raises(ImageError, match=r"JPEG Extended .* is not read here\. Export it as unc"):
        read_picture(get_testdata_file("JPGExtended.dcm"))


def encapsulated(path: Path, frame: bytes, syntax, rows: int, columns: int) -> Path:
    """A file that says it is so large, with one compressed frame that may say something else."""
    write(path, np.zeros((rows, columns), np.uint8))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("kind", ["jpeg", "jpeg-ls", "jpeg2000"])
def test_a_frame_that_is_larger_than_its_file_says_is_not_decoded(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((600, 500), np.uint8)).save(
        buffer, "JPEG2000" if kind == "jpeg2000" else "JPEG"
    )
    frame, syntax = buffer.getvalue(), JPEGBaseline8Bit
    if kind == "jpeg2000":
        syntax = JPEG2000Lossless
    if kind == "jpeg-ls":
        frame, syntax = frame.replace(b"\xff\xc0", b"\xff\xf7"), JPEGLSLossless
    path = encapsulated(tmp_path / "bomb", frame, syntax, 10, 10)
    with pytest.raises(ImageError, match="10×10 pixels by its header, its picture 500×600"):
        read_picture(path)


def test_a_frame_of_very_many_scans_is_not_decoded(tmp_path):
    frame = b"\xff\xd8" + 100 * b"\xff\xda\0\0" + b"\xff\xd9"
    path = encapsulated(tmp_path / "slow", frame, JPEGBaseline8Bit, 10, 10)
    with pytest.raises(ImageError, match="a JPEG of too many scans"):
        read_picture(path)


def test_run_lengths_that_inflate_beyond_the_image_are_not_decoded(tmp_path):
    header = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    bomb = header + b"\x81\x00" * 5000  # 5000 runs of 128
    path = encapsulated(tmp_path / "bomb", bomb, RLELossless, 10, 10)
    with pytest.raises(ImageError, match="more than its size says"):
        read_picture(path)
    honest = header + b"\x9d\x07"  # a run of 100
    picture = read_picture(encapsulated(tmp_path / "honest", honest, RLELossless, 10, 10))
    assert (picture.pixels == 7).all()


def test_the_header_is_kept_without_pixels_and_private_elements_and_shown_nowhere(tmp_path):
    raw = Dataset()
    raw.add_new(0x00090010, "LO", "ACME")
    raw.add_new(0x00091001, "OB", b"\0" * 1000)
    path = write(tmp_path / "scan.dcm", RAMP)
    dataset = dcmread(path)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Müller^Änne"
    dataset.update(raw)
    dataset.save_as(path)
    picture = read_picture(path)
    assert str(picture.header.PatientName) == "Müller^Änne"
    assert "PixelData" not in picture.header
    assert not [element for element in picture.header if element.tag.is_private]
    assert "Änne" not in repr(picture)
    assert picture.frame == 0


def jpeg_of(pixels: np.ndarray, *, adobe: int | None = None, jfif: bool = True, **options) -> bytes:
    """A JPEG, with Adobe's marker of that transform, or without JFIF's."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    content = buffer.getvalue()
    if not jfif:
        content = content[:2] + content[4 + int.from_bytes(content[4:6]) :]
    if adobe is not None:
        marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([adobe])
        content = content[:2] + marker + content[2:]
    return content


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize(
    "how",
    [{"jfif": True}, {"jfif": False}, {"jfif": False, "adobe": 1}, {"jfif": True, "adobe": 1}],
    ids=str,
)
def test_the_colours_of_a_jpeg_are_what_it_says_itself(tmp_path, how, label):
    """Files that say "RGB" of subsampled YCbCr, and Adobe's marker under a right label."""
    pixels = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :], 48, axis=0)
    colours = np.stack([pixels, pixels[:, ::-1], np.full_like(pixels, 90)], axis=-1)
    path = write(tmp_path / "scan", np.zeros_like(colours))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = label
    dataset.PixelData = encapsulate([jpeg_of(colours, subsampling=2, **how)])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    picture = read_picture(path)
    assert np.abs(picture.pixels.astype(int) - colours).mean() < 6
    assert picture.header.LossyImageCompression == "01"


@pytest.mark.parametrize("descriptor", [[256, 0, 8], [256, 0, 16]])
def test_a_palette_of_8_bits_in_16_is_as_bright_as_it_says(tmp_path, descriptor):
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = descriptor
        tags[f"{name}PaletteColorLookupTableData"] = np.arange(256, dtype="<u2").tobytes()
    path = write(tmp_path / "scan", np.arange(256, dtype=np.uint8).reshape(16, 16), **tags)
    pixels = read_picture(path).pixels
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    np.testing.assert_array_equal(grey.ravel(), np.arange(256))


def test_regions_of_different_scales_give_no_millimetres(tmp_path):
    regions = [region(20, 0.01, 0.01), region(10, 0.02, 0.02)]
    path = write(tmp_path / "scan", RAMP, SequenceOfUltrasoundRegions=regions)
    assert read_picture(path).spacing_mm is None
    regions[1] = region(10, 0.01, 0.01)
    path = write(tmp_path / "scan", RAMP, SequenceOfUltrasoundRegions=regions)
    assert read_picture(path).spacing_mm == pytest.approx((0.1, 0.1))


def test_frames_of_a_deep_clip_are_shown_alike(tmp_path):
    frames = np.full((2, 6, 8), 1000, np.uint16)
    frames[1, 0, 0] = 1030  # one bit more
    path = write(tmp_path / "clip", frames, frames=2)
    first, second = (read_picture(path, frame).pixels for frame in (0, 1))
    np.testing.assert_array_equal(first[1:], second[1:])


def test_what_pads_a_picture_says_nothing_of_its_range(tmp_path):
    pixels = np.arange(48, dtype=np.int16).reshape(6, 8) * 4
    pixels[0, 0] = -32768
    path = write(tmp_path / "scan", pixels, PixelPaddingValue=-32768)
    assert np.ptp(read_picture(path).pixels) > 150


def test_an_empty_slope_is_as_if_it_were_not_there(tmp_path):
    path = write(tmp_path / "scan", RAMP, RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(read_picture(path).pixels, RAMP)
