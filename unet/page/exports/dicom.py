"""DICOM exports for the source's archive: segmentation and secondary capture.

Notice: both files carry the identity of the source's patient (name, number, birth date, sex), as
the standard requires of objects in one study. Every other export carries none.

highdicom writes both. It is shown a stand-in for the source's header, for two reasons: it takes
a clip without frame of reference for no source at all, and it checks, and tells the log of, names
and dates that archives hold. The patient and study are put in afterwards, as the source has them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

import unet
from unet.core import rendering
from unet.page.analysis import Analysis, Drawn
from unet.page.exports.dicom_source import (
    IF_SAID,
    LATERALITY,
    LOSSY,
    MAY_BE_EMPTY,
    copy,
    header_of,
    reference_to,
    stand_in,
)
from unet.publishing.card import NOTICE

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.base import SOPClass
    from pydicom import Dataset

    from unet.io.images import Picture

MAKER = "Breast ultrasound segmentation"
SEGMENTATION_SERIES, OVERLAY_SERIES = 9001, 9002
"""Series numbers: they need not be unique, and so high they come last in a study."""


def segmentation(
    analysed: Analysis,
    mask: np.ndarray,
    drawn: Drawn = "AUTOMATIC",
    threshold: float | None = None,
) -> bytes:
    """A mask as a DICOM Segmentation (PS3.3, A.51) of the picture's frame.

    One segment, "Lesion", however many regions: a network says which pixels are lesion, not how
    many lesions they are. An empty mask is a segment without pixels. Where the pixels lie and how
    large they are is said by the reference to the frame, of which each is one pixel (A.51.5.1).

    Args:
        analysed: The picture, and which network looked at it.
        mask: bool `(H, W)`.
        drawn: Who drew the mask; of a MANUAL one no network is named.
        threshold: In [0, 1], at which the network's probability was cut; None if it was not.

    Returns:
        The file: one binary frame, uncompressed.

    Raises:
        UserError: The picture came from no DICOM file, or from one that says too little.
        ValueError: The mask is not of the picture's size.
    """
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    picture = analysed.picture
    header = header_of(picture)
    _check_size(picture, mask)
    lesion = SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues[drawn],
        algorithm_identification=None if drawn == "MANUAL" else _algorithm(analysed, threshold),
        anatomic_regions=[codes.SCT.Breast],
    )
    made = Segmentation(
        source_images=[stand_in(header, picture)],
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[lesion],
        **_made(SEGMENTATION_SERIES),
        device_serial_number=unet.__version__,  # required, and software has none
        content_label="LESION",
        content_description=NOTICE.split(". ")[0],
        series_description="Research, not for diagnosis: lesion segmentation",
    )
    source = reference_to(header, picture)
    made.SourceImageSequence = [source]
    made.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [reference_to(header)]
    derivation = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    derivation.SourceImageSequence[0].update(source)
    return _file(made, header)


def secondary_capture(
    analysed: Analysis, mask: np.ndarray, drawn: Drawn = "AUTOMATIC", edited: bool = False
) -> bytes:
    """The picture with the mask laid over it, as a DICOM Secondary Capture in colour.

    Whether it shows the patient's name in its pixels is said as the source says it: the overlay
    adds no text, and takes none away.

    Args:
        analysed: The picture, and which network looked at it.
        mask: bool `(H, W)`.
        drawn: Who drew the mask.
        edited: Whether by hand it was edited, not only pointed at.

    Returns:
        The file: RGB, 8 bits, uncompressed.

    Raises:
        UserError: The picture came from no DICOM file, or from one that says too little.
        ValueError: The mask is not of the picture's size.
    """
    from highdicom.sc import SCImage
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    picture = analysed.picture
    header = header_of(picture)
    _check_size(picture, mask)
    made = SCImage(
        pixel_array=rendering.overlay(picture.pixels, mask),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # asked for; unknown, and taken out below
        study_instance_uid=header.StudyInstanceUID,
        **_made(OVERLAY_SERIES),
        series_description="Research, not for diagnosis: lesion overlay",
        pixel_spacing=picture.spacing_mm,
    )
    made.Modality = "US"
    made.ConversionType = "WSD"  # made on a workstation
    by = "by hand" if drawn == "MANUAL" else f"by {_plain(str(analysed.prediction.network))}"
    if drawn == "SEMIAUTOMATIC":
        by += ", edited by hand" if edited else ", pointed at by hand"
    made.DerivationDescription = f"Lesion overlay {by}. {NOTICE}"
    source = reference_to(header, picture)
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    made.SourceImageSequence = [source]
    copy(header, made, (*LOSSY, *LATERALITY, "BurnedInAnnotation", "RecognizableVisualFeatures"))
    return _file(made, header)


def _made(series: int) -> dict[str, Any]:
    """Equipment and series attributes of both objects."""
    from highdicom import UID

    return {
        "series_instance_uid": UID(), "series_number": series, "sop_instance_uid": UID(),
        "instance_number": 1, "manufacturer": MAKER, "manufacturer_model_name": MAKER,
        "software_versions": unet.__version__,
    }  # fmt: skip


def _check_size(picture: Picture, mask: np.ndarray) -> None:
    if mask.shape != picture.pixels.shape[:2] or mask.dtype != bool:
        raise ValueError(
            f"mask must be bool {picture.pixels.shape[:2]}. Received: {mask.dtype} {mask.shape}"
        )


def _algorithm(analysed: Analysis, threshold: float | None) -> AlgorithmIdentificationSequence:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    network = analysed.prediction.network
    return AlgorithmIdentificationSequence(
        name=_plain(str(network)),
        family=codes.cid7162.ArtificialIntelligence,
        version=network.sha256 or "unknown",
        parameters=None if threshold is None else {"threshold": f"{threshold:.4f}"},
    )


def _file(made: SOPClass, header: Dataset) -> bytes:
    """The object, of the source's patient and study, as a file."""
    copy(header, made, (*MAY_BE_EMPTY, *IF_SAID))
    made.PatientOrientation = None  # of an ultrasound nobody knows it
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _plain(text: str) -> str:
    """At most 64 characters that every DICOM character set knows, without its separator."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[:64]
