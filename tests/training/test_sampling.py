from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import QUICK
from unet.data.cases import Case, read_mask
from unet.data.loading import load_datasets
from unet.training.sampling import dataset_repeats, make_training_set

pytestmark = pytest.mark.slow


def test_whole_images_come_twice_as_often_as_pieces_and_normals_as_often_as_said(phantoms):
    dataset = load_datasets([phantoms], 32)
    indices = list(range(len(dataset.cases)))
    lesion = dataset.masks.any(axis=(1, 2, 3))
    assert 0 < lesion.sum() < len(lesion)
    plain = make_training_set(dataset, indices, replace(QUICK, normal_oversampling=3))
    assert list(plain.repeats) == [1 if has else 3 for has in lesion]
    more = make_training_set(dataset, indices, replace(QUICK, normal_oversampling=3, patches=True))
    assert list(more.repeats[: len(indices)]) == [2 if has else 6 for has in lesion]
    pieces = slice(len(indices), None)
    assert (more.repeats[pieces] == 1).all()
    assert len(more.images) > len(indices) + lesion.sum()
    with_lesion = more.masks[pieces].any(axis=(1, 2, 3))
    # One with and one without for each lesion, one without for each normal.
    assert with_lesion.sum() == (~with_lesion).sum() - (~lesion).sum()


def test_a_small_set_of_many_patients_is_shown_more_often_and_alike_frames_are_not():
    def cases(name: str, images: int, groups: int) -> list[Case]:
        return [
            Case(f"{name}/{i}", "benign", Path(), (), dataset=name, group=hash((name, i % groups)))
            for i in range(images)
        ]

    large, small = cases("large", 800, 450), cases("small", 90, 90)
    frames, tiny = cases("frames", 50, 4), cases("tiny", 10, 10)
    repeats = dataset_repeats(large + small + frames + tiny, most=3)
    by_set = np.split(repeats, np.cumsum([800, 90, 50]))
    assert [set(own.tolist()) for own in by_set] == [{1}, {2}, {1}, {3}]
    assert (dataset_repeats(large + small, most=1) == 1).all()


def test_windows_are_about_lesions_and_false_candidates_clear_of_them(phantoms):
    dataset = load_datasets([phantoms], 32)
    indices = list(range(len(dataset.cases)))
    lesion = dataset.masks.any(axis=(1, 2, 3))
    normal = [case.id for case in dataset.cases if case.label == "normal"]
    with_lesion = next(case for case in dataset.cases if case.label != "normal")
    rows, columns = np.nonzero(read_mask(with_lesion))
    on_it = [float(side) for side in (columns.min(), rows.min(), columns.max(), rows.max())]
    candidates = {name: [[10.0, 10.0, 30.0, 40.0], [50.0, 60.0, 90.0, 80.0]] for name in normal}
    candidates |= {with_lesion.id: [on_it], "of another set": [[1.0, 1.0, 2.0, 2.0]]}
    config = replace(QUICK, windows=True)
    found = make_training_set(dataset, indices, config, candidates)
    more = found.masks[len(indices) :].any(axis=(1, 2, 3))
    assert more.sum() <= lesion.sum()  # one each, but for those that fill the picture
    assert more.sum() > lesion.sum() / 2
    assert (~more).sum() == 2 * len(normal)  # none that shows a lesion
    assert list(found.repeats[: len(indices)]) == [2] * len(indices)
    assert (found.repeats[len(indices) :] == 1).all()
    again = make_training_set(dataset, indices, config, candidates)
    np.testing.assert_array_equal(found.images, again.images)
    assert len(make_training_set(dataset, indices, QUICK, candidates).images) == len(indices)
