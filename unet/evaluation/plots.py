"""Figures from saved numbers, and pictures of cases beside their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps

from unet.core.rendering import FALSE_ALARM, HIT, MISS, agreement
from unet.results import Results, shown_parts

TRAIN, VALIDATION, OTHER = "#5b6770", "#0072b2", "#d55e00"
LEGEND = (
    ("true positive", HIT), ("false negative", MISS), ("false positive", FALSE_ALARM),
)  # fmt: skip
PANEL, GAP, LINE, FONT_SIZE = (280, 220), 12, 20, 14
"""Sizes in pixels in a figure of examples: a panel, the space around it, a line of text."""
SIDE_BY_SIDE = 1.04
"""Ratio of costs, on a logarithmic axis, of two marks that stand side by side."""


def learning_curves(history: list[dict[str, float]], path: Path, kept_epoch: int) -> None:
    """Loss, accuracy and IoU over epochs for training and validation (the paper's figures 4–6)."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    titles = {"loss": "Loss", "accuracy": "Pixel accuracy", "iou": "IoU (pooled)"}
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items()):
        axes.plot(epochs, [row[name] for row in history], color=TRAIN, label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], color=VALIDATION,
                  label="validation")  # fmt: skip
        axes.axvline(kept_epoch, color=OTHER, linewidth=1, linestyle=":", label="kept epoch")
        axes.set(title=title, xlabel="epoch")
        _clean(axes)
        if name == "loss":  # the first epochs of an untrained network would flatten the rest
            top = np.percentile([row["val_loss"] for row in history], 90)
            axes.set_ylim(0, 1.1 * max(top, max(row["loss"] for row in history[1:] or history)))
    figure.axes[0].legend(frameon=False)
    _save(figure, path)


def threshold_sweep(rows: list[dict[str, float]], threshold: float, title: str, path: Path) -> None:
    """Mean Dice and the share of normal images given a mask, over the threshold."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    x = [row["threshold"] for row in rows]
    series = {
        "dice_all": ("Dice, all images", VALIDATION, "-"),
        "dice_lesion": ("Dice, lesion images", VALIDATION, "--"),
        "normal_with_mask": ("normal images given a mask", OTHER, "-"),
    }
    for name, (label, colour, style) in series.items():
        if rows[0][name] is not None:
            axes.plot(x, [row[name] for row in rows], style, color=colour, label=label)
    axes.axvline(threshold, color=TRAIN, linewidth=1, linestyle=":", label="chosen threshold")
    axes.set(title=title, xlabel="threshold", xlim=(0, 1), ylim=(0, 1))
    _clean(axes)
    axes.legend(frameon=False, loc="best")
    _save(figure, path)


def operating_curves(curves: dict[str, list[dict[str, float]]], title: str, path: Path) -> None:
    """Share of normal images given a mask over that of lesions given none, by data set."""
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, rows in curves.items():
        if rows[0]["missed"] is None or rows[0]["masked"] is None:
            continue  # a curve needs both kinds of images
        axes.step([row["missed"] for row in rows], [row["masked"] for row in rows], "-",
                  where="post", label=name)  # fmt: skip
    axes.axvline(0.03, color=TRAIN, linewidth=1, linestyle=":", label="3 % of lesions")
    axes.set(title=title, xlim=(0, 0.3), ylim=(0, 1), xlabel="lesions given no mask",
             ylabel="normal images given a mask")  # fmt: skip
    _clean(axes)
    axes.legend(frameon=False)
    _save(figure, path)


def calibration(curve: dict[str, Any], title: str, path: Path) -> None:
    """Plot the share of lesion pixels over the predicted probability."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=TRAIN, linewidth=1, linestyle=":", label="perfect")
    x = [row["probability"] for row in curve["bins"]]
    axes.plot(x, [row["frequency"] for row in curve["bins"]], "o-", color=VALIDATION, label="here")
    error = curve["expected_calibration_error"]
    axes.set(title=f"{title}: error {error:.4f}", xlim=(0, 1), ylim=(0, 1),
             xlabel="probability", ylabel="share of pixels that are lesion")  # fmt: skip
    _clean(axes)
    axes.legend(frameon=False)
    _save(figure, path)


def side_by_side(comparison: Results, path: Path) -> None:
    """Dice of several networks against what they cost, a row for each set they are scored on.

    Args:
        comparison: What `compare` found. A network without multiply-adds is a line.
        path: Of the picture.
    """
    networks, sets = comparison.paired, shown_parts(comparison)
    figure = Figure(figsize=(13, 0.6 + 4.8 * len(sets)), layout="constrained")
    grid = figure.subplots(len(sets), 2, squeeze=False)
    for axes_of_set, (part, title) in zip(grid, sets.items()):
        for axes, cost, unit in zip(
            axes_of_set, ("multiply_adds", "parameters"), ("multiply-adds an image", "parameters")
        ):
            costs = _apart([comparison.costs[name][cost] for name in networks])
            for number, (name, network) in enumerate(networks.items()):
                _point(axes, name, number, costs[number], network[part])
            axes.set(title=title, xlabel=f"{unit} (equal ones side by side)", xscale="log")
            axes.set(ylabel="Dice, lesion images")
            _clean(axes)
    figure.axes[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(figure, path)


def _apart(costs: list[float]) -> list[float]:
    """Costs as they are drawn: those that are nearly equal stand side by side, around their own."""
    near = [[i for i, other in enumerate(costs) if 0.98 < other / cost < 1.02] if cost else []
            for cost in costs]  # fmt: skip
    return [
        cost * SIDE_BY_SIDE ** (alike.index(i) - (len(alike) - 1) / 2) if alike else cost
        for i, (cost, alike) in enumerate(zip(costs, near))
    ]


def _point(axes: Any, name: str, number: int, cost: float, found: dict[str, Any]) -> None:
    """A network's Dice with its interval, and beside it that of each of its trainings."""
    colour = f"C{number % 10}"
    dice = found["dice"]
    if not cost:
        axes.axhline(dice["value"], color=TRAIN, linestyle=":", label=name)
        return
    bars = [[dice["value"] - dice["low"]], [dice["high"] - dice["value"]]]
    marker = "os^Dv"[number // 10 if number < 50 else 0]
    axes.errorbar(cost, dice["value"], bars, fmt=marker, color=colour, linewidth=1, label=name)
    if len(found["by_seed"]) > 1:
        axes.plot([cost] * len(found["by_seed"]), found["by_seed"], "_", color=colour)


def clicks(found: dict[str, Any], cases: str, path: Path) -> None:
    """Dice over clicks by data set, with intervals, and region growing from the first click.

    Args:
        found: As `unet.evaluation.interactive.interactive_summary` gives it.
        cases: Which they are.
        path: Where the figure goes.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, one) in enumerate(found.items()):
        colour, dice = f"C{number}", one["dice"]
        at = range(len(dice))
        value, low, high = ([point[key] for point in dice] for key in ("value", "low", "high"))
        axes.plot(at, value, "o-", color=colour, label=f"{name}, {one['lesions']} lesions")
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(1, one["grown"]["value"], "x", color=colour, label="region growing, 1 click")
    axes.set(
        title=f"Simulated people, {cases}",
        xlabel="clicks", ylabel="Dice, lesion images",
        xticks=list(at),
    )  # fmt: skip
    axes.legend(frameon=False, loc="lower right")
    _clean(axes)
    _save(figure, path)


def predictions(examples: list[dict[str, Any]], title: str, path: Path) -> None:
    """Images beside truth, probability and agreement, a row an example.

    Args:
        examples: Each with `image` and `probability_u8` uint8 `(H, W)`, `truth` and `mask` bool
            `(H, W)`, and a `caption`.
        title: Above all.
        path: The PNG file.
    """
    names = ("image", "truth", "probability", "agreement")
    width, height = PANEL
    step_x, step_y = width + GAP, height + GAP + LINE
    sheet = Image.new(
        "RGB", (len(names) * step_x + GAP, len(examples) * step_y + 3 * LINE + 2 * GAP), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, GAP // 2), title, "black", font)
    for column, name in enumerate(names):
        draw.text((GAP + column * step_x, GAP // 2 + LINE), name, "black", font)
    for row, example in enumerate(examples):
        top = 2 * LINE + GAP + row * step_y
        image, mask, truth = example["image"], example["mask"], example["truth"]
        panels = (image, truth, example["probability_u8"], agreement(image, mask, truth))
        for column, panel in enumerate(panels):
            picture = Image.fromarray(panel * np.uint8(255) if panel.dtype == bool else panel)
            picture = ImageOps.contain(picture.convert("RGB"), PANEL)
            sheet.paste(picture, (GAP + column * step_x, top))
        draw.text((GAP, top + picture.height), example["caption"], "black", font)
    left, top = GAP, sheet.height - LINE
    for name, colour in LEGEND:
        draw.rectangle((left, top + 3, left + FONT_SIZE, top + 3 + FONT_SIZE), colour)
        draw.text((left + FONT_SIZE + 6, top), name, "black", font)
        left += FONT_SIZE + 30 + int(draw.textlength(name, font))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _clean(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
