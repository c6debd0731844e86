import numpy as np

from unet.core.rendering import FALSE_ALARM, HIT, LESION, MISS, agreement, outline, overlay

IMAGE = np.full((40, 60), 100, np.uint8)
MASK = np.zeros((40, 60), bool)
MASK[10:30, 20:50] = True


def test_the_overlay_outlines_tints_and_leaves_the_rest():
    picture = overlay(IMAGE, MASK, opacity=0.5)
    assert (picture[~MASK] == 100).all()
    assert (picture[10, 20] == LESION).all()
    expected = (np.array(LESION) * 0.5 + 50.5).astype(np.uint8)
    np.testing.assert_array_equal(picture[20, 35], expected)
    assert (IMAGE == 100).all()


def test_the_outline_lies_inside_the_mask_and_grows_with_the_image():
    assert outline(MASK).sum() == MASK.sum() - 18 * 28
    large = np.zeros((1000, 1500), bool)
    large[100:200, 100:300] = True
    assert outline(large).sum() == 100 * 200 - 88 * 188


def test_agreement_colours_hits_misses_and_false_alarms():
    truth = np.roll(MASK, 5, axis=1)
    picture = agreement(np.zeros((40, 60), np.uint8), MASK, truth)
    for column, colour in ((22, FALSE_ALARM), (35, HIT), (52, MISS)):
        np.testing.assert_array_equal(picture[20, column], np.array(colour) // 2)
    assert (picture[0, 0] == 0).all()
