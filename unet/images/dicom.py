"""One frame of a DICOM file, and how large its pixels are.

pydicom decodes; nothing of the patient is read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pydicom.filereader
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

CENTIMETRES = 3
"""Physical units code of an ultrasound region (PS3.3, C.8.5.5.1.15)."""
TWO_DIMENSIONAL = 1
"""Spatial format code of a B-mode region (PS3.3, C.8.5.5.1.1)."""


class DicomError(ValueError):
    """A DICOM file that cannot be used; the message says why, and does not name the file."""


def read_frame(
    path: Path, frame: int, max_pixels: int
) -> tuple[np.ndarray, tuple[float, float] | None, int]:
    """Read a frame, from 0.

    Grey values go through the file's modality and VOI transformation and are scaled by their
    possible range; MONOCHROME1 is inverted, so that white is bright. Palette and YBR become RGB.

    Returns:
        Pixels as uint8 `(H, W)` or `(H, W, 3)` in [0, 255]; height and width of a pixel in
        millimetres, or None; how many frames the file holds.

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
        return _pixels(dataset, frame), _spacing_mm(dataset), _frames(dataset)
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
        raise DicomError(f"too large; at most {max_pixels // 1_000_000} megapixels.")
    if not 0 <= frame < _frames(dataset):
        raise DicomError(f"there is no frame {frame + 1}; the file holds {_frames(dataset)}.")


def _frames(dataset: pydicom.Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _pixels(dataset: pydicom.Dataset, frame: int) -> np.ndarray:
    """uint8 `(H, W)` or `(H, W, 3)`."""
    array = pixel_array(dataset, index=frame)  # YBR becomes RGB here
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        array = apply_color_lut(array, dataset)
        return _to_8_bits(array, 0, np.iinfo(array.dtype).max)
    if array.ndim == 3:
        return _to_8_bits(array, 0, 2**dataset.BitsStored - 1)
    values = apply_modality_lut(array, dataset)
    if "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        values = apply_voi_lut(values, dataset)  # gives the same range of values
    grey = _to_8_bits(values, *_range(dataset))
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _range(dataset: pydicom.Dataset) -> tuple[float, float]:
    """The least and the greatest value that the file's pixels can have, rescaled."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if name in dataset:
            return 0, 2 ** dataset[name][0].LUTDescriptor[2] - 1
    bits = dataset.BitsStored
    low, high = 0, 2**bits - 1
    if dataset.PixelRepresentation:
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
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
    """Height and width of a pixel: of the largest B-mode region, or PixelSpacing."""
    regions = [
        region
        for region in dataset.get("SequenceOfUltrasoundRegions") or []
        if region.get("PhysicalUnitsXDirection") == CENTIMETRES
        and region.get("PhysicalUnitsYDirection") == CENTIMETRES
        and region.get("RegionSpatialFormat", TWO_DIMENSIONAL) == TWO_DIMENSIONAL
    ]
    if regions:
        region = max(regions, key=_region_area)
        spacing = (abs(region.PhysicalDeltaY) * 10, abs(region.PhysicalDeltaX) * 10)
    elif dataset.get("PixelSpacing"):
        spacing = tuple(float(value) for value in dataset.PixelSpacing)
    else:
        return None
    return spacing if min(spacing) > 0 else None


def _region_area(region: pydicom.Dataset) -> int:
    width = region.RegionLocationMaxX1 - region.RegionLocationMinX0
    return width * (region.RegionLocationMaxY1 - region.RegionLocationMinY0)
