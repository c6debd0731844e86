"""Valid files of every kind that the project reads, made of its phantoms."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from unet.data.phantom import make_phantom

SIZE = (96, 112)
"""Height and width: small, so that damage falls on headers too."""


@cache
def grey(seed: int = 0) -> np.ndarray:
    """A phantom's pixels."""
    return make_phantom(seed, "malignant", *SIZE).image


@cache
def mask() -> np.ndarray:
    """The same phantom's truth."""
    return make_phantom(0, "malignant", *SIZE).mask


@cache
def colour() -> np.ndarray:
    """A phantom in colour."""
    return np.stack([grey(), grey() // 2, 255 - grey()], axis=2)


def saved(pixels: np.ndarray | Image.Image, form: str, mode: str = "", **options) -> bytes:
    """Pixels as an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, form, **options)
    return buffer.getvalue()


def images(form: str) -> list[bytes]:
    """Files of one image format, in the ways it has of storing pixels."""
    deep = grey().astype(np.uint16) * 257
    exif = Image.Exif()
    exif[274] = 6
    pages = {"save_all": True, "append_images": [Image.fromarray(grey(1))]}
    made = {
        "PNG": [(grey(), "", {}), (colour(), "", {"exif": exif}), (grey(), "P", {}), (deep, "", {}),
                (colour(), "RGBA", {}), (mask(), "1", {}), (grey(), "LA", {})],
        "JPEG": [(grey(), "", {}), (colour(), "", {"exif": exif}), (colour(), "CMYK", {}),
                 (colour(), "", {"progressive": True}), (grey(), "", {"progressive": True})],
        "TIFF": [(grey(), "", {}), (colour(), "", {}), (deep, "", {}), (mask(), "1", {}), *(
                  (colour(), "", {"compression": name})
                  for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
                 (mask(), "1", {"compression": "group4"}), (grey(), "", pages),
                 (colour(), "P", {})],
        "WEBP": [(grey(), "RGB", {}), (colour(), "", {"lossless": True}), (colour(), "RGBA", {}),
                 (colour(), "", pages)],
        "BMP": [(grey(), "", {}), (colour(), "", {}), (mask(), "1", {}), (colour(), "RGBA", {})],
    }[form]  # fmt: skip
    return [saved(pixels, form, mode, **options) for pixels, mode, options in made]


def dicom(frames: list[np.ndarray], syntax=ExplicitVRLittleEndian, **tags) -> bytes:
    """A whole ultrasound instance; compressed frames are given as bytes in `tags["PixelData"]`."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    still = len(frames) == 1
    dataset.SOPClassUID = UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        f"1.2.3.{number}" for number in range(3)
    )
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = "SECRET^NAME", "4711", "20240229"
    dataset.Modality = "US"
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY, region.RegionSpatialFormat = 0.01, 0.02, 1
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxY1, region.RegionLocationMaxX1 = SIZE
    dataset.SequenceOfUltrasoundRegions = [region]
    first = frames[0]
    dataset.Rows, dataset.Columns = first.shape[:2]
    dataset.SamplesPerPixel = 3 if first.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if first.ndim == 3 else "MONOCHROME2"
    if first.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * first.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    if not still:
        dataset.NumberOfFrames, dataset.FrameTime = len(frames), 40
    dataset.PixelData = np.stack(frames).tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated or first.itemsize == 1 else "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicoms(kind: str) -> list[bytes]:
    """DICOM files of one kind."""
    deep = grey().astype(np.uint16) * 16
    match kind:
        case "explicit":
            plain = dicom([deep], BitsStored=12, HighBit=11, WindowCenter=900, WindowWidth=800)
            return [dicom([grey()]), dicom([colour()]), plain]
        case "implicit":
            return [
                dicom([grey()], ImplicitVRLittleEndian),
                dicom([colour()], ImplicitVRLittleEndian),
            ]
        case "big-endian":
            return [
                dicom([grey()], ExplicitVRBigEndian),
                dicom([deep.byteswap()], ExplicitVRBigEndian),
            ]
        case "multi-frame":
            jpegs = [saved(grey(seed), "JPEG") for seed in range(3)]
            clip = dicom([grey()] * 3, JPEGBaseline8Bit, PixelData=encapsulate(jpegs))
            return [dicom([grey(), grey(1), grey(2)]), clip]
        case "palette":
            table = np.arange(256, dtype=np.uint16) * 257
            names = [f"{name}PaletteColorLookupTable" for name in ("Red", "Green", "Blue")]
            tags = {f"{name}Data": table.tobytes() for name in names}
            tags |= {f"{name}Descriptor": [256, 0, 16] for name in names}
            return [dicom([grey()], PhotometricInterpretation="PALETTE COLOR", **tags)]
        case "ybr":
            halved = np.stack([colour()[:, ::2, 0], colour()[:, 1::2, 0], *(
                colour()[:, ::2, channel] for channel in (1, 2))], axis=2)  # fmt: skip
            half = {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": halved.tobytes()}
            full = dicom([colour()], PhotometricInterpretation="YBR_FULL", PlanarConfiguration=1)
            return [full, dicom([colour()], **half)]
    return _compressed(kind)


def _compressed(kind: str) -> list[bytes]:
    if kind == "jpeg-lossless":  # nothing here writes it
        return [Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm")).read_bytes()]
    if kind == "jpeg":
        grey_one = encapsulate([saved(grey(), "JPEG")])
        ybr = {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": encapsulate(
            [saved(colour(), "JPEG")])}  # fmt: skip
        return [dicom([grey()], JPEGBaseline8Bit, PixelData=grey_one),
                dicom([colour()], JPEGBaseline8Bit, **ybr)]  # fmt: skip
    if kind == "jpeg-2000":
        frames = (saved(pixels, "JPEG2000", no_jp2=True) for pixels in (grey(), colour()))
        return [dicom([pixels], JPEG2000Lossless, PixelData=encapsulate([frame]))
                for pixels, frame in zip((grey(), colour()), frames)]  # fmt: skip
    syntax = {"rle": RLELossless, "jpeg-ls": JPEGLSLossless}[kind]
    made = []
    for pixels in (grey(), colour()):
        dataset = dcmread(io.BytesIO(dicom([pixels])))
        dataset.compress(syntax, generate_instance_uid=False)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        made.append(buffer.getvalue())
    return made


def session() -> list[bytes]:
    """A session of the picture of 12 × 20 pixels that `session.js` shows."""
    values = {
        "schema": 2, "image_sha256": "ab" * 32, "image_size_px": [20, 12], "threshold": 0.4,
        "edited_runs": [100, 40, 100], "calibrated_mm": [0.1, 0.2],
        "network": {"name": "net", "sha256": "cd" * 32, "revision": None},
    }  # fmt: skip
    prompts = {"positive": [[[3.5, 4], [5, 6]]], "negative": [[[1, 1]]], "boxes": [[1, 2, 9, 8]]}
    changes = ({"prompts": None}, {"edited_runs": None, "prompts": prompts})
    return [json.dumps(values | change).encode() for change in changes]


def bundle(folder: Path) -> Path:
    """A bundle of a tiny network that nobody trained, with all parts a bundle can have."""
    from tests.conftest import PHANTOM_TRAINING, TINY
    from unet.config import InferenceConfig
    from unet.core.mask import PostProcessing
    from unet.inference.confidence import Confidence
    from unet.inference.keras_export import write_bundle
    from unet.inference.lesion_classifier import LesionClassifier
    from unet.inference.ood_detector import OODDetector
    from unet.networks import build_network

    folder.mkdir()
    write_bundle(
        folder, build_network(TINY), model=TINY, inference=InferenceConfig(flip=True),
        postprocessing=PostProcessing(0.4, 0.001, 0.1),
        training=PHANTOM_TRAINING, split={"train": ["a"], "test": ["b"]},
        familiarity=OODDetector(
            "encoder_2_relu_2", np.zeros(8, np.float32), np.eye(8, dtype=np.float32), 1.0),
        presence=LesionClassifier(("bottleneck_relu_2",), np.zeros(16, np.float32), 0.0),
        confidence=Confidence(), commit=None,
    )  # fmt: skip
    return folder
