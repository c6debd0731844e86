from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet.data.cases import Case, DatasetError, group_cases, read_mask
from unet.data.loading import find_cases, load_datasets


def copy_tree(source: Path, target: Path) -> Path:
    for path in source.rglob("*.png"):
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        (target / path.parent.name / path.name).write_bytes(path.read_bytes())
    return target


def test_cases_are_found_with_their_class_and_masks(phantoms):
    cases, problems = find_cases(phantoms)
    assert problems == []
    assert Counter(c.label for c in cases) == {"benign": 10, "malignant": 5, "normal": 3}
    assert cases[0].id == f"{phantoms.name}/benign/benign (1)"  # they are not BUSI's
    assert cases[0].masks[0].name == "benign (1)_mask.png"


def test_the_data_set_is_found_in_its_published_folder(phantoms, tmp_path):
    copy_tree(phantoms, tmp_path / "Dataset_BUSI_with_GT")
    cases, _ = find_cases(tmp_path)
    assert len(cases) == 18
    assert (cases[0].id, cases[0].dataset) == ("benign/benign (1)", "BUSI")


def test_a_part_of_it_is_recognised_in_a_folder_of_any_name(phantoms, tmp_path):
    """Else its cases would count as never seen by a network that was trained on them."""
    root = copy_tree(phantoms, tmp_path / "mine")
    assert {case.dataset for case in find_cases(root)[0]} == {"BUSI"}
    for path in (root / "benign").glob("benign (1)*"):
        path.rename(path.with_name(path.name.replace("benign (1)", "case one")))
    cases, _ = find_cases(root)
    assert {case.dataset for case in cases} == {"mine"}
    assert all(case.id.startswith("mine/") for case in cases)


def test_two_data_sets_in_one_folder_are_refused_by_both_their_names(phantoms, tmp_path):
    copy_tree(phantoms, tmp_path / "Dataset_BUSI_with_GT")
    for name in ("images", "masks"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    cases, (problem,) = find_cases(tmp_path)
    assert cases == []
    assert f"BUSI in {tmp_path / 'Dataset_BUSI_with_GT'}" in problem
    assert f"folder in {tmp_path / 'mine'}" in problem


def test_a_second_mask_is_merged_not_dropped(tmp_path):
    left, right = np.zeros((30, 50), bool), np.zeros((30, 50), bool)
    left[5:10, 5:10] = right[20:25, 40:45] = True
    paths = (tmp_path / "a_mask.png", tmp_path / "a_mask_1.png")
    for path, mask in zip(paths, (left, right)):
        Image.fromarray(mask).save(path)
    case = Case("benign/a", "benign", tmp_path / "a.png", paths)
    np.testing.assert_array_equal(read_mask(case), left | right)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_a_mask_is_read_in_every_mode_of_the_data_set(tmp_path, mode):
    mask = np.zeros((30, 50), bool)
    mask[5:10, 20:40] = True
    Image.fromarray(mask).convert(mode).save(tmp_path / "a_mask.png")
    case = Case("benign/a", "benign", tmp_path / "a.png", (tmp_path / "a_mask.png",))
    np.testing.assert_array_equal(read_mask(case), mask)


def test_everything_wrong_with_a_folder_is_said_at_once(phantoms, tmp_path):
    root = copy_tree(phantoms, tmp_path)
    (root / "benign" / "benign (1)_mask.png").unlink()
    Image.new("1", (7, 5)).save(root / "benign" / "benign (2)_mask.png")
    broken = root / "malignant" / "malignant (1).png"
    broken.write_bytes(broken.read_bytes()[:500])
    (root / "malignant" / "malignant (2).png").unlink()
    for path in (root / "normal").glob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError) as error:
        load_datasets([root], 32)
    message = str(error.value)
    assert message.startswith("5 problem(s)")
    for line in (
        "benign (1).png: image without a mask",
        "benign (2).png: the image is",
        "malignant (1).png: damaged or cut off",
        "malignant (2)_mask.png: mask without an image",
        "normal: no images",
    ):
        assert line in message


def test_a_missing_class_folder_is_said(tmp_path):
    (tmp_path / "benign").mkdir()
    _, problems = find_cases(tmp_path)
    assert [p for p in problems if "class folder missing" in p] == [
        f"{tmp_path / label}: class folder missing" for label in ("malignant", "normal")
    ]


def test_a_missing_data_folder_is_said(tmp_path):
    with pytest.raises(DatasetError, match="expected a folder, found none"):
        load_datasets([tmp_path / "nowhere"], 32)


def test_near_duplicates_chain_into_one_group():
    hashes = np.zeros((4, 256), bool)
    hashes[1, :20] = True  # 20 bits from 0
    hashes[2, :45] = True  # 25 bits from 1, 45 from 0
    hashes[3, 100:200] = True
    np.testing.assert_array_equal(group_cases(hashes, [None] * 4), [0, 0, 0, 3])
    np.testing.assert_array_equal(group_cases(hashes, [None, "a", None, "a"]), [0, 0, 0, 0])


def test_an_image_and_its_copy_share_a_group(phantoms, tmp_path):
    root = copy_tree(phantoms, tmp_path)
    bright = Image.open(root / "benign" / "benign (3).png").point(lambda v: v * 0.9)
    bright.save(root / "normal" / "normal (9).png")
    Image.new("1", bright.size).save(root / "normal" / "normal (9)_mask.png")
    groups = {case.id: case.group for case in load_datasets([root], 32).cases}
    assert groups["normal/normal (9)"] == groups["benign/benign (3)"]
    assert Counter(groups.values()).most_common()[0][1] == 2


def test_arrays_are_in_the_networks_size_and_in_the_order_of_the_cases(phantoms):
    dataset = load_datasets([phantoms], 32)
    assert dataset.images.shape == dataset.masks.shape == (18, 32, 32, 1)
    assert dataset.images.dtype == np.float32
    has_lesion = dataset.masks.any(axis=(1, 2, 3))
    assert [case.label == "normal" for case in dataset.cases] == list(~has_lesion)
