import time
from dataclasses import replace

import numpy as np

from tests.conftest import predicted
from unet.io.images import Picture
from unet.page.analysis import Analysis
from unet.page.session_store import AnalysisCache


def analysed(name: str, side: int = 10, series: str = "series") -> Analysis:
    pixels = np.zeros((side, side), np.uint8)
    return Analysis(name, series, Picture(pixels), predicted(pixels.copy()), 0.1)


def test_the_oldest_go_when_all_together_take_too_much():
    kept = AnalysisCache(max_bytes=5 * 200)  # an image of 10 × 10 and its map take 200 bytes
    for number in range(8):
        kept.put(analysed(str(number)))
    assert [kept.get(str(n)) is not None for n in range(8)] == [False] * 3 + [True] * 5
    kept.put(analysed("7"))  # again: counted once
    assert kept.get("3") is not None


def test_nothing_is_kept_longer_than_its_time_and_nothing_that_was_dropped():
    kept = AnalysisCache(seconds=0.2)
    kept.put(analysed("a", series="first"))
    kept.put(analysed("b"))
    kept.open("ann", "first")
    kept.close("ann")
    assert kept.get("a") is None
    assert kept.get("b") is not None
    time.sleep(0.25)
    assert kept.get("b") is None
    assert kept.get(None) is None


def test_a_visitor_who_leaves_takes_each_answer_for_their_picture_along_and_no_others():
    kept = AnalysisCache()
    kept.open("ann", "first")
    kept.open("ben", "other")
    for name, series in (("a", "first"), ("with truth", "first"), ("b", "other")):
        kept.put(analysed(name, series=series))
    kept.close("ann")
    kept.close("whoever")
    assert [kept.get(name) is None for name in ("a", "with truth", "b")] == [True, True, False]
    assert not kept.is_wanted("ann", "first")


def test_only_the_picture_and_the_request_asked_for_last_are_wanted():
    kept = AnalysisCache()
    kept.open("ann", "first")
    slow = kept.ask("ann")
    kept.open("ben", "other")  # whoever else asks
    assert kept.is_wanted("ann", "first", slow)
    quick = kept.ask("ann")
    assert not kept.is_wanted("ann", "first", slow)
    assert kept.is_wanted("ann", "first", quick)
    kept.open("ann", "second")
    assert not kept.is_wanted("ann", "first", quick)
    assert kept.is_wanted("ann", "second")


def test_what_is_in_use_stays_longest_and_pixels_that_are_shared_count_once():
    kept = AnalysisCache(max_bytes=5 * 200)
    base = analysed("base")
    kept.put(base)
    for number in range(20):  # each pointed at the first, whose pixels it shares
        assert kept.get("base") is base
        kept.put(replace(analysed(str(number)), picture=base.picture))
    there = [kept.get(str(number)) is not None for number in range(20)]
    assert there == [False] * 12 + [True] * 8  # 200 and 8 × 100 bytes


def test_a_picture_that_was_overtaken_or_failed_leaves_nothing_behind():
    kept = AnalysisCache()

    def give(series: str) -> None:
        kept.put(analysed(series, series=series))

    kept.open("ann", "first")
    assert kept.show("ann", "first")
    give("first")
    kept.open("ann", "slow")
    kept.open("ann", "third")
    assert not kept.show("ann", "slow")
    assert kept.get("first") is not None  # it is still shown
    assert kept.show("ann", "third")
    give("third")
    assert kept.get("first") is None
    kept.open("ann", "damaged")
    assert kept.give_up("ann", "damaged")
    assert kept.is_wanted("ann", "third")
    kept.open("ann", "damaged")
    kept.open("ann", "last")
    assert not kept.give_up("ann", "damaged")  # nobody waits for what is wrong with it
    kept.close("ann")
    assert kept.get("third") is None
    assert not kept.show("ann", "last")


def test_a_truth_replaces_nothing_but_the_truth(tmp_path):
    from PIL import Image

    from unet.page.analysis import with_truth

    Image.new("1", (10, 10), 1).save(tmp_path / "truth.png")
    before = analysed("a")
    after = with_truth(before, str(tmp_path / "truth.png"))
    assert after.truth.all()
    assert replace(after, id="a", truth=None, truth_path=None) == before
    assert with_truth(after, None).truth is None
