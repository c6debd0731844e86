import importlib.util
import itertools
import time

import numpy as np
import pytest
import tensorflow as tf

from unet.data import pipeline
from unet.data.augmentation import MILD, STRONG

N, S = 7, 16
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is optional")


@pytest.fixture(params=["tensorflow", pytest.param("jax", marks=needs_jax)])
def made_by(request):
    """The module that makes the batches, and its change of one image by (seed, number)."""
    if request.param == "tensorflow":
        return pipeline, lambda x, y, key, how=MILD: pipeline.augmented(x, y, np.array(key), how)
    import jax

    from unet.data import pipeline_jax

    change = jax.jit(pipeline_jax.augmented, static_argnames="how")

    def augmented(x, y, key, how=MILD):
        return change(x, y, jax.random.fold_in(jax.random.key(key[0]), key[1]), how=how)

    return pipeline_jax, augmented


def filled_up(made_by) -> bool:
    """Whether an epoch's last batch is as large as the others."""
    return made_by[0] is not pipeline


@pytest.fixture
def training_batches(made_by):
    return made_by[0].training_batches


@pytest.fixture
def evaluation_batches(made_by):
    return made_by[0].evaluation_batches


@pytest.fixture
def augmented(made_by):
    return made_by[1]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.random((N, S, S, 1), np.float32)
    images[:, 0, 0, 0] = np.arange(N) / 10  # a name tag
    return images, random.random((N, S, S, 1)) > 0.5


def epoch_of(pipeline, count=3):
    return [(np.asarray(x), np.asarray(y)) for x, y in itertools.islice(pipeline, count)]


def tags(epoch) -> list[int]:
    return [round(float(v) * 10) for x, _ in epoch for v in x[:, 0, 0, 0]]


def test_an_epoch_shows_every_case_once_and_the_last_batch_too(data, made_by, training_batches):
    pipeline = training_batches(*data, batch_size=3, seed=0, augmentation=None)
    epoch = epoch_of(pipeline)
    if filled_up(made_by):
        assert [len(x) for x, _ in epoch] == [3, 3, 3]
        assert tags(epoch)[N:] == tags(epoch)[: 9 - N]  # filled up with the first
    else:
        assert [len(x) for x, _ in epoch] == [3, 3, 1]
    assert sorted(tags(epoch)[:N]) == list(range(N))


def test_each_epoch_has_its_own_order_and_images_keep_their_masks(data, training_batches):
    images, masks = data
    pipeline = iter(training_batches(*data, batch_size=3, seed=0, augmentation=None))
    first, second = epoch_of(pipeline), epoch_of(pipeline)
    assert tags(first) != tags(second)
    for (x, y), *_ in (first, second):
        for image, mask in zip(x, y):
            case = round(float(image[0, 0, 0]) * 10)
            np.testing.assert_array_equal(image, images[case])
            np.testing.assert_array_equal(mask, masks[case])


@pytest.mark.parametrize("more", [{}, {"augmentation": STRONG}])
def test_a_run_that_starts_later_sees_what_the_whole_run_saw(data, more, training_batches):
    whole = iter(training_batches(*data, batch_size=3, seed=5, **more))
    epoch_of(whole)
    resumed = training_batches(*data, batch_size=3, seed=5, first_epoch=1, **more)
    for (x, y), (x_resumed, y_resumed) in zip(epoch_of(whole), epoch_of(resumed)):
        np.testing.assert_array_equal(x, x_resumed)
        np.testing.assert_array_equal(y, y_resumed)


def test_augmentation_differs_between_epochs_and_stays_in_range(data, training_batches):
    pipeline = iter(training_batches(*data, batch_size=N, seed=0))
    (x1, y1), (x2, _) = epoch_of(pipeline, 1)[0], epoch_of(pipeline, 1)[0]
    assert np.abs(x1.mean() - x2.mean()) > 1e-4
    assert 0 <= x1.min() <= x1.max() <= 1
    assert set(np.unique(y1)) == {0, 1}


def test_strong_augmentation_moves_the_mask_with_the_image_and_stays_in_range(augmented):
    square = np.zeros((64, 64, 1), np.float32)
    square[10:30, 35:55] = 1
    agreeing = []
    for number in range(40):
        image, mask = map(np.asarray, augmented(square, square, (0, number), STRONG))
        assert set(np.unique(mask)) <= {0, 1}
        assert 0 <= image.min() <= image.max() <= 1
        agreeing.append(((image > 0.4) == (mask > 0.5)).mean())
    assert min(agreeing) > 0.95


def test_augmentation_moves_the_mask_with_the_image(augmented):
    square = np.zeros((64, 64, 1), np.float32)
    square[10:30, 35:55] = 1
    for number in range(20):
        image, mask = map(np.asarray, augmented(square, square, (0, number)))
        overlap = ((image > 0.4) == (mask > 0.5)).mean()
        assert overlap > 0.97


def test_some_images_are_flipped_left_to_right_and_none_upside_down(augmented):
    corner = np.zeros((64, 64, 1), np.float32)
    corner[8:24, 8:24] = 1
    centres = []
    for number in range(40):
        rows, columns, _ = np.nonzero(np.asarray(augmented(corner, corner, (1, number))[1]))
        centres.append((rows.mean(), columns.mean()))
    rows, columns = np.array(centres).T
    assert (rows < 32).all()
    assert 10 < (columns > 32).sum() < 30


def test_validation_keeps_order_and_the_last_batch(data, evaluation_batches):
    images, masks = data
    pipeline = list(evaluation_batches(images, masks, 3))
    assert [len(x) for x, _ in pipeline] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in pipeline]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in pipeline]), masks)


def test_cases_are_shown_as_often_as_asked_and_say_if_there_is_a_lesion(
    data, training_batches, evaluation_batches
):
    images, masks = data
    masks = masks.copy()
    masks[2] = False
    repeats = np.array([1, 1, 3, 1, 1, 1, 2])
    pipeline = training_batches(
        images, masks, batch_size=4, seed=0, augmentation=None, repeats=repeats, presence=True
    )
    epoch = [(np.asarray(x), {k: np.asarray(v) for k, v in y.items()})
             for x, y in itertools.islice(pipeline, 3)]  # fmt: skip
    shown = tags(epoch)
    assert [shown[: repeats.sum()].count(case) for case in range(N)] == list(repeats)
    present = np.concatenate([y["presence"] for _, y in epoch])
    assert present.shape == (len(shown), 1)
    assert [bool(p) for p in present[:, 0]] == [case != 2 for case in shown]
    x, y = next(iter(evaluation_batches(images, masks, 7, presence=True)))
    assert list(np.asarray(y["presence"])[:, 0] > 0) == [case != 2 for case in range(N)]
    np.testing.assert_array_equal(x, images)


@needs_jax
@pytest.mark.parametrize("how", [MILD, STRONG])
def test_both_change_an_image_alike_where_they_draw_the_same(how, monkeypatch):
    import jax
    import tensorflow as tf

    from unet.data import pipeline_jax

    random = np.random.default_rng(0)
    image = random.random((64, 64, 1)).astype(np.float32)
    uniform = {n: random.uniform(-1, 1, n).astype(np.float32) for n in (7, 5)}
    uniform[2] = np.array([0.1, 0.4], np.float32)  # the first: resolution is lost
    normal = {n: random.normal(size=(n, n, 1)).astype(np.float32) for n in (32, 64)}
    monkeypatch.setattr(
        jax.random, "uniform", lambda _, shape, **__: jax.numpy.asarray(uniform[shape])
    )
    monkeypatch.setattr(jax.random, "normal", lambda _, shape: jax.numpy.asarray(normal[shape[0]]))
    monkeypatch.setattr(
        tf.random, "stateless_uniform", lambda shape, *_: tf.constant(uniform[shape[0]])
    )
    monkeypatch.setattr(
        tf.random, "stateless_normal", lambda shape, *_: tf.constant(normal[shape[0]])
    )
    mask = (image > 0.5).astype(np.float32)
    found = pipeline_jax.augmented(image, mask, jax.random.key(0), how)
    expected = pipeline.augmented(image, mask, np.array([0, 1]), how)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    assert np.abs(expected[0] - image).mean() > 0.05


def test_cases_are_augmented_side_by_side(monkeypatch):
    running, most = [], []

    def slow(image, mask, key, how):
        def count(x):
            running.append(1)
            most.append(len(running))
            time.sleep(0.05)
            running.pop()
            return x

        return tf.ensure_shape(tf.numpy_function(count, [image], tf.float32), image.shape), mask

    monkeypatch.setattr(pipeline, "augmented", slow)
    images = np.zeros((16, 8, 8, 1), np.float32)
    masks = np.zeros((16, 8, 8, 1), bool)
    next(iter(pipeline.training_batches(images, masks, batch_size=16, seed=0)))
    assert max(most) > 1
