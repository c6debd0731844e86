import numpy as np

from unet.data.patches import SHARE, painted_pair, piece_of_normal, piece_pair


def truth_of(top: int, left: int, height: int, width: int) -> np.ndarray:
    truth = np.zeros((200, 320), bool)
    truth[top : top + height, left : left + width] = True
    return truth


def truth_within(truth, rows: slice, columns: slice, more_y: int, more_x: int) -> bool:
    """Whether the truth reaches into a window widened that far."""
    rows = slice(max(0, rows.start - more_y), rows.stop + more_y)
    columns = slice(max(0, columns.start - more_x), columns.stop + more_x)
    return bool(truth[rows, columns].any())


def test_a_pair_holds_the_whole_lesion_and_none_of_it_at_one_size():
    random = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        truth = truth_of(random.integers(10, 150), random.integers(10, 250), 30, 50)
        pair = piece_pair(truth, random)
        if pair is None:
            continue
        found += 1
        (rows, columns), (other_rows, other_columns) = pair
        assert truth[rows, columns].sum() == truth.sum()
        assert truth[rows, columns].shape == truth[other_rows, other_columns].shape
        padded = truth_within(truth, other_rows, other_columns, 8, 0)  # CLEAR of 200 rows
        beside = truth_within(truth, other_rows, other_columns, 0, 12)  # of 320 columns
        assert not padded or not beside
        share = (rows.stop - rows.start) / 200
        assert SHARE[0] - 0.01 <= share <= SHARE[1] + 0.01
    assert found > 20


def test_a_lesion_that_fills_the_image_has_no_pair():
    assert piece_pair(truth_of(5, 5, 190, 310), np.random.default_rng(0)) is None


def test_a_piece_of_a_normal_image_is_of_such_a_size_and_inside():
    random = np.random.default_rng(0)
    for _ in range(40):
        rows, columns = piece_of_normal((200, 320), random)
        assert 0 <= rows.start < rows.stop <= 200
        assert 0 <= columns.start < columns.stop <= 320
        assert rows.stop - rows.start >= round(SHARE[0] * 200)


def test_paint_covers_the_lesion_or_as_much_tissue_and_nothing_else():
    random = np.random.default_rng(1)
    tissue = random.integers(120, 180, (200, 320)).astype(np.uint8)
    truth = truth_of(80, 60, 30, 50)
    grey = np.where(truth, 10, tissue).astype(np.uint8)
    without, with_lesion = painted_pair(grey, truth, random)
    assert grey[truth].mean() == 10
    assert without[truth].mean() > 110  # tissue now
    np.testing.assert_array_equal(with_lesion[truth], grey[truth])
    for painted in (without, with_lesion):
        changed = painted != grey
        assert truth.sum() * 0.8 < changed.sum() < truth.sum() * 2.5
    again = painted_pair(grey, truth, np.random.default_rng(5))
    same = painted_pair(grey, truth, np.random.default_rng(5))
    np.testing.assert_array_equal(again[0], same[0])


def test_where_there_is_no_tissue_beside_the_lesion_nothing_is_painted():
    truth = truth_of(20, 20, 160, 280)
    assert painted_pair(np.full((200, 320), 90, np.uint8), truth, np.random.default_rng(0)) is None
