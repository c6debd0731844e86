import numpy as np
import pytest

from unet.core.regions import find_regions, sentence, to_json


def p8_of(mask: np.ndarray, value: int = 204) -> np.ndarray:
    return np.where(mask, value, 0).astype(np.uint8)


def test_a_rectangle_is_measured_to_its_pixels_corners():
    mask = np.zeros((50, 90), bool)
    mask[10:13, 20:24] = True  # 3 high, 4 wide: diagonal 5
    (region,) = find_regions(mask, p8_of(mask))
    assert region.area_px == 12
    assert region.share == pytest.approx(12 / 4500)
    assert region.box_px == (20, 10, 4, 3)
    assert region.longest_px == pytest.approx(5)
    assert region.perpendicular_px == pytest.approx(2 * 12 / 5)  # across the diagonal
    assert region.mean_probability == region.peak_probability == pytest.approx(0.8)
    assert region.area_mm2 is None


def test_millimetres_take_the_pixels_height_and_width_apart():
    mask = np.zeros((50, 90), bool)
    mask[10:11, 20:60] = True  # 40 wide, 1 high
    (region,) = find_regions(mask, p8_of(mask), spacing_mm=(0.5, 0.1))
    assert region.area_mm2 == pytest.approx(40 * 0.05)
    assert region.longest_mm == pytest.approx(np.hypot(4, 0.5))


def test_regions_come_largest_first_and_touching_corners_join():
    mask = np.zeros((20, 30), bool)
    mask[1, 1] = mask[2, 2] = True
    mask[10:14, 20:25] = True
    assert [r.area_px for r in find_regions(mask, p8_of(mask))] == [20, 2]


def test_one_pixel_and_the_whole_image_can_be_measured():
    one = np.zeros((6, 8), bool)
    one[5, 7] = True
    assert find_regions(one, p8_of(one))[0].longest_px == pytest.approx(np.sqrt(2))
    (whole,) = find_regions(~(one & False), p8_of(~one | one))
    assert (whole.area_px, whole.longest_px) == (48, pytest.approx(10))


def test_no_region_is_said_in_words():
    mask = np.zeros((6, 8), bool)
    assert find_regions(mask, p8_of(mask)) == []
    assert sentence([]) == "No lesion found at this threshold. This does not rule one out."
    assert to_json([], mask) == {"image_size_px": [8, 6], "lesion_found": False, "regions": []}


def test_the_sentence_names_size_share_and_probability():
    mask = np.zeros((50, 90), bool)
    mask[10:13, 20:24] = True
    assert sentence(find_regions(mask, p8_of(mask))) == (
        "1 region: 5 × 5 pixels, 0.3% of the image, mean probability 0.80, peak 0.80."
    )
    assert "0.5 × 0.5 mm" in sentence(find_regions(mask, p8_of(mask), (0.1, 0.1)))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        find_regions(np.zeros((4, 5), bool), np.zeros((5, 4), np.uint8))
