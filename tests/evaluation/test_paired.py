import numpy as np
import pytest

from unet.core.metrics import Confusion
from unet.evaluation.case_scores import CaseScore, ProtocolScore
from unet.evaluation.paired import counts_of as counts_of_scores
from unet.evaluation.paired import summarise_counts


def counts_of(*cases: tuple[int, int, int, int]) -> np.ndarray:
    """One training's counts by one protocol: `(1, N, 1, 4)`."""
    return np.array(cases)[None, :, None]


LESIONS = counts_of((8, 4, 0, 88), (0, 0, 10, 90), (10, 0, 0, 90))  # Dice 0.8, 0, 1
NORMALS = counts_of((0, 5, 0, 95), (0, 0, 0, 100))


def test_scores_become_counts_of_each_protocol_in_order():
    def score(*counts: int) -> CaseScore:
        scores = {
            name: ProtocolScore(Confusion(*(n * k for n in counts)), 0.0)
            for k, name in enumerate(("threshold_0.3", "threshold_0.5"), start=1)
        }
        return CaseScore("a", "benign", 0, "", 1, 1, 0.5, 0.0, scores)

    runs = [[score(8, 4, 0, 88), score(0, 0, 10, 90)]]
    found = counts_of_scores(runs, ("threshold_0.5", "threshold_0.3"))
    assert found.tolist() == [[[[16, 8, 0, 176], [8, 4, 0, 88]], [[0, 0, 20, 180], [0, 0, 10, 90]]]]


def test_values_by_hand():
    found = summarise_counts(np.concatenate([LESIONS, NORMALS], axis=1), [0, 1, 2, 3, 4])
    assert found["cases"] == 5
    assert found["dice"]["value"] == pytest.approx(0.6)
    assert (found["missed"]["count"], found["missed"]["of"]) == (1, 3)
    assert (found["masked"]["count"], found["masked"]["of"]) == (1, 2)
    assert found["over_segmentation"]["threshold_0.5"]["value"] == pytest.approx(0.04 / 0.28)
    assert found["spread"] is None
    assert "difference" not in found


def test_over_segmentation_counts_an_image_by_its_shares_not_by_its_pixels():
    big = counts_of((8, 4, 0, 88), (1000, 0, 0, 9000))
    found = summarise_counts(big, [0, 1])
    assert found["over_segmentation"]["threshold_0.5"]["value"] == pytest.approx(
        0.04 / (0.08 + 0.1)
    )


def test_trainings_are_averaged_and_their_spread_is_said():
    both = np.concatenate([LESIONS, LESIONS[:, [0, 2, 2]]])  # mean Dice 0.6 and 2.8 / 3
    found = summarise_counts(both, [0, 1, 2])
    assert found["by_seed"] == pytest.approx([0.6, 2.8 / 3])
    assert found["dice"]["value"] == pytest.approx(np.mean([0.6, 2.8 / 3]))
    assert found["spread"] == pytest.approx(np.std([0.6, 2.8 / 3], ddof=1))
    assert found["missed"]["count"] == 0.5


def test_a_difference_is_case_by_case_so_it_may_be_told_where_two_intervals_meet():
    random = np.random.default_rng(0)
    overlap = random.integers(10, 50, 40)
    first = counts_of(*[(n, 0, 60 - n, 40) for n in overlap])
    better = counts_of(*[(n + 4, 0, 56 - n, 40) for n in overlap])
    found = summarise_counts(better, range(40), first)
    alone = summarise_counts(first, range(40))
    assert found["difference"]["low"] > 0
    assert found["dice"]["low"] < alone["dice"]["high"]


def test_cases_of_one_group_are_drawn_together():
    apart = summarise_counts(np.repeat(LESIONS, 8, axis=1), range(24))["dice"]
    together = summarise_counts(np.repeat(LESIONS, 8, axis=1), np.repeat([0, 1, 2], 8))["dice"]
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_what_has_no_lesions_has_no_dice():
    found = summarise_counts(NORMALS, [0, 1])
    assert "dice" not in found
    assert found["masked"]["of"] == 2
