import csv
import html
import json
import re
import shutil
from pathlib import Path

import pytest

from unet.page import about
from unet.page.about.charts import charts_of
from unet.page.about.numbers import held_out_cases, mean_interval
from unet.page.about.summary import summary_of
from unet.publishing.report import sort_by_validation

WEIGHTS = Path(__file__).parents[2] / "weights"
COLUMNS = ("id", "label", "split", "dice", "recall", "precision", "accuracy")


def bundle_with(folder, dice):
    folder.mkdir()
    scores = {"postprocessed": {"lesion_images": {"dice": {"value": dice}}}}
    metrics = {"splits": {"validation": {"datasets": ["BUSI"]} | scores}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def cases_of(folder, *rows):
    with open(folder / "cases.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return held_out_cases(folder)


def chart(charts, title):
    return next(chart for chart in charts if chart["title"].startswith(title))


def test_the_best_on_validation_comes_first_and_one_without_numbers_last(tmp_path):
    better, worse = bundle_with(tmp_path / "b", 0.8), bundle_with(tmp_path / "a", 0.7)
    unknown = tmp_path / "c"
    unknown.mkdir()
    assert sort_by_validation([unknown, worse, better]) == [better, worse, unknown]


NOT_OURS = ["", "id,dice\na,0.5\n", "split,dice\ntest,half\n", "split,id,dice\ntest,a,nan\n", "\0"]


@pytest.mark.parametrize("content", NOT_OURS)
def test_cases_that_are_not_ours_are_none(tmp_path, content):
    (tmp_path / "cases.csv").write_text(content)
    assert held_out_cases(tmp_path) == []


def test_a_lesions_size_follows_from_its_masks_scores(tmp_path):
    # 1000 pixels. A lesion of 100, a mask of 80 of which 60 hit: 20 + 40 wrong.
    found, missed, normal, learnt = cases_of(
        tmp_path,
        ("a", "benign", "test", 2 * 60 / 180, 60 / 100, 60 / 80, 0.94),
        ("b", "benign", "external", 0, 0, 0, 0.9),
        ("c", "normal", "test", 1, 1, 1, 1),
        ("d", "benign", "test", 1, 1, 1, 1),
    )
    assert found.size == pytest.approx(0.1)
    assert missed.size == pytest.approx(0.1)
    assert normal.size == 0
    assert not learnt.size >= 0  # a perfect mask tells none


def test_two_networks_find_the_same_sizes_of_the_same_lesions():
    one, other = (
        {case.id: case for case in held_out_cases(WEIGHTS / name)}
        for name in ("unet", "efficientnet-unet")
    )
    both = [name for name in one.keys() & other.keys() if one[name].recall and other[name].recall]
    assert len(both) > 100
    for name in both:
        assert one[name].size == pytest.approx(other[name].size, rel=0.02), name


def test_an_interval_is_as_wide_as_its_groups_differ(tmp_path):
    rows = [(name, "benign", "test", dice, 1, 1, 1) for name, dice in (("a", 0.4), ("b", 0.8))]
    assert mean_interval(cases_of(tmp_path, *rows)) == pytest.approx((0.6, 0.4, 0.8))
    assert mean_interval(cases_of(tmp_path, *rows[:1] * 3)) == pytest.approx((0.4, 0.4, 0.4))


@pytest.mark.parametrize("name", ["unet", "efficientnet-unet"])
def test_the_charts_hold_the_bundles_own_numbers(name):
    charts, cases = charts_of(WEIGHTS / name), held_out_cases(WEIGHTS / name)
    metrics = json.loads((WEIGHTS / name / "metrics.json").read_text())
    dots = chart(charts, "Every test image")["series"]
    assert sum(len(series["points"]) for series in dots) == len(cases)
    busi = [s for s in chart(charts, "Dice by data set")["series"] if s["name"] == "BUSI"]
    test = metrics["splits"]["test"]
    dice = test.get("by_dataset", {"BUSI": test})["BUSI"]["postprocessed"]["lesion_images"]["dice"]
    value, _, tip, low, high = busi[0]["points"][0]
    assert (value, low, high) == (dice["value"], dice["low"], dice["high"])
    assert f"{value:.3f}" in tip
    curve = chart(charts, "Lesions given no mask against")["series"]
    assert {series["name"] for series in curve} >= {"BUSI, test", "BUSI, test, as set"}
    assert not any("BUS-BRA" in series["name"] for series in curve)  # it has no normal images
    sizes = chart(charts, "Dice by lesion size")["series"]
    counts = [int(re.search(r"(\d+) lesions", p[2])[1]) for s in sizes for p in s["points"]]
    assert sum(counts) == sum(case.label != "normal" for case in cases)


def test_a_bundle_that_lacks_a_part_lacks_its_chart_alone(tmp_path):
    copy = shutil.copytree(
        WEIGHTS / "unet", tmp_path / "unet", ignore=shutil.ignore_patterns("model.*")
    )
    whole = [chart["title"] for chart in charts_of(copy)]
    (copy / "history.csv").unlink()
    assert [c["title"] for c in charts_of(copy)] == [t for t in whole if "Learning" not in t]
    (copy / "cases.csv").write_text("split,dice\ntest,half\n")
    assert not {"dots"} & {chart["kind"] for chart in charts_of(copy)}
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["splits"]["test"]["calibration"]["bins"][0]["frequency"] = float("nan")
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert "Does a probability mean what it says?" not in [c["title"] for c in charts_of(copy)]
    (copy / "metrics.json").write_text('{"splits": {"test": 3}}')
    assert charts_of(copy) == []
    assert summary_of(copy) == ""
    assert "<code>unet</code> has no numbers that can be read." in about.content(copy)


def test_the_summary_is_certain_only_where_the_interval_is(tmp_path):
    def verdicts(low, high):
        value = {"value": (low + high) / 2, "low": low, "high": high}
        part = {"pooled": {"iou": value, "accuracy": value}, "all_images": {"iou": value}}
        protocol = {**part, "cross_entropy": value}
        split = {"cases": 9, "datasets": ["BUSI"], "postprocessed": {}}
        split["network_resolution"] = protocol
        paper = {"loss": 0.5, "accuracy": 0.5, "iou": 0.5}
        content = {"paper_table_1": paper, "splits": {"test": split}}
        (tmp_path / "metrics.json").write_text(json.dumps(content))
        return re.findall('verdict">(.*?)<', summary_of(tmp_path))

    assert verdicts(0.6, 0.8) == ["better than the paper"] * 2 + ["worse than the paper"]
    assert verdicts(0.4, 0.8) == ["no clear difference from the paper"] * 3


def test_what_is_said_is_the_cards_without_pictures_and_use(tiny_bundle, tmp_path):
    content = about.content(tiny_bundle)
    assert "<summary>The network</summary>" in content
    assert "<summary>Results</summary>" in content
    assert "<img" not in content
    assert "from_hub" not in content
    copy = shutil.copytree(tiny_bundle, tmp_path / "tiny")
    (copy / "metrics.json").unlink()
    assert "<summary>The network</summary>" in about.content(copy)
    assert "<summary>Results</summary>" not in about.content(copy)


def test_what_came_from_elsewhere_stays_text(tmp_path):
    folder = tmp_path / "<b>"
    folder.mkdir()
    evil = "<script>alert(1)</script>"
    assert cases_of(folder, (evil, "benign", "test", 0.5, 0.5, 0.5, 0.9))
    content = about.content(folder)
    assert "<script" not in content
    charts = json.loads(html.unescape(re.search('data-charts="(.*?)"', content)[1]))
    assert charts[0]["series"][0]["points"][0][2].startswith(evil)
