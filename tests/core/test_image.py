import numpy as np
import pytest
from PIL import Image

from unet.core.image import mask_to_input, resize_probability, to_grey, to_input


def test_the_input_is_grey_square_in_0_1_and_rounded_to_4_decimals():
    image = np.random.default_rng(0).integers(0, 256, (190, 310, 3), np.uint8)
    tensor = to_input(image, 256)
    assert tensor.shape == (256, 256, 1)
    assert tensor.dtype == np.float32
    assert 0 <= tensor.min() <= tensor.max() <= 1
    np.testing.assert_array_equal(tensor, np.round(tensor, 4))


def test_an_image_of_the_networks_size_is_only_divided():
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    np.testing.assert_allclose(to_input(image, 64)[:, :, 0], image / 255, atol=5.1e-5)


def test_brightness_is_never_scaled_by_content():
    dark = np.full((40, 70), 30, np.uint8)
    assert to_input(dark, 32) == pytest.approx(round(30 / 255, 4))


def test_array_and_pil_image_and_grey_rgb_give_the_same_input():
    grey = np.random.default_rng(0).integers(0, 256, (50, 80), np.uint8)
    expected = to_input(grey, 32)
    for same in (Image.fromarray(grey), np.stack([grey] * 3, 2), grey[:, :, None]):
        np.testing.assert_array_equal(to_input(same, 32), expected)


def test_a_mask_is_resized_by_nearest_pixel_and_stays_binary():
    mask = np.zeros((100, 300), bool)
    mask[:50, :100] = True  # top left: half the height, a third of the width
    small = mask_to_input(mask, 60)
    assert small.dtype == bool
    expected = np.zeros((60, 60, 1), bool)
    expected[:30, :20] = True
    np.testing.assert_array_equal(small, expected)


def test_the_output_goes_back_to_the_images_own_place_and_size():
    square = np.zeros((60, 60), np.float32)
    square[:30, :20] = 1
    probability = resize_probability(square, 100, 300)
    assert probability.shape == (100, 300)
    assert probability.dtype == np.float32
    mask = probability >= 0.5
    assert mask[:49, :98].all()
    assert not mask[51:].any()
    assert not mask[:, 102:].any()


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4), np.uint16), "scan.png", None])
def test_what_is_not_an_8_bit_image_is_refused(image):
    with pytest.raises(TypeError, match="expected a PIL image or a uint8 array"):
        to_grey(image)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (2, 4, 4, 3), (0, 4), (4, 0, 3)])
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        to_grey(np.zeros(shape, np.uint8))


def test_a_16_bit_pil_image_is_refused_not_clipped():
    with pytest.raises(TypeError, match=r"I;16.*read_image"):
        to_grey(Image.fromarray(np.full((4, 4), 4000, np.uint16)))


def test_what_is_transparent_is_read_as_the_page_reads_it(tmp_path):
    from unet.io.images import read_image

    pixels = np.full((6, 8, 4), 255, np.uint8)
    pixels[:, :4, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    with Image.open(tmp_path / "clear.png") as image:
        np.testing.assert_array_equal(to_grey(image), read_image(tmp_path / "clear.png"))
    assert not to_grey(Image.fromarray(pixels))[:, :4].any()
