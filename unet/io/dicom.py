"""One frame of a DICOM file, how large its pixels are, and the header that came with it.

pydicom decodes. The header names the patient; it is kept for files that must name the same one,
and nothing else here looks at it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pydicom.filereader
from pydicom.encaps import get_frame
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from unet.io.dicom_decoders import decoded
from unet.io.jpeg import has_too_many_scans

REGION = ("PhysicalDeltaX", "PhysicalDeltaY", "RegionLocationMinX0", "RegionLocationMinY0",
          "RegionLocationMaxX1", "RegionLocationMaxY1")  # fmt: skip
"""Elements that give the size of a region and of its pixels."""
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
CENTIMETRES = 3
"""Physical units code of an ultrasound region (PS3.3, C.8.5.5.1.15)."""
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG or JPEG-LS frame header (ITU-T T.81, table B.1; T.87)."""
HEADER = slice(0x00080000, 0x00300000)
"""Tags of patient, study, series, equipment and image; not of pixels, overlays or raw data."""
MAX_SPACING_MM = 100
"""Upper bound of a pixel's side in millimetres; a larger number is not meant."""
TWO_DIMENSIONAL = 1
"""Spatial format code of a B-mode region (PS3.3, C.8.5.5.1.1)."""


class DicomError(ValueError):
    """A DICOM file that cannot be used; the message says why, and does not name the file."""


def read_frame(
    path: Path, frame: int, max_pixels: int
) -> tuple[np.ndarray, tuple[float, float] | None, int, pydicom.Dataset]:
    """Read a frame, from 0.

    Grey values go through the file's modality and VOI transformation and are scaled by its range,
    or where no window is given by that of the bits in use; MONOCHROME1 is inverted, so that white
    is bright. Palette and YBR become RGB.

    Returns:
        Pixels as uint8 `(H, W)` or `(H, W, 3)` in [0, 255]; height and width of a pixel in
        millimetres, or None; how many frames the file holds; its header, without private elements.

    Raises:
        DicomError: No image in it, no such frame, more than `max_pixels`, damaged or of a kind
            that cannot be decoded.
    """
    try:
        syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
        if syntax == DeflatedExplicitVRLittleEndian:  # inflated whole, however large
            raise DicomError("deflated DICOM is not read. Export it as uncompressed DICOM or PNG.")
        dataset = pydicom.dcmread(path)
        _check(dataset, frame, max_pixels)
        _check_compressed(dataset, syntax, frame)
        pixels = _pixels(dataset, frame)
        if pixels.shape not in (
            (dataset.Rows, dataset.Columns),
            (dataset.Rows, dataset.Columns, 3),
        ):
            raise DicomError("its colours are not red, green and blue. Export it as PNG.")
        header = _header(dataset)
        if syntax in LOSSY and not header.get("LossyImageCompression"):
            header.LossyImageCompression = "01"
        return pixels, _spacing_mm(dataset), _frames(dataset), header
    except DicomError:
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds on malformed files
        raise DicomError(
            f"a DICOM file that is damaged or of an unknown kind ({type(error).__name__}). "
            "Export it as uncompressed DICOM or PNG."
        ) from error


def _check(dataset: pydicom.Dataset, frame: int, max_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise DicomError("a DICOM file without an image. Choose one that holds pixels.")
    if dataset.Rows * dataset.Columns > max_pixels:
        raise DicomError(
            f"too large: {dataset.Columns} × {dataset.Rows} pixels; at most "
            f"{max_pixels // 1_000_000} megapixels. Shrink or crop the image."
        )
    if not 0 <= frame < _frames(dataset):
        raise DicomError(f"there is no frame {frame + 1}; the file holds {_frames(dataset)}.")


def _check_compressed(dataset: pydicom.Dataset, syntax: UID, frame: int) -> None:
    """Raise DicomError where a frame's own header asks for another size than the file's.

    A decoder believes the frame: 10 × 10 pixels by the file may be 60,000 × 60,000 inside.
    """
    if not syntax.is_encapsulated:
        return
    if syntax == JPEGExtended12Bit and dataset.BitsStored > 8:
        raise _not_read(syntax)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    data = get_frame(dataset.PixelData, frame, number_of_frames=_frames(dataset))
    if syntax == RLELossless:
        if _inflated(data) > 2 * rows * columns * dataset.SamplesPerPixel * _bytes(dataset) + 64:
            raise DicomError("its pixels are more than its size says. Export it again.")
        return
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and has_too_many_scans(data):
        raise DicomError("its picture is a JPEG of too many scans. Export it again.")
    inside = _size_inside(data)
    if inside is not None and inside != (rows, columns):
        raise DicomError(
            f"it is {columns}×{rows} pixels by its header, its picture {inside[1]}×{inside[0]}. "
            "Export it again."
        )


def _not_read(syntax: UID) -> DicomError:
    return DicomError(
        f"its pixels are compressed as {syntax.name[:80]}, which is not read here. Export it as "
        "uncompressed DICOM or PNG."
    )


def _bytes(dataset: pydicom.Dataset) -> int:
    return int(dataset.BitsAllocated) // 8


def _size_inside(data: bytes) -> tuple[int, int] | None:
    """Height and width by the frame header of JPEG, JPEG-LS or JPEG 2000; None if it has none."""
    if (start := data.find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000: SOC, SIZ
        x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
        return y1 - y0, x1 - x0
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in START_OF_FRAME:
            return struct.unpack(">2H", data[at + 5 : at + 9])
        else:
            at += 2 + length
    return None


def _inflated(data: bytes) -> int:
    """Number of bytes of a decoded RLE frame (PS3.5, annex G.3)."""
    offsets = struct.unpack("<16I", data[:64])
    starts = offsets[1 : 1 + offsets[0]]
    total = 0
    for start, end in zip(starts, (*starts[1:], len(data))):
        at = start
        while at < end - 1:
            code = data[at]
            if code < 128:
                total, at = total + code + 1, at + code + 2
            else:
                total, at = total + (257 - code if code > 128 else 0), at + (2 if code > 128 else 1)
    return total


def _frames(dataset: pydicom.Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _header(dataset: pydicom.Dataset) -> pydicom.Dataset:
    header = dataset[HEADER]
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118 (values stay raw)
        del header[tag]
    return header


def _pixels(dataset: pydicom.Dataset, frame: int) -> np.ndarray:
    """uint8 `(H, W)` or `(H, W, 3)`."""
    try:
        array = decoded(dataset, frame)  # YBR becomes RGB here
    except NotImplementedError:  # pydicom's word for a syntax that no decoder here reads
        raise _not_read(dataset.file_meta.TransferSyntaxUID) from None
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(array, dataset)[..., :3]  # a fourth is how opaque it is
        # Entries of 8 bits may be kept in 16 (PS3.3, C.7.6.3.1.6); the whole table tells.
        entries = apply_color_lut(np.arange(2**dataset.BitsStored, dtype=array.dtype), dataset)
        deep = entries[..., :3].max() > 255
        return _to_8_bits(colours, 0, np.iinfo(colours.dtype).max if deep else 255)
    if array.ndim == 3:
        return _to_8_bits(array, 0, 2**dataset.BitsStored - 1)
    for name, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)):
        if name in dataset and dataset[name].is_empty:
            setattr(dataset, name, neutral)
    values = apply_modality_lut(array, dataset)
    low, high = _range(dataset)
    if dataset.get("VOILUTSequence"):
        lut = dataset.VOILUTSequence[0]
        # Where entries have 8 bits pydicom looks up by 8 bits, too: deeper pixels would wrap.
        short = lut.LUTDescriptor[2] == 8
        values = _looked_up(values, lut, dataset) if short else apply_voi(values, dataset)
    elif (_first(dataset, "WindowWidth") or 0) >= 1 and _first(dataset, "WindowCenter") is not None:
        values = apply_windowing(values, dataset)  # gives the same range of values
        if float(dataset.get("RescaleSlope", 1)) < 0:  # of which pydicom takes the wrong end
            values = low + high - values
    elif not dataset.get("ModalityLUTSequence"):
        # Of a clip by its first frame, so that all are shown alike.
        first = decoded(dataset, 0) if frame and dataset.BitsStored > 8 else array
        low, high = _rescaled(dataset, *_used(first, dataset))
    grey = _to_8_bits(values, low, high)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _first(dataset: pydicom.Dataset, name: str) -> float | None:
    """The first of an element's numbers; None if it has none."""
    value = dataset.get(name)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value is None else float(value)


def _looked_up(values: np.ndarray, lut: pydicom.Dataset, dataset: pydicom.Dataset) -> np.ndarray:
    """Values by a table of 8 bits; its first entry is for all below, its last for all above."""
    count, first, _ = lut.LUTDescriptor
    count = count or 2**16
    table = lut.LUTData
    if isinstance(table, bytes):  # an entry a word, or two
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        table = np.frombuffer(table, f"{order}u2" if len(table) >= 2 * count else np.uint8)
    table = np.asarray(table)[:count]
    return table[np.clip(values.astype(np.int64) - first, 0, len(table) - 1)]


def _range(dataset: pydicom.Dataset) -> tuple[float, float]:
    """The least and the greatest value that the file's pixels can have, rescaled."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if dataset.get(name):
            return 0, 2 ** dataset[name][0].LUTDescriptor[2] - 1
    return _rescaled(dataset, *_of_bits(dataset.BitsStored, signed=dataset.PixelRepresentation))


def _of_bits(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _used(array: np.ndarray, dataset: pydicom.Dataset) -> tuple[int, int]:
    """The range of the bits that stored values use, at least 8 where there are so many.

    Where no window says what is black and white, the whole range of 16 bits would leave nothing to
    see of a picture that uses ten of them.
    """
    array = array[array != dataset.get("PixelPaddingValue")]
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    signed = low < 0
    bits = max(8, high.bit_length() + signed, (~low).bit_length() + 1 if signed else 0)
    return _of_bits(min(bits, dataset.BitsStored), signed=signed)


def _rescaled(dataset: pydicom.Dataset, low: int, high: int) -> tuple[float, float]:
    slope = float(dataset.get("RescaleSlope", 1))
    intercept = float(dataset.get("RescaleIntercept", 0))
    ends = (low * slope + intercept, high * slope + intercept)
    return min(ends), max(ends)


def _to_8_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    scaled = (values.astype(np.float32) - low) / (high - low)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _spacing_mm(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel: of the B-mode regions, or PixelSpacing; None if they differ."""
    regions = [
        region
        for region in dataset.get("SequenceOfUltrasoundRegions") or []
        if region.get("PhysicalUnitsXDirection") == CENTIMETRES
        and region.get("PhysicalUnitsYDirection") == CENTIMETRES
        and region.get("RegionSpatialFormat", TWO_DIMENSIONAL) == TWO_DIMENSIONAL
        and all(region.get(name) is not None for name in REGION)
    ]
    if regions:
        region = max(regions, key=_region_area)
        if not all(_is_as_large(region, other) for other in regions):
            return None  # which of them a lesion lies in is not known here
        spacing = (abs(region.PhysicalDeltaY) * 10, abs(region.PhysicalDeltaX) * 10)
    else:
        given = dataset.get("PixelSpacing")
        spacing = tuple(map(float, given)) if isinstance(given, MultiValue) else ()
    likely = len(spacing) == 2 and all(0 < side < MAX_SPACING_MM for side in spacing)
    return spacing if likely else None


def _is_as_large(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    """Return True for two regions with pixels of one size, within a hundredth."""
    return all(
        abs(abs(one[name].value) - abs(other[name].value)) <= 0.01 * abs(one[name].value)
        for name in ("PhysicalDeltaX", "PhysicalDeltaY")
    )


def _region_area(region: pydicom.Dataset) -> int:
    width = region.RegionLocationMaxX1 - region.RegionLocationMinX0
    return width * (region.RegionLocationMaxY1 - region.RegionLocationMinY0)
