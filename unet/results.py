"""Schema of the result files that evaluation, reports and page share."""

from __future__ import annotations

from typing import Any

FIRST = "unet"
"""Name of the network that a comparison of architectures holds the others against."""
WITHOUT = "without "
"""Prefix of the key in clicks.json of networks that had not seen a data set at all."""


def group_by_dataset(split: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A split's summary for each data set that it has images of."""
    if "by_dataset" in split:
        return split["by_dataset"]
    return dict.fromkeys(split.get("datasets", ["BUSI"]), split)  # the oldest name none: BUSI


def held_out(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary of each data set's test images, be it one trained on or not."""
    splits = metrics["splits"]
    return {
        name: summary
        for split in ("external", "test")
        for name, summary in group_by_dataset(splits.get(split, {"datasets": []})).items()
    }


def shown_sets(comparison: dict[str, Any]) -> dict[str, str]:
    """The parts that networks are scored on at the end and that hold lesions, with their names."""
    sets = {"test": f"{comparison['trained_on']}, test split"}
    sets["external"] = f"{' + '.join(comparison['external'])}, never seen"
    first = comparison["networks"][FIRST]
    return {part: title for part, title in sets.items() if "dice" in first.get(part, {})}


def knows(network: dict[str, Any], part: str) -> bool:
    """Return True for a network that started from one trained on the data sets of `part`."""
    return part == "external" and "trainable" in network["method"]


def plot_path(what: str) -> str:
    """Path of an interactive plot in a bundle."""
    return f"plots/clicks_{what.replace(' ', '_')}.png"
