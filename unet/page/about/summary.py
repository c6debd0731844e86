"""The network in a few numbers, beside the paper's, as HTML that says what they mean."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from unet.page.about.numbers import percent
from unet.publishing.report import metrics_of
from unet.results import group_by_dataset, held_out

PAPERS = "BUSI"
"""The paper's data set; beside another's numbers its own say nothing."""


def summary_of(bundle: Path) -> str:
    """The numbers as tiles; nothing where the bundle has none that can be read."""
    metrics = metrics_of(bundle)
    try:
        parts = held_out(metrics)
        tiles = [*_beside_the_paper(metrics), *_mistakes(parts)]
        cases = sum(part["cases"] for part in parts.values())
    except (LookupError, TypeError, ValueError, AttributeError):  # the Hub may hold anything
        return ""
    if not tiles:
        return ""
    return (
        f"<p>Measured on {cases} test images that the network has not learnt from.</p>"
        f'<div class="tiles">{"".join(tiles)}</div>{_how_compared(metrics)}'
    )


def _how_compared(metrics: dict[str, Any]) -> str:
    test = _papers_images(metrics)
    if test is None:
        return ""
    return (
        f"<p>Beside the paper: the {test['cases']} test images of its data set, {PAPERS}, read as "
        "it read its own, at the network's size and threshold 0.5. The paper splits at random, so "
        "that near-duplicates may lie on both sides; here those that a perceptual hash finds do "
        "not.</p>"
    )


def _papers_images(metrics: dict[str, Any]) -> dict[str, Any] | None:
    return group_by_dataset(metrics["splits"].get("test", {"datasets": []})).get(PAPERS)


def _beside_the_paper(metrics: dict[str, Any]) -> list[str]:
    test = _papers_images(metrics)
    if test is None:
        return []
    here, paper = test["network_resolution"], metrics["paper_table_1"]
    readings = [here["pooled"]["iou"], here["all_images"]["iou"]]
    if "lesion_images" in here:
        readings.append(here["lesion_images"]["iou"])
    iou = min(readings, key=lambda protocol: protocol["value"])
    return [
        _compared(
            "Overlap (IoU)", iou, paper["iou"], "higher",
            "Of the area that mask or truth cover, the part they share. The paper does not define "
            "its mean: this is the lowest of three.",
        ),
        _compared(
            "Pixels right (accuracy)", here["pooled"]["accuracy"], paper["accuracy"], "higher",
            "Most pixels are background, so that an empty mask scores high too.",
        ),
        _compared(
            "Error (test loss)", here["cross_entropy"], paper["loss"], "lower",
            "Cross-entropy: how far the probabilities are from the truth. Lower is better.",
        ),
    ]  # fmt: skip


def _compared(name: str, here: dict[str, float], paper: float, better: str, meaning: str) -> str:
    """A tile for a value and the paper's, each with a bar, and whether they differ for certain."""
    ahead, behind = here["low"] > paper, here["high"] < paper
    if better == "lower":
        ahead, behind = behind, ahead
    verdict = "no clear difference from the paper"
    if ahead or behind:
        verdict = f"{'better' if ahead else 'worse'} than the paper"
    longest = max(here["value"], paper)
    bars = "".join(
        f'<span>{who}</span><svg aria-hidden="true"><rect class="{who}" height="9" '
        f'width="{value / longest:.1%}"/></svg>'
        f"<b>{value:.{digits}f}</b>"
        for who, value, digits in (("here", here["value"], 3), ("paper", paper, 4))
    )
    interval = f"95 % interval {here['low']:.3f} to {here['high']:.3f}"
    return (
        f'<section class="tile"><h2>{name}</h2><p class="value">{here["value"]:.3f}</p>'
        f'<p class="verdict">{verdict}</p><div class="bars">{bars}</div>'
        f"<p>{meaning} {interval}.</p></section>"
    )


def _mistakes(parts: dict[str, dict[str, Any]]) -> list[str]:
    kinds = (
        ("lesion_images_without_mask", "Lesions given no mask",
         "Lesion images on which nothing was marked; a mask beside the lesion is not counted"),
        ("normal_images_with_mask", "Normal images given a mask",
         "Images without a lesion that were given one"),
    )  # fmt: skip
    tiles = []
    for key, name, said in kinds:
        shares = {
            data: part["postprocessed"][key]
            for data, part in parts.items()
            if key in part["postprocessed"]
        }
        if not shares:
            continue
        count, of = (sum(share[what] for share in shares.values()) for what in ("count", "of"))
        each = "; ".join(
            f"{escape(data)} {share['count']} of {share['of']} "
            f"(95 % interval {percent(share['low'])} to {percent(share['high'])})"
            for data, share in shares.items()
        )
        tiles.append(
            f'<section class="tile"><h2>{name}</h2>'
            f'<p class="value">{count} <small>of {of}</small></p>'
            f"<p>{said}: {each}.</p></section>"
        )
    return tiles
