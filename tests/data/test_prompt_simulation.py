"""Simulated people click where people would."""

import numpy as np
import pytest

from unet.core.prompts import Prompts
from unet.data.prompt_simulation import (
    ELSE_AREAS,
    click,
    first_click,
    first_prompt,
    loose_box,
    next_click,
    scribble,
    standing_out,
)

TRUTH = np.zeros((60, 90), bool)
TRUTH[20:40, 30:70] = True


def people():
    return [np.random.default_rng(seed) for seed in range(50)]


def test_clicks_lie_inside_yet_seldom_in_the_middle():
    points = np.array([click(TRUTH, random) for random in people()])
    assert all(TRUTH[int(y), int(x)] for x, y in points)
    assert np.ptp(points[:, 0]) > 10
    assert np.ptp(points[:, 1]) > 3


def test_the_same_person_clicks_the_same():
    one, other = (first_prompt(TRUTH, np.random.default_rng(3)) for _ in range(2))
    assert one == other


def test_people_begin_by_clicks_scribbles_and_boxes():
    prompts = [first_prompt(TRUTH, random) for random in people()]
    boxes = sum(bool(prompt.boxes) for prompt in prompts)
    scribbles = sum(len(stroke) > 1 for prompt in prompts for stroke in prompt.positive)
    assert 0 < boxes < 20
    assert 0 < scribbles < 20
    assert all(prompt.has_positive for prompt in prompts)


def test_a_box_is_about_the_lesion_and_a_little_too_large():
    for random in people():
        left, top, right, bottom = loose_box(TRUTH, random)
        assert 20 <= left <= 32
        assert 68 <= right <= 80
        assert 15 <= top <= 21
        assert 39 <= bottom <= 45


def test_a_scribble_stays_inside():
    for random in people():
        assert all(TRUTH[int(y), int(x)] for x, y in scribble(TRUTH, random))


def test_the_next_click_goes_to_the_largest_error():
    begun = first_click(TRUTH, np.random.default_rng(0))
    mask = TRUTH.copy()
    mask[20:40, 60:] = False  # 200 pixels missed
    mask[0:10, 0:10] = True  # 100 too many
    more = next_click(begun, TRUTH, mask, np.random.default_rng(1))
    assert len(more.positive) == 2
    assert not more.negative
    x, y = more.positive[1][0]
    assert 60 <= x < 70
    assert 20 <= y < 40
    mask[20:40, 60:70] = True
    more = next_click(begun, TRUTH, mask, np.random.default_rng(1))
    assert len(more.positive) == 1
    ((x, y),) = more.negative[0]
    assert x < 10
    assert y < 10


def test_nobody_clicks_where_nothing_is_wrong():
    assert next_click(Prompts(), TRUTH, TRUTH, np.random.default_rng(0)) == Prompts()


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (60, 1)])
def test_a_lesion_that_fills_the_picture_can_be_clicked(shape):
    x, y = click(np.ones(shape, bool), np.random.default_rng(0), jitter=0.5)
    assert 0 <= x < shape[1]
    assert 0 <= y < shape[0]


def test_what_stands_out_is_a_region_alike_in_itself_where_it_may_be():
    random = np.random.default_rng(0)
    grey = np.full((64, 64), 0.6) + random.normal(0, 0.02, (64, 64))
    grey[20:36, 8:28] -= 0.4
    lesion = np.zeros((64, 64), bool)
    lesion[40:60, 40:60] = True
    found = [standing_out(grey, ~lesion, random) for _ in range(30)]
    shares = [region.mean() for region in found if region.any()]
    assert len(shares) > 20
    assert ELSE_AREAS[0] / 2 < min(shares) <= max(shares) <= ELSE_AREAS[1] * 1.05
    assert not (np.any(found, axis=0) & lesion).any()
    dark = [r for r in found if r[20:36, 8:28].sum() > 0.5 * r.sum() > 0]
    assert dark
    for region in dark:  # it ends where the grey values change
        assert region[20:36, 8:28].sum() > 0.9 * region.sum()
    assert not standing_out(grey, np.zeros((64, 64), bool), random).any()
    assert not standing_out(np.zeros((64, 64)), ~lesion, random).any()  # where no tissue is
