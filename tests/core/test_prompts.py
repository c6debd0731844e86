"""What a person points at, as a network is shown it."""

import numpy as np
import pytest

from unet.core.prompts import (
    MAX_PROMPTS,
    Prompts,
    crop_prompts,
    draw_prompts,
    keep_prompted_regions,
    parse_prompts,
    zoom_window,
)
from unet.core.windows import blend_window


def test_a_click_is_a_disc_where_it_was_made():
    positive, negative = np.moveaxis(
        draw_prompts(Prompts(positive=(((30.0, 10.0),),)), 40, 80, 160), 2, 0
    )
    y, x = np.nonzero(positive)
    assert not negative.any()
    # 80 × 40 pixels on 160 × 160: x is doubled, y is fourfold; the pen's radius is 3.
    assert (x.min(), x.max(), y.min(), y.max()) == (57, 62, 37, 42)
    assert positive[39, 59] == positive[40, 60] == 1
    assert positive[37, 57] == 0


def test_a_stroke_is_a_line_and_a_box_is_all_that_lies_outside():
    prompts = Prompts(negative=(((10.0, 10.0), (50.0, 10.0)),), boxes=((20.0, 40.0, 60.0, 80.0),))
    positive, negative = np.moveaxis(draw_prompts(prompts, 100, 100, 100), 2, 0)
    assert not positive.any()
    assert negative[40:80, 20:60].sum() == 0
    assert negative[:40].all()
    assert negative[:, 60:].all()
    line = draw_prompts(Prompts(negative=prompts.negative), 100, 100, 100)[:, :, 1]
    assert line[9:11, 10:50].all()
    assert not line[20:].any()


def test_two_boxes_leave_both_insides_open():
    maps = draw_prompts(Prompts(boxes=((0, 0, 10, 10), (20, 20, 30, 30))), 40, 40, 40)
    assert (maps[:, :, 1] == 0).sum() == 200


def test_a_box_between_two_middles_leaves_one_pixel_open():
    for box in ((17, 3, 18, 4), (39.9, 39.9, 40, 40)):
        maps = draw_prompts(Prompts(boxes=(box,)), 40, 40, 4)
        assert (maps[:, :, 1] == 0).sum() == 1


def test_prompts_are_read_as_the_page_sends_them():
    said = {"positive": [[[5, 6]]], "negative": [[[1, 2], [99, -3]]], "boxes": [[9, 8, 2, 1]]}
    prompts = parse_prompts(said, height=20, width=40)
    assert prompts == Prompts(
        (((5.0, 6.0),),), (((1.0, 2.0), (40.0, 0.0)),), ((2.0, 1.0, 9.0, 8.0),)
    )
    assert prompts.has_positive
    assert not parse_prompts(None, 20, 40)
    assert not parse_prompts({}, 20, 40)
    assert not Prompts(negative=prompts.negative).has_positive


@pytest.mark.parametrize(
    "said",
    [
        [], "positive", {"within": []}, {"positive": 3}, {"positive": [[]]}, {"positive": [[[1]]]},
        {"positive": [[["a", 1]]]}, {"positive": [[[float("nan"), 1]]]}, {"boxes": [[1, 2, 3]]},
        {"positive": [["12"]]}, {"positive": [[[1, 1]]] * (MAX_PROMPTS + 1)},
        {"positive": [[[10**400, 1]]]}, {"boxes": [[1, 2, 3, float("inf")]]},
    ],
)  # fmt: skip
def test_what_is_no_hint_is_refused_in_words(said):
    with pytest.raises(ValueError, match="prompts"):
        parse_prompts(said, 20, 40)


def test_a_closer_look_is_half_the_picture_about_a_click_and_lies_within_it():
    click = Prompts(positive=(((50.0, 20.0),),), negative=(((99.0, 59.0),),))
    assert zoom_window(click, 60, 100) == (25, 5, 75, 35)
    assert zoom_window(Prompts(positive=(((1.0, 59.0),),)), 60, 100) == (0, 30, 50, 60)
    # It grows with what is pointed at, until the whole picture shows it as well.
    assert zoom_window(Prompts(boxes=((30.0, 20.0, 70.0, 40.0),)), 60, 100) == (20, 12, 80, 48)
    assert zoom_window(Prompts(boxes=((10.0, 20.0, 70.0, 40.0),)), 60, 100) is None
    assert zoom_window(Prompts(negative=click.negative), 60, 100) is None


def test_what_is_seen_from_closer_is_pointed_at_in_its_own_pixels():
    prompts = Prompts(positive=(((50.0, 20.0),),), negative=(((99.0, 59.0),), ((30.0, 6.0),)))
    seen = crop_prompts(prompts, (25, 5, 75, 35))
    assert seen == Prompts(positive=(((25.0, 15.0),),), negative=(((5.0, 1.0),),))


def test_a_closer_look_counts_as_much_as_the_whole_and_fades_at_its_edge():
    whole = np.full((60, 100), 0.2, np.float32)
    both = blend_window(whole, np.full((30, 50), 0.6, np.float32), (25, 5, 75, 35))
    assert both[20, 50] == pytest.approx(0.4)
    assert both[5, 25] == pytest.approx(0.2, abs=0.02)
    assert (both[:5] == whole[:5]).all()
    assert (both[:, 75:] == whole[:, 75:]).all()
    assert whole.max() == np.float32(0.2)


def test_regions_that_nobody_points_at_are_left_out_and_no_more():
    probability_u8 = np.full((40, 60), 20, np.uint8)
    probability_u8[5:15, 5:15], probability_u8[15:20, 15:20] = (
        200,
        150,
    )  # one region: they touch at a corner
    probability_u8[25:35, 40:55] = 180
    click = Prompts(positive=(((10.5, 8.5),),))
    shown = keep_prompted_regions(probability_u8, click, 128)
    expected = probability_u8.copy()
    expected[25:35, 40:55] = 127
    np.testing.assert_array_equal(shown, expected)
    box = Prompts(boxes=((30.0, 20.0, 42.0, 30.0),))
    np.testing.assert_array_equal(
        keep_prompted_regions(probability_u8, box, 128) >= 128, expected == 127
    )
    both = Prompts(positive=click.positive, boxes=box.boxes)
    np.testing.assert_array_equal(keep_prompted_regions(probability_u8, both, 128), probability_u8)
    edge = Prompts(positive=(((60.0, 40.0),),))
    assert (
        keep_prompted_regions(probability_u8, edge, 128) is probability_u8
    )  # a click where there is no region loses nothing


def test_what_a_line_crosses_between_two_points_is_pointed_at_too():
    """A quick pen leaves gaps between its points: two lesions, the second between two of them."""
    probability_u8 = np.zeros((80, 130), np.uint8)
    probability_u8[40:60, 20:40] = probability_u8[40:60, 70:82] = 220
    line = Prompts(positive=(((30.0, 50.0), (60.0, 50.0), (90.0, 50.0), (120.0, 50.0)),))
    np.testing.assert_array_equal(keep_prompted_regions(probability_u8, line, 77), probability_u8)
    across = Prompts(negative=(((5.0, 50.0), (125.0, 50.0)),))
    assert crop_prompts(across, (40, 30, 80, 70)).negative == (((-35.0, 20.0), (85.0, 20.0)),)
    assert not crop_prompts(across, (40, 60, 80, 70)).negative
