"""Which decoder reads a compressed DICOM frame, and GDCM in a process of its own.

GDCM reads the most kinds, but on some damaged frames it ends the process it runs in. So it is asked
last, for what no other decoder here reads (lossless JPEG) or would not read (some JPEG 2000), and
apart. JPEG-LS is read there too: on a few damaged kilobytes every decoder of it computes for many
seconds, which only a process of its own can be kept from.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
)

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import DecodeRunner

LABEL = "apart"
"""Name of this module's decoder for pydicom."""
DECODERS = {
    JPEGBaseline8Bit: ("pillow",),
    JPEGExtended12Bit: ("pillow",),
    JPEG2000: ("pillow", LABEL),
    JPEG2000Lossless: ("pillow", LABEL),
    JPEGLSLossless: (LABEL,),
    JPEGLSNearLossless: (LABEL,),
    JPEGLossless: (LABEL,),
    JPEGLosslessSV1: (LABEL,),
}
"""Which of pydicom's decoders are asked in turn; pydicom would ask GDCM first, in this process."""
FRAME_FIRST = {
    JPEG2000: "j2k_precision",
    JPEG2000Lossless: "j2k_precision",
    JPEGLSLossless: "jls_precision",
    JPEGLSNearLossless: "jls_precision",
}
"""Under which name pydicom knows the bits that a frame's own header says."""
DECODER_DEPENDENCIES = {
    syntax: ("gdcm>=3.2",) for syntax, names in DECODERS.items() if LABEL in names
}
"""Dependencies that pydicom asks of a decoder's module."""
CPU_S, SAMPLES_A_SECOND = 2, 5_000_000
"""Seconds of computing that a frame may take, and one more for so many samples: whole frames take
less than half of it."""
ANSWER_TIMEOUT_S = 30
"""Seconds by the clock, on a machine that has much else to do."""

PROGRAM = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
except ImportError:  # not on Windows
    pass
import gdcm
syntax, photometric = sys.argv[2:4]
columns, rows, samples, planar, allocated, stored, signed = map(int, sys.argv[4:])
fragment = gdcm.Fragment()
fragment.SetByteStringValue(sys.stdin.buffer.read())
fragments = gdcm.SequenceOfFragments.New()
fragments.AddFragment(fragment)
element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
element.SetValue(fragments.__ref__())
image = gdcm.Image()
image.SetNumberOfDimensions(2)
image.SetDimensions((columns, rows, 1))
image.SetDataElement(element)
kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
if samples > 1:
    image.SetPlanarConfiguration(planar)
image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
image.SetPixelFormat(gdcm.PixelFormat(samples, allocated, stored, stored - 1, signed))
sys.stdout.buffer.write(image.GetBuffer().encode("utf-8", "surrogateescape"))
"""


def decoded(dataset: Dataset, frame: int) -> np.ndarray:
    """A frame, from 0, of the file's own type and size; YBR becomes RGB.

    Raises:
        NotImplementedError: No decoder here reads its transfer syntax.
        Exception: The frame is damaged; of many kinds.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and dataset.SamplesPerPixel == 3:
        count = int(dataset.get("NumberOfFrames") or 1)
        content = get_frame(dataset.PixelData, frame, number_of_frames=count)
        return _rgb(content, dataset.PhotometricInterpretation)
    *first, last = DECODERS.get(syntax, ("",))  # "": pydicom's choice
    for name in first:
        try:
            return pixel_array(dataset, index=frame, decoding_plugin=name)
        except Exception:  # decoders raise many kinds; the last one's is told
            continue
    return pixel_array(dataset, index=frame, decoding_plugin=last)


def _rgb(content: bytes, label: str) -> np.ndarray:
    """A JPEG's colours, uint8 `(H, W, 3)`, by what it says itself; else by what the file says.

    Files say "RGB" of frames that are none, and pydicom would turn some that Pillow has turned.
    """
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        says = {"jfif", "adobe_transform"} & set(image.info)
        sampling, names = {layer[1:3] for layer in image.layer}, [layer[0] for layer in image.layer]
        if label == "RGB" and not says and len(sampling) == 1 and bytes(names) != b"RGB":
            image.draft("YCbCr", image.size)  # the components as they are
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))


def is_available(uid: str) -> bool:
    """Return True: GDCM is looked for in the decoder's own process."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """A frame's decoded bytes, as pydicom asks a decoder for them.

    Raises:
        ValueError: The frame is damaged.
    """
    stored = runner.bits_stored
    if runner.transfer_syntax in FRAME_FIRST:  # what the frame says goes before the file
        stored = runner.get_option(FRAME_FIRST[runner.transfer_syntax], stored)
        runner.set_option("bits_allocated", 8 if stored <= 8 else 16 if stored <= 16 else 32)
    if runner.transfer_syntax in JPEGLSTransferSyntaxes:
        if stored in (6, 7):
            raise ValueError("GDCM reads no JPEG-LS of so many bits")
        runner.set_option("planar_configuration", 0)  # in which GDCM gives it
    facts = (
        runner.columns, runner.rows, runner.samples_per_pixel,
        runner.planar_configuration if runner.samples_per_pixel > 1 else 0,
        runner.bits_allocated, stored, runner.pixel_representation,
    )  # fmt: skip
    samples = runner.rows * runner.columns * runner.samples_per_pixel
    texts = (
        str(CPU_S + samples // SAMPLES_A_SECOND),
        str(runner.transfer_syntax),
        str(runner.photometric_interpretation),
    )
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, *texts, *map(str, facts)],
            input=src, capture_output=True, timeout=ANSWER_TIMEOUT_S, check=True,
        )  # fmt: skip
    except subprocess.SubprocessError:  # what it has said on the way would help nobody
        raise ValueError("a damaged frame") from None
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):  # GDCM has made it so
        runner.set_option("photometric_interpretation", "RGB")
    return done.stdout


for _syntax in DECODER_DEPENDENCIES:  # here, for it may be done but once
    get_decoder(_syntax).add_plugin(LABEL, (__name__, decode_frame.__name__))
