"""Attributes that the DICOM exports take from the source's header."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from unet.errors import UserError

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

    from unet.io.images import Picture

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


def header_of(picture: Picture) -> Dataset:
    """The header of the DICOM file that a picture came from.

    Raises:
        UserError: The picture came from no DICOM file, or from one that says too little.
    """
    if picture.header is None:
        raise UserError(
            "A DICOM export refers to the DICOM file that the picture came from; this picture "
            "came from another kind of file. Open the DICOM file, or export the mask as PNG."
        )
    missing = [name for name in MUST_HAVE if _usable(picture.header, name) is None]
    if missing:
        raise UserError(
            f"A DICOM export refers to its source by {', '.join(MUST_HAVE)}; this file lacks "
            f"{', '.join(missing)}, or has several where one is meant. Export it from the archive "
            "again, or take the mask as PNG."
        )
    return picture.header


def stand_in(header: Dataset, picture: Picture) -> Dataset:
    """The source as one still ultrasound of nobody."""
    from pydicom import Dataset
    from pydicom.uid import UltrasoundImageStorage

    still = Dataset()
    copy(header, still, (*MUST_HAVE, *LOSSY, "FrameOfReferenceUID", "PositionReferenceIndicator"))
    still.SOPClassUID = UltrasoundImageStorage
    still.Rows, still.Columns = picture.pixels.shape[:2]
    for name in MAY_BE_EMPTY:
        setattr(still, name, None)
    return still


def reference_to(header: Dataset, picture: Picture | None = None) -> Dataset:
    """A reference to the source; to the picture's frame of it, if it has many."""
    from pydicom import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if picture is not None and picture.frames > 1:
        reference.ReferencedFrameNumber = picture.frame + 1
    return reference


def copy(source: Dataset, to: Dataset, names: tuple[str, ...]) -> None:
    """Copy the elements of these names, as far as the source has them."""
    for name in names:
        if (element := _usable(source, name)) is not None:
            to[name] = deepcopy(element)  # an element that is set anew changes in place


def _usable(source: Dataset, name: str) -> DataElement | None:
    """An element as the standard has it; None where it is missing or is something else.

    What is something else would end highdicom or pydicom, and say nothing to an archive.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    try:
        element = source[name]  # read from its bytes now
    except Exception:  # missing, or bytes that mean nothing, of which pydicom raises many kinds
        return None
    vr = element.VR
    names_one = vr != "UI" or (element.VM == 1 and element.value)
    return element if vr == dictionary_VR(tag_for_keyword(name)) and names_one else None
