import numpy as np

from unet.data.annotations import annotation_layers


def test_the_seed_decides_the_layers():
    first, again, other = (annotation_layers(64, seed, 5) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (5, 64, 64)
    assert first.dtype == np.uint8


def test_layers_differ_and_cover_little_of_the_image():
    layers = annotation_layers(224, 0, 60) > 0
    covered = layers.mean(axis=(1, 2))
    assert np.median(covered) > 0.001
    assert covered.max() < 0.2
    drawn = layers.any(axis=0)
    for rows in (slice(0, 112), slice(112, 224)):  # anywhere in the image
        for columns in (slice(0, 112), slice(112, 224)):
            assert drawn[rows, columns].mean() > 0.1
