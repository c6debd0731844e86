"""The plots' data, made of a bundle's own numbers; plots.js draws it.

A chart is a JSON object: `kind` ("dots", "lines", "places" or "ranges"), `title`, `note`, the axes
`x` and `y` (`label`, `low`, `high`, `percent`; `ticks` as `[at, text]` where they are not to be
found by plots.js), `guides` (`[x0, y0, x1, y1, label]`), `rows` (labels, for
"ranges") and `series`, each with `name`, `colour` (a number), `dashed`, `step` and `points`
(`[x, y, tip, low, high]`, the last two for "ranges"). A tip is what is told of a point.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unet.inference.bundle import read_info
from unet.page.about.numbers import Case, held_out_cases, history, mean_interval, percent
from unet.publishing.report import metrics_of
from unet.results import held_out

Chart = dict[str, Any]
CLASSES = ("benign", "malignant", "normal")
SIZES = {
    "small: under 3 %": (0, 0.03),
    "medium: 3 to 10 %": (0.03, 0.1),
    "large: over 10 %": (0.1, 2),
}
"""Lesions by their share of the image."""
LIMIT = 0.03
"""The share of lesions that rules may leave without a mask."""
UNIT = {"low": 0, "high": 1}
ALTERED = "Training images are altered at random, so that their line may lie lower."
LEARNING = {
    "loss": ("Learning: loss", "What training lowers, by epoch.", "loss"),
    "accuracy": ("Learning: accuracy", "Pixels that are right, by epoch.", "accuracy"),
    "iou": (
        "Learning: IoU",
        f"Overlap with the truth, pooled over pixels, by epoch. {ALTERED}",
        "IoU",
    ),
}
"""Title, note and axis of each learning curve."""


def charts_of(bundle: Path) -> list[Chart]:
    """The bundle's charts, in their order; without those whose numbers it lacks."""
    makers: tuple[Callable[[Path], Chart | None], ...] = (
        _every_case, _missed_and_masked, _calibration, _by_size, _by_scanner, _thresholds,
        partial(_learning, "loss"), partial(_learning, "accuracy"), partial(_learning, "iou"),
    )  # fmt: skip
    charts = []
    for make in makers:
        try:
            chart = make(bundle)
            json.dumps(chart, allow_nan=False)  # what is no number has no place in a chart
        except (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            continue  # what came from the Hub may hold anything
        if chart and any(series["points"] for series in chart["series"]):
            charts.append(chart)
    return charts


def _every_case(bundle: Path) -> Chart:
    cases = held_out_cases(bundle)
    labels = [*CLASSES, *sorted({case.label for case in cases} - set(CLASSES))]
    return {
        "kind": "dots",
        "title": "Every test image, by how well its mask fits",
        "note": "One mark an image. Dice is the overlap of mask and truth: 0 none, 1 all. A normal "
        "image has 1 where it was rightly left empty, 0 where it was given a mask.",
        "x": {"label": "Dice", **UNIT},
        "zones": [["failed", 0, 0.5], ["partly", 0.5, 0.8], ["good", 0.8, 1]],
        "series": [
            series_of(label, colour, [[c.dice, 0, _tip(c)] for c in sorted(cases, key=_dice)
                                      if c.label == label])
            for colour, label in enumerate(labels)
        ],
    }  # fmt: skip


def _missed_and_masked(bundle: Path) -> Chart:
    splits = metrics_of(bundle)["splits"]
    colours, series = _colours(bundle), []
    for split in ("test", "external", "validation"):
        for name, curve in splits.get(split, {}).get("operating_curve", {}).items():
            if any(row["missed"] is None or row["masked"] is None for row in curve):
                continue  # a curve needs both kinds of images
            points: list[list[Any]] = []
            for row in curve:
                place = [row["missed"], row["masked"]]
                if not points or points[-1][:2] != place:
                    missed, masked = (percent(share, 1) for share in place)
                    tip = f"{missed} of lesions given no mask, {masked} of normal images given one"
                    points.append([*place, f"{tip} (limit {row['gate']:.2f})"])
            look = {"step": True, "dashed": split == "validation"}
            series.append(series_of(f"{name}, {split}", colours.get(name, 0), points, **look))
    for name, summary in sorted(held_out(metrics_of(bundle)).items()):
        missed = summary["postprocessed"].get("lesion_images_without_mask")
        masked = summary["postprocessed"].get("normal_images_with_mask")
        if missed and masked:
            tip = f"{missed['count']} of {missed['of']} lesions given no mask, "
            tip += f"{masked['count']} of {masked['of']} normal images given one"
            point = [missed["value"], masked["value"], f"as the rules are set, {tip}"]
            series.append(series_of(f"{name}, test, as set", colours[name], [point]))
    return {
        "kind": "lines",
        "title": "Lesions given no mask against normal images given one",
        "note": "Each line: what a stricter or laxer limit for seeing a lesion would give. Nearer "
        "the lower left corner is better.",
        "x": {"label": "lesions given no mask", "low": 0, "high": 0.3, "percent": True},
        "y": {"label": "normal images given a mask", "percent": True, **UNIT},
        "guides": [[LIMIT, 0, LIMIT, 1, "3 % of lesions"]],
        "series": series,
    }


def _calibration(bundle: Path) -> Chart:
    colours, series = _colours(bundle), []
    for name, summary in sorted(held_out(metrics_of(bundle)).items()):
        points = [
            [row["probability"], row["frequency"],
             f"said {percent(row['probability'])}, was lesion {percent(row['frequency'])} "
             f"({percent(row['share'], 1)} of all pixels)"]
            for row in summary["calibration"]["bins"]
        ]  # fmt: skip
        series.append(series_of(name, colours[name], points))
    return {
        "kind": "lines",
        "title": "Does a probability mean what it says?",
        "note": "Of the pixels given a probability, how many are lesion. On the diagonal it is "
        "exact; below it the network is too sure.",
        "x": {"label": "probability the network gives", "percent": True, **UNIT},
        "y": {"label": "pixels that are lesion", "percent": True, **UNIT},
        "guides": [[0, 0, 1, 1, "exact"]],
        "series": series,
    }


def _by_size(bundle: Path) -> Chart:
    cases = [case for case in held_out_cases(bundle) if case.label != "normal"]
    colours, series = _colours(bundle), []
    for dataset in sorted({case.dataset for case in cases}):
        points = []
        for row, (low, high) in enumerate(SIZES.values()):
            part = [c for c in cases if c.dataset == dataset and low <= c.size < high]
            if part:
                points.append(_range(row, f"{dataset}, {len(part)} lesions", *mean_interval(part)))
        series.append(series_of(dataset, colours.get(dataset, 0), points))
    return ranges(
        "Dice by lesion size",
        "Mean Dice of lesion images with its 95 % interval, by the lesion's share of the image.",
        list(SIZES), series,
    )  # fmt: skip


def _by_scanner(bundle: Path) -> Chart:
    colours, rows, series = _colours(bundle), [], []
    for dataset, summary in sorted(held_out(metrics_of(bundle)).items()):
        points = []
        parts = {dataset: summary["postprocessed"]} | summary.get("by_scanner", {})
        for name, part in parts.items():
            if "lesion_images" not in part:
                continue
            dice = part["lesion_images"]["dice"]
            missed = part["lesion_images_without_mask"]
            tip = f"{name}, {missed['of']} lesions, {missed['count']} given no mask"
            points.append(_range(len(rows), tip, dice["value"], dice["low"], dice["high"]))
            rows.append(f"{dataset}, all" if name == dataset else name)
        series.append(series_of(dataset, colours.get(dataset, 0), points))
    return ranges(
        "Dice by data set and scanner",
        "Mean Dice of lesion images with its 95 % interval. A wide bar: too few images to tell.",
        rows, series,
    )  # fmt: skip


def _thresholds(bundle: Path) -> Chart:
    rows = metrics_of(bundle)["splits"]["validation"]["sweep"]
    names = {
        "dice_all": "Dice, all images",
        "dice_lesion": "Dice, lesion images",
        "normal_with_mask": "normal images given a mask",
    }
    chosen = read_info(bundle).postprocessing.threshold
    return {
        "kind": "lines",
        "title": "What the threshold changes",
        "note": "On validation images, where it was chosen. A higher one draws smaller masks.",
        "x": {"label": "threshold", **UNIT},
        "y": {"label": "share or Dice", **UNIT},
        "guides": [[chosen, 0, chosen, 1, f"chosen: {chosen:g}"]],
        "series": [
            series_of(text, colour, [
                [row["threshold"], row[name], f"threshold {row['threshold']:g}: {row[name]:.3f}"]
                for row in rows if row[name] is not None
            ])
            for colour, (name, text) in enumerate(names.items())
        ],
    }  # fmt: skip


def _learning(name: str, bundle: Path) -> Chart:
    rows = history(bundle)
    series = []
    columns = {name: "training", f"val_{name}": "validation"}
    for colour, (column, text) in enumerate(columns.items()):
        points = [
            [row["epoch"], row[column], f"epoch {row['epoch']:.0f}: {row[column]:.3f}"]
            for row in rows if column in row
        ]  # fmt: skip
        series.append(series_of(text, colour, points))
    values = sorted(point[1] for one in series for point in one["points"])
    low, top = 0.0, 1.2 * values[-1]
    if name == "loss":  # the first epochs of an untrained network would flatten the rest
        top = min(top, 2 * values[len(values) * 9 // 10])
    elif name == "accuracy":  # most pixels are background: all of it is near 1
        low, top = 0.98 * values[0], 1.0
    title, note, axis = LEARNING[name]
    kept = read_info(bundle).training.get("best_epoch")
    return {
        "kind": "lines",
        "title": title,
        "note": note,
        "x": {"label": "epoch", "low": 1, "high": max(2, *(row["epoch"] for row in rows))},
        "y": {"label": axis, "low": low, "high": top},
        "guides": [[kept, low, kept, top, "kept"]] if kept else [],
        "series": series,
    }


def ranges(title: str, note: str, rows: list[str], series: list[dict[str, Any]]) -> Chart:
    return {"kind": "ranges", "title": title, "note": note, "rows": rows, "series": series,
            "x": {"label": "Dice", **UNIT}}  # fmt: skip


def _range(row: int, text: str, value: float, low: float, high: float) -> list[Any]:
    return [
        value,
        row,
        f"{text}: Dice {value:.3f}, 95 % interval {low:.3f} to {high:.3f}",
        low,
        high,
    ]


def _colours(bundle: Path) -> dict[str, int]:
    """Each data set's colour, the same in every chart."""
    return {name: number for number, name in enumerate(sorted(held_out(metrics_of(bundle))))}


def series_of(name: str, colour: int, points: list[list[Any]], **look: bool) -> dict[str, Any]:
    return {"name": name, "colour": colour, "points": points, **look}


def _dice(case: Case) -> float:
    return case.dice


def _tip(case: Case) -> str:
    place = f"{case.dataset}, {case.scanner}" if case.scanner else case.dataset
    said = f": {case.diagnosis}" if case.diagnosis else ""
    return f"{case.id} ({case.label}; {place}) Dice {case.dice:.3f}{said}"
