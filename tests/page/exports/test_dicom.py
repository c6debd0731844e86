"""The DICOM exports read back, held against their source, and examined by dicom3tools' dciodvfy."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from tests.conftest import predicted
from unet.core import rendering
from unet.data.phantom import make_phantom
from unet.errors import UserError
from unet.inference.prediction import ModelId
from unet.io.images import Picture, read_picture
from unet.page.analysis import Analysis
from unet.page.exports import coco, download
from unet.page.exports.dicom import secondary_capture, segmentation

PHANTOM = make_phantom(3, "malignant", 90, 131)  # pixels no multiple of 8; not square
OTHER = make_phantom(4, "benign", 90, 131)
NETWORK = ModelId("сеть\\unet", "ab" * 32)


def write_ultrasound(path: Path, images: list[np.ndarray], **tags) -> Path:
    """Write a whole ultrasound instance as scanners do: a still, or a clip of several images."""
    still = len(images) == 1
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    dataset.SOPClassUID = UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20240229"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "101500"
    dataset.AccessionNumber = "A17"
    dataset.Modality = "US"
    dataset.Manufacturer = "ACME"
    dataset.ReferringPhysicianName = "Bär^Ida"
    dataset.PatientName = "Müller^Änne"
    dataset.PatientID = "4711"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "F"
    dataset.PatientAge = "064Y"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.StudyID = "S1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientOrientation = None
    dataset.Laterality = "L"
    dataset.BodyPartExamined = "BREAST"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = images[0].shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [0.2, 0.1]
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    if not still:
        dataset.NumberOfFrames = len(images)
        dataset.FrameIncrementPointer = 0x00181063
        dataset.FrameTime = 40
    pixels = np.stack(images).tobytes()
    dataset.PixelData = pixels + bytes(len(pixels) % 2)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def analysed_from(path: Path, frame: int = 0) -> Analysis:
    picture = read_picture(path, frame)
    probability_u8 = np.zeros(picture.pixels.shape[:2], np.uint8)
    return Analysis("a", "a", picture, replace(predicted(probability_u8), network=NETWORK), 0.1)


@pytest.fixture
def source(tmp_path) -> Path:
    return write_ultrasound(tmp_path / "scan.dcm", [PHANTOM.image])


@pytest.fixture
def clip(tmp_path) -> Path:
    images = [OTHER.image, PHANTOM.image, OTHER.image]
    return write_ultrasound(tmp_path / "clip.dcm", images)


def same_patient_and_study(made: Dataset, source: Dataset) -> None:
    for name in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate",
        "StudyID", "StudyInstanceUID", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        assert made[name].value == source[name].value, name
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.SOPInstanceUID != source.SOPInstanceUID


def test_a_segmentation_gives_the_mask_back_bit_for_bit_and_names_its_source(source):
    content = segmentation(analysed_from(source), PHANTOM.mask, threshold=0.4)
    read = highdicom.seg.segread(io.BytesIO(content))
    np.testing.assert_array_equal(read.pixel_array, PHANTOM.mask)
    original = dcmread(source)
    stored = read.get_pixels_by_source_instance([original.SOPInstanceUID], combine_segments=False)
    np.testing.assert_array_equal(stored[0, :, :, 0], PHANTOM.mask)

    plain = dcmread(io.BytesIO(content))
    np.testing.assert_array_equal(plain.pixel_array, PHANTOM.mask)
    same_patient_and_study(plain, original)
    reference = plain.SourceImageSequence[0]
    assert reference.ReferencedSOPClassUID == UltrasoundImageStorage
    assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert "ReferencedFrameNumber" not in reference
    assert plain.ReferencedSeriesSequence[0].SeriesInstanceUID == original.SeriesInstanceUID
    assert "FrameOfReferenceUID" not in plain
    segment = plain.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentAlgorithmName == "????/unet abababababab"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == NETWORK.sha256
    assert algorithm.AlgorithmParameters == "threshold=0.4000"


def test_a_frame_of_a_clip_is_referred_to_by_its_number(clip):
    analysed = analysed_from(clip, frame=1)
    np.testing.assert_array_equal(analysed.picture.pixels, PHANTOM.image)
    content = segmentation(analysed, PHANTOM.mask)
    plain = dcmread(io.BytesIO(content))
    per_frame = plain.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    references = [
        plain.SourceImageSequence[0],
        per_frame.SourceImageSequence[0],
        dcmread(io.BytesIO(secondary_capture(analysed, PHANTOM.mask))).SourceImageSequence[0],
    ]
    for reference in references:
        assert reference.ReferencedSOPClassUID == UltrasoundMultiFrameImageStorage
        assert reference.ReferencedSOPInstanceUID == dcmread(clip).SOPInstanceUID
        assert reference.ReferencedFrameNumber == 2
    read = highdicom.seg.segread(io.BytesIO(content))
    stored = read.get_pixels_by_source_frame(
        dcmread(clip).SOPInstanceUID, [2], combine_segments=False
    )
    np.testing.assert_array_equal(stored[0, :, :, 0], PHANTOM.mask)


def test_the_frame_of_reference_is_the_sources(tmp_path):
    uid = generate_uid()
    path = write_ultrasound(
        tmp_path / "a.dcm", [PHANTOM.image], FrameOfReferenceUID=uid, PositionReferenceIndicator=""
    )
    content = segmentation(analysed_from(path), PHANTOM.mask)
    assert dcmread(io.BytesIO(content)).FrameOfReferenceUID == uid


def test_an_empty_mask_is_a_segment_without_pixels(source):
    content = segmentation(analysed_from(source), np.zeros_like(PHANTOM.mask))
    read = highdicom.seg.segread(io.BytesIO(content))
    assert read.number_of_segments == 1
    assert not read.pixel_array.any()


@pytest.mark.parametrize("drawn", ["SEMIAUTOMATIC", "MANUAL"])
def test_who_drew_the_mask_is_said(source, drawn):
    content = segmentation(analysed_from(source), PHANTOM.mask, drawn)
    segment = dcmread(io.BytesIO(content)).SegmentSequence[0]
    assert segment.SegmentAlgorithmType == drawn
    assert ("SegmentAlgorithmName" in segment) == (drawn == "SEMIAUTOMATIC")
    capture = dcmread(io.BytesIO(secondary_capture(analysed_from(source), PHANTOM.mask, drawn)))
    assert "edited" not in capture.DerivationDescription  # it may have been pointed at alone
    assert "by hand" in capture.DerivationDescription
    assert ("unet" in capture.DerivationDescription) == (drawn == "SEMIAUTOMATIC")


def test_a_secondary_capture_shows_the_overlay_in_the_sources_study(source, tmp_path):
    content = secondary_capture(analysed_from(source), PHANTOM.mask)
    capture = dcmread(io.BytesIO(content))
    overlay = rendering.overlay(PHANTOM.image, PHANTOM.mask)
    np.testing.assert_array_equal(capture.pixel_array, overlay)
    path = tmp_path / "capture.dcm"
    path.write_bytes(content)
    np.testing.assert_array_equal(highdicom.imread(path).get_frame(1), overlay)
    original = dcmread(source)
    same_patient_and_study(capture, original)
    assert capture.Modality == "US"
    assert capture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert capture.PixelSpacing == [0.2, 0.1]
    assert (capture.BurnedInAnnotation, capture.Laterality) == ("NO", "L")


def test_what_the_source_does_not_say_of_burnt_in_text_is_not_said(tmp_path):
    path = write_ultrasound(tmp_path / "a.dcm", [PHANTOM.image], BurnedInAnnotation="YES")
    capture = secondary_capture(analysed_from(path), PHANTOM.mask)
    assert dcmread(io.BytesIO(capture)).BurnedInAnnotation == "YES"
    silent = dcmread(path)
    del silent.BurnedInAnnotation
    silent.save_as(path)
    capture = secondary_capture(analysed_from(path), PHANTOM.mask)
    assert "BurnedInAnnotation" not in dcmread(io.BytesIO(capture))


def test_a_header_as_archives_hold_it_is_carried_over_as_it_is(tmp_path, caplog):
    path = write_ultrasound(tmp_path / "a.dcm", [PHANTOM.image], PatientName="ONEWORD")
    odd = dcmread(path)
    odd.SOPClassUID = odd.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6"  # retired
    odd.LossyImageCompression = "01"
    odd.LossyImageCompressionRatio = 12
    odd.LossyImageCompressionMethod = "ISO_10918_1"
    del odd.PatientSex
    del odd.StudyTime
    odd.save_as(path)
    analysed = analysed_from(path)
    for make in (segmentation, secondary_capture):
        made = dcmread(io.BytesIO(make(analysed, PHANTOM.mask)))
        assert made.PatientName == "ONEWORD"
        assert not made.PatientSex
        assert not made.StudyTime
        assert made.LossyImageCompression == "01"
        assert made.SourceImageSequence[0].ReferencedSOPClassUID == odd.SOPClassUID
    assert analysed.picture.header.SOPClassUID == odd.SOPClassUID  # the header stays as it was
    assert "ONEWORD" not in caplog.text


@pytest.mark.parametrize("make", [segmentation, secondary_capture])
def test_a_picture_of_another_kind_of_file_is_told_what_it_lacks(make, source):
    analysed = analysed_from(source)
    png = replace(analysed, picture=Picture(PHANTOM.image))
    with pytest.raises(UserError, match="came from another kind of file"):
        make(png, PHANTOM.mask)
    del analysed.picture.header.StudyInstanceUID
    with pytest.raises(UserError, match="this file lacks StudyInstanceUID"):
        make(analysed, PHANTOM.mask)


@pytest.mark.parametrize("make", [segmentation, secondary_capture])
def test_a_mask_of_another_size_is_refused(make, source):
    with pytest.raises(ValueError, match=r"mask must be bool \(90, 131\)"):
        make(analysed_from(source), PHANTOM.mask.T)


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy, of Debian's package dicom3tools"
)
@pytest.mark.parametrize("of", ["still", "clip", "frame of reference"])
@pytest.mark.parametrize("drawn", ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"])
@pytest.mark.parametrize("mask", [PHANTOM.mask, np.zeros_like(PHANTOM.mask)], ids=["some", "none"])
def test_dciodvfy_finds_no_fault(tmp_path, of, drawn, mask):
    images = [OTHER.image, PHANTOM.image] if of == "clip" else [PHANTOM.image]
    tags = {"FrameOfReferenceUID": generate_uid(), "PositionReferenceIndicator": ""}
    tags = tags if of == "frame of reference" else {}
    source = write_ultrasound(tmp_path / "source.dcm", images, **tags)
    assert faults_of(source) == []
    analysed = analysed_from(source, frame=len(images) - 1)
    made = tmp_path / "made.dcm"
    for make in (segmentation, secondary_capture):
        made.write_bytes(make(analysed, mask, drawn))
        assert faults_of(made) == []


def faults_of(path: Path) -> list[str]:
    """The lines of dciodvfy's verdict that are errors."""
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines  # it names what kind of object it sees
    return [line for line in lines if line.startswith("Error")]


def test_no_other_export_carries_the_patients_identity(source):
    analysed = analysed_from(source)
    bare = replace(analysed, picture=replace(analysed.picture, header=None))
    answer = analysed.segment()
    others = set(download.DOWNLOADS) - {*download.NAMES_PATIENT, "all"}
    for kind in others:
        with_header, without = (
            re.sub(rb"/CreationDate.*|/ID \[.*", b"", download.make(kind, of, answer)[2])
            for of in (analysed, bare)
        )
        assert with_header == without, kind
    names = {download.DOWNLOADS[kind][0] for kind in others}
    with zipfile.ZipFile(io.BytesIO(download.make("all", analysed, answer)[2])) as archive:
        assert set(archive.namelist()) == names | {coco.IMAGE_NAME}


@pytest.mark.parametrize("name", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_several_uids_where_one_is_meant_are_a_sentence(tmp_path, name):
    path = write_ultrasound(tmp_path / "scan.dcm", [PHANTOM.image], **{name: ["1.2", "1.3"]})
    with pytest.raises(UserError, match=f"lacks {name}, or has several where one is meant"):
        segmentation(analysed_from(path), PHANTOM.mask)


@pytest.mark.parametrize(
    ("name", "vr", "value"),
    [("FrameOfReferenceUID", "UI", ["1.2", "1.3"]), ("LossyImageCompression", "US", 7)],
)
def test_an_element_that_is_something_else_is_left_out(tmp_path, name, vr, value):
    path = write_ultrasound(tmp_path / "scan.dcm", [PHANTOM.image])
    dataset = dcmread(path)
    dataset[name] = DataElement(tag_for_keyword(name), vr, value)
    dataset.save_as(path)
    for make in (segmentation, secondary_capture):
        made = dcmread(io.BytesIO(make(analysed_from(path), PHANTOM.mask)))
        assert made.get(name) != dataset[name].value
