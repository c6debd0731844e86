import itertools

import numpy as np
import pytest

from unet.data.batches import (
    STRONG,
    augmented,
    evaluation_batches,
    training_batches,
)

N, S = 7, 16


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.random((N, S, S, 1), np.float32)
    images[:, 0, 0, 0] = np.arange(N) / 10  # a name tag
    return images, random.random((N, S, S, 1)) > 0.5


def epoch_of(batches, count=3):
    return [(x.numpy(), y.numpy()) for x, y in itertools.islice(batches, count)]


def tags(epoch) -> list[int]:
    return [round(float(v) * 10) for x, _ in epoch for v in x[:, 0, 0, 0]]


def test_an_epoch_shows_every_case_once_and_keeps_the_last_batch(data):
    batches = training_batches(*data, batch_size=3, seed=0, augmentation=None)
    epoch = epoch_of(batches)
    assert [len(x) for x, _ in epoch] == [3, 3, 1]
    assert sorted(tags(epoch)) == list(range(N))


def test_each_epoch_has_its_own_order_and_images_keep_their_masks(data):
    images, masks = data
    batches = iter(training_batches(*data, batch_size=3, seed=0, augmentation=None))
    first, second = epoch_of(batches), epoch_of(batches)
    assert tags(first) != tags(second)
    for (x, y), *_ in (first, second):
        for image, mask in zip(x, y):
            case = round(float(image[0, 0, 0]) * 10)
            np.testing.assert_array_equal(image, images[case])
            np.testing.assert_array_equal(mask, masks[case])


@pytest.mark.parametrize("more", [{}, {"augmentation": STRONG}])
def test_a_run_that_starts_later_sees_what_the_whole_run_saw(data, more):
    whole = iter(training_batches(*data, batch_size=3, seed=5, **more))
    epoch_of(whole)
    resumed = training_batches(*data, batch_size=3, seed=5, first_epoch=1, **more)
    for (x, y), (x_resumed, y_resumed) in zip(epoch_of(whole), epoch_of(resumed)):
        np.testing.assert_array_equal(x, x_resumed)
        np.testing.assert_array_equal(y, y_resumed)


def test_augmentation_differs_between_epochs_and_stays_in_range(data):
    batches = iter(training_batches(*data, batch_size=N, seed=0))
    (x1, y1), (x2, _) = epoch_of(batches, 1)[0], epoch_of(batches, 1)[0]
    assert np.abs(x1.mean() - x2.mean()) > 1e-4
    assert 0 <= x1.min() <= x1.max() <= 1
    assert set(np.unique(y1)) == {0, 1}


def test_strong_augmentation_moves_the_mask_with_the_image_and_stays_in_range():
    square = np.zeros((64, 64, 1), np.float32)
    square[10:30, 35:55] = 1
    agreeing = []
    for number in range(40):
        image, mask = augmented(square, square, np.array([0, number]), STRONG)
        assert set(np.unique(mask)) <= {0, 1}
        assert 0 <= image.numpy().min() <= image.numpy().max() <= 1
        agreeing.append(((image.numpy() > 0.4) == (mask.numpy() > 0.5)).mean())
    assert min(agreeing) > 0.95


def test_augmentation_moves_the_mask_with_the_image():
    square = np.zeros((64, 64, 1), np.float32)
    square[10:30, 35:55] = 1
    for number in range(20):
        image, mask = augmented(square, square, np.array([0, number]))
        overlap = ((image.numpy() > 0.4) == (mask.numpy() > 0.5)).mean()
        assert overlap > 0.97


def test_some_images_are_flipped_left_to_right_and_none_upside_down():
    corner = np.zeros((64, 64, 1), np.float32)
    corner[8:24, 8:24] = 1
    centres = []
    for number in range(40):
        rows, columns, _ = np.nonzero(augmented(corner, corner, np.array([1, number]))[1].numpy())
        centres.append((rows.mean(), columns.mean()))
    rows, columns = np.array(centres).T
    assert (rows < 32).all()
    assert 10 < (columns > 32).sum() < 30


def test_validation_keeps_order_and_the_last_batch(data):
    images, masks = data
    batches = list(evaluation_batches(images, masks, 3))
    assert [len(x) for x, _ in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), masks)


def test_cases_are_shown_as_often_as_asked_and_say_if_there_is_a_lesion(data):
    images, masks = data
    masks = masks.copy()
    masks[2] = False
    repeats = np.array([1, 1, 3, 1, 1, 1, 2])
    batches = training_batches(
        images, masks, batch_size=4, seed=0, augmentation=None, repeats=repeats, presence=True
    )
    epoch = [(x.numpy(), {k: v.numpy() for k, v in y.items()})
             for x, y in itertools.islice(batches, 3)]  # fmt: skip
    shown = tags(epoch)
    assert [shown.count(case) for case in range(N)] == list(repeats)
    present = np.concatenate([y["presence"] for _, y in epoch])
    assert present.shape == (repeats.sum(), 1)
    assert [bool(p) for p in present[:, 0]] == [case != 2 for case in shown]
    x, y = next(iter(evaluation_batches(images, masks, 7, presence=True)))
    assert list(y["presence"][:, 0].numpy() > 0) == [case != 2 for case in range(N)]
    np.testing.assert_array_equal(x, images)
