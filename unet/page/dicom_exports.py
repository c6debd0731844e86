"""What goes back to the archive a DICOM picture came from: its mask, and the overlay.

Notice: both files carry the identity of the source's patient (name, number, birth date, sex), as
the standard requires of objects in one study. Every other export carries none.

highdicom writes both. It is shown a stand-in for the source's header, for two reasons: it takes
a clip without frame of reference for no source at all, and it checks, and tells the log of, names
and dates that archives hold. The patient and study are put in afterwards, as the source has them.
"""

from __future__ import annotations

import io
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

import unet
from unet.errors import UserError
from unet.images import rendering
from unet.page.analysis import Analysed, Drawn
from unet.publishing.card import NOTICE

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.base import SOPClass
    from pydicom import Dataset

    from unet.images.reading import Picture

MAKER = "Breast ultrasound segmentation"
SEGMENTATION_SERIES, OVERLAY_SERIES = 9001, 9002
"""Series numbers: they need not be unique, and so high they come last in a study."""

# What is taken from the source: enough to be of one study, and no more of the patient.
MUST_HAVE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
MAY_BE_EMPTY = (
    "AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex",
    "ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime",
)  # fmt: skip
IF_SAID = (
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "IssuerOfPatientID",
    "LongitudinalTemporalInformationModified", "PatientAge", "PatientIdentityRemoved",
    "SpecificCharacterSet", "StudyDescription", "BodyPartExamined",
)  # fmt: skip
LOSSY = (
    "LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio",
)  # fmt: skip
LATERALITY = ("ImageLaterality", "Laterality")


def segmentation(
    analysed: Analysed,
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
    header = _header(picture)
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
        source_images=[_stand_in(header, picture)],
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[lesion],
        **_made(SEGMENTATION_SERIES),
        device_serial_number=unet.__version__,  # required, and software has none
        content_label="LESION",
        content_description=NOTICE.split(". ")[0],
        series_description="Lesion segmentation",
    )
    source = _reference(header, picture)
    made.SourceImageSequence = [source]
    made.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [_reference(header)]
    derivation = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    derivation.SourceImageSequence[0].update(source)
    return _file(made, header)


def secondary_capture(analysed: Analysed, mask: np.ndarray, drawn: Drawn = "AUTOMATIC") -> bytes:
    """The picture with the mask laid over it, as a DICOM Secondary Capture in colour.

    Whether it shows the patient's name in its pixels is said as the source says it: the overlay
    adds no text, and takes none away.

    Args:
        analysed: The picture, and which network looked at it.
        mask: bool `(H, W)`.
        drawn: Who drew the mask.

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
    header = _header(picture)
    _check_size(picture, mask)
    made = SCImage(
        pixel_array=rendering.overlay(picture.pixels, mask),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # asked for; unknown, and taken out below
        study_instance_uid=header.StudyInstanceUID,
        **_made(OVERLAY_SERIES),
        series_description="Lesion overlay",
        pixel_spacing=picture.spacing_mm,
    )
    made.Modality = "US"
    made.ConversionType = "WSD"  # made on a workstation
    by = "by hand" if drawn == "MANUAL" else f"by {_plain(str(analysed.prediction.network))}"
    by = f"{by}, edited by hand" if drawn == "SEMIAUTOMATIC" else by
    made.DerivationDescription = f"Lesion overlay {by}. {NOTICE}"
    source = _reference(header, picture)
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    made.SourceImageSequence = [source]
    _copy(header, made, (*LOSSY, *LATERALITY, "BurnedInAnnotation", "RecognizableVisualFeatures"))
    return _file(made, header)


def _made(series: int) -> dict[str, Any]:
    """What is said of both objects' making: the first of a new series, by this project."""
    from highdicom import UID

    return {
        "series_instance_uid": UID(), "series_number": series, "sop_instance_uid": UID(),
        "instance_number": 1, "manufacturer": MAKER, "manufacturer_model_name": MAKER,
        "software_versions": unet.__version__,
    }  # fmt: skip


def _header(picture: Picture) -> Dataset:
    if picture.header is None:
        raise UserError(
            "A DICOM export refers to the DICOM file that the picture came from; this picture "
            "came from another kind of file. Open the DICOM file, or export the mask as PNG."
        )
    missing = [name for name in MUST_HAVE if not picture.header.get(name)]
    if missing:
        raise UserError(
            f"A DICOM export refers to its source by {', '.join(MUST_HAVE)}; this file lacks "
            f"{', '.join(missing)}. Export it from the archive again, or take the mask as PNG."
        )
    return picture.header


def _check_size(picture: Picture, mask: np.ndarray) -> None:
    if mask.shape != picture.pixels.shape[:2] or mask.dtype != bool:
        raise ValueError(
            f"mask must be bool {picture.pixels.shape[:2]}. Received: {mask.dtype} {mask.shape}"
        )


def _stand_in(header: Dataset, picture: Picture) -> Dataset:
    """The source as one still ultrasound of nobody."""
    from pydicom import Dataset
    from pydicom.uid import UltrasoundImageStorage

    still = Dataset()
    _copy(header, still, (*MUST_HAVE, *LOSSY, "FrameOfReferenceUID", "PositionReferenceIndicator"))
    still.SOPClassUID = UltrasoundImageStorage
    still.Rows, still.Columns = picture.pixels.shape[:2]
    for name in MAY_BE_EMPTY:
        setattr(still, name, None)
    return still


def _reference(header: Dataset, picture: Picture | None = None) -> Dataset:
    """A reference to the source; to the picture's frame of it, if it has many."""
    from pydicom import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if picture is not None and picture.frames > 1:
        reference.ReferencedFrameNumber = picture.frame + 1
    return reference


def _algorithm(analysed: Analysed, threshold: float | None) -> AlgorithmIdentificationSequence:
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
    _copy(header, made, (*MAY_BE_EMPTY, *IF_SAID))
    made.PatientOrientation = None  # of an ultrasound nobody knows it
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _copy(source: Dataset, to: Dataset, names: tuple[str, ...]) -> None:
    for name in names:
        if name in source:
            to[name] = deepcopy(source[name])  # an element that is set anew changes in place


def _plain(text: str) -> str:
    """At most 64 characters that every DICOM character set knows, without its separator."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[:64]
