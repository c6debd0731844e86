import numpy as np

from unet.core.metrics import Confusion
from unet.core.watershed import enhanced, watershed_mask


def blob(height: int, width: int, grey: int, around: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark oval in speckle, left of the middle, and where it is."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - 0.5 * height) / (0.2 * height)) ** 2 + (
        (x - 0.4 * width) / (0.15 * width)
    ) ** 2 < 1
    noise = np.random.default_rng(1).normal(0, 12, (height, width))
    return np.clip(np.where(inside, grey, around) + noise, 0, 255).astype(np.uint8), inside


def test_a_dark_oval_is_outlined_at_the_images_own_size():
    image, truth = blob(200, 310, 40, 150)
    mask = watershed_mask(image)
    assert mask.shape == image.shape
    assert mask.dtype == bool
    assert Confusion.of(mask, truth).dice > 0.85


def test_contrast_does_not_matter_since_it_is_stretched():
    image, truth = blob(240, 200, 90, 140)
    assert Confusion.of(watershed_mask(image), truth).dice > 0.8


def test_nothing_is_found_in_one_grey():
    assert not watershed_mask(np.full((80, 90), 120, np.uint8)).any()


def test_enhancement_keeps_the_order_of_grey_values_and_spreads_them():
    image = np.random.default_rng(0).normal(0.5, 0.05, (40, 50)).clip(0, 1)
    bright = enhanced(image)
    order = np.argsort(image.ravel())
    assert (np.diff(bright.ravel()[order]) >= 0).all()
    assert bright.std() > 3 * image.std()
    assert 0 <= bright.min() <= bright.max() <= 1
