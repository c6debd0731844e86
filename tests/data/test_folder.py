"""A plain folder: what its masks and groups mean, and what is said where they mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unet.data.cases import read_mask
from unet.data.folder import find_cases
from unet.data.loading import sources_of


@pytest.fixture
def folder(tmp_path):
    """Three images, each with a mask of a square."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(3):
        write(tmp_path, number, 255)
    return tmp_path


def write(folder, number: int, lesion: int, rest: int = 0) -> None:
    mask = np.full((30, 40), rest, np.uint8)
    mask[5:15, 10:20] = lesion
    Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    Image.fromarray(mask // 2 + number).save(folder / "images" / f"{number}.png")


@pytest.mark.parametrize("start", ["", "\ufeff"])  # as Excel writes it
@pytest.mark.parametrize("ending", ["", ".png"])
def test_images_of_one_patient_are_known_by_their_name(folder, start, ending):
    rows = f"0{ending},p1\n1{ending},p1\n2{ending},\n"
    (folder / "groups.csv").write_text(f"{start}name,group\n{rows}")
    cases, problems = find_cases(folder)
    assert problems == []
    patient = f"{folder.name} p1"
    assert [case.patient for case in cases] == [patient, patient, None]


def test_rows_that_mean_no_image_and_columns_that_are_missing_are_told(folder):
    (folder / "groups.csv").write_text("name,group\n0.jpg,p1\n")
    assert find_cases(folder)[1] == [f"{folder / 'groups.csv'}: there is no image '0.jpg'"]
    (folder / "groups.csv").write_text("image,patient\n0,p1\n")
    (problem,) = find_cases(folder)[1]
    assert problem.endswith("expected a column group and a column name")


def test_a_mask_of_0_and_1_is_one_and_one_of_many_small_values_is_refused(folder):
    write(folder, 0, 1)
    write(folder, 1, 0)
    cases, problems = find_cases(folder)
    assert [case.label for case in cases] == ["lesion", "normal", "lesion"]
    assert problems == []
    assert read_mask(cases[0]).sum() == 100
    write(folder, 2, 3, rest=1)
    (problem,) = find_cases(folder)[1]
    assert "2.png: expected a mask of 0 and 255, got values up to 3" in problem


def test_published_sets_in_this_layout_are_cited_by_their_name(tmp_path):
    for name in ("BUS-UCLM", "mine"):
        for part in ("images", "masks"):
            (tmp_path / name / part).mkdir(parents=True)
        write(tmp_path / name, 1, 255)
    cases = [case for name in ("BUS-UCLM", "mine") for case in find_cases(tmp_path / name)[0]]
    published, own = sources_of(cases)
    assert "7fvgj4jsp7, version 3" in published["citation"]
    assert (published["licence"], published["shared"]) == ("CC BY 4.0", True)
    assert "shared" not in own
