"""The comparison of networks in Markdown: tables, differences, the paper's claims one by one."""

from __future__ import annotations

from typing import Any

from unet.publishing.tables import interval
from unet.results import FIRST, Results, shown_parts

FILE = "comparison.json"
"""Its file's name, beside the bundles."""
HEADING = "The paper's relatives, under one protocol"
METHODS = {
    "weight_decay": "weight decay {}",
    "pretrained": "ImageNet weights",
    "normal_oversampling": "normal images {} times as often",
}
"""Phrases for settings that only one network has."""


def comparison_section(comparison: Results, picture: str = "") -> str:
    """Everything that is said of a comparison.

    Args:
        comparison: What `compare` found.
        picture: The plot's path as the text's readers have it; empty for none.
    """
    shown = shown_parts(comparison)
    parts = [_intro(comparison)]
    parts += [_table(title, part, comparison.paired) for part, title in shown.items()]
    parts += [_costs(comparison), f"![Dice against cost]({picture})" if picture else ""]
    parts += [_differences(shown, comparison.paired), _claims(comparison, shown)]
    return "\n\n".join(part for part in parts if part)


def _intro(comparison: Results) -> str:
    recipe, seeds = comparison.recipe, len({run.seed for run in comparison.runs})
    size = recipe["model"]["input_size"]
    words = (
        f"Each was trained on {comparison.datasets[0]} at {size}×{size} for as many steps as "
        f"{recipe['train']['epochs']} epochs, by one recipe but for what is said beside its cost, "
        "and scored at threshold 0.5 without rules; those that share a name with a network of the "
        f"page are not that network. The difference is to `{FIRST}` on the same cases; "
        "over-segmentation is the area marked wrongly in lesion images beside the lesions' area. "
        "Intervals are over groups of cases"
    )
    words += (
        f", values the mean of {seeds} trainings."
        if seeds > 1
        else " and know nothing of what another training would give: with one training each, a "
        "difference is one between these trainings, not yet between the networks."
    )
    return f"{words} `{comparison.command}` made this."


def _table(title: str, part: str, networks: dict[str, Any]) -> str:
    of_first = networks[FIRST][part]
    many = of_first["spread"] is not None
    lines = [
        f"| {title}, {of_first['cases']} images | Dice, lesion images "
        f"{'| spread over trainings ' * many}"
        "| difference | lesions given no mask | normals given a mask | over-segmentation |",
        f"|---|---|---|---|---|---|{'---|' * many}",
    ]
    for name, network in networks.items():
        found = network[part]
        cells = [
            name,
            interval(found["dice"]),
            *(["–" if found["spread"] is None else f"{found['spread']:.3f}"] * many),
            interval(found.get("difference")),
            _count(found.get("missed")),
            _count(found.get("masked")),
            interval(found["over_segmentation"]["threshold_0.5"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(share: dict[str, Any] | None) -> str:
    return "–" if share is None else f"{share['count']:.3g} of {share['of']}"


def _costs(comparison: Results) -> str:
    lines = [
        "| what it costs | parameters | multiply-adds "
        f"| ms an image, {comparison.facts['cores']} cores | its own in the training |",
        "|---|---|---|---|---|",
    ]
    for name, n in comparison.costs.items():
        parameters = f"{n['parameters'] / 1e6:.1f} M" if n["parameters"] else "–"
        adds = f"{n['multiply_adds'] / 1e9:.2f} G" if n["multiply_adds"] else "–"
        own = _method(name, comparison)
        lines.append(f"| {name} | {parameters} | {adds} | {n['milliseconds']:.1f} | {own} |")
    return "\n".join(lines)


def _method(name: str, comparison: Results) -> str:
    """Settings in which a network's training differs from the first one's."""
    if name not in comparison.recipes:
        return "no training"
    first, own = comparison.recipe["train"], comparison.recipes[name]["train"]
    return ", ".join(
        words.format(own[key]) for key, words in METHODS.items() if own[key] != first[key]
    )


def _differences(shown: dict[str, str], networks: dict[str, Any]) -> str:
    """A sentence on each set: which differences to the first have an interval without zero."""
    sentences = []
    for part, title in shown.items():
        told = {
            name: network[part]["difference"] for name, network in networks.items() if name != FIRST
        }
        better = [f"{n} ({d['value']:+.3f})" for n, d in told.items() if d["low"] > 0]
        worse = [f"{n} ({d['value']:+.3f})" for n, d in told.items() if d["high"] < 0]
        if told:
            open_ones = len(told) - len(better) - len(worse)
            sentences.append(
                f"{title}: better than `{FIRST}`, the whole interval above zero: "
                f"{', '.join(better) or 'none'}; worse, the whole interval below: "
                f"{', '.join(worse) or 'none'}"
                + (f"; of the other {open_ones} it cannot be told." if open_ones else ".")
            )
    return "\n".join(f"* {sentence}" for sentence in sentences)


def _claims(comparison: Results, shown: dict[str, str]) -> str:
    """A line for each thing the paper says, of the networks that are there."""
    networks, costs = comparison.paired, comparison.costs
    asked = {
        "Attention helps": "attention-unet",
        "Balanced classes help": "unet-balanced",
        "Edges help the Dice": "unet-edges",
        "Edges and texture help the Dice": "unet-edges-texture",
    }
    said = {
        claim: f"{_verdicts(shown, networks[name])}."
        for claim, name in asked.items()
        if name in networks
    }
    if "unet-balanced" in networks:
        said["Balanced classes help"] += _balance(shown, networks)
    if "unet-edges-texture" in networks:
        said["Edges and texture help the Dice"] += (
            " The texture is learnt under the training's noise, which other images do not have."
        )
    if (name := "convmixer-unet") in networks:
        fewer = costs[name]["parameters"] / costs[FIRST]["parameters"]
        word = "holds" if fewer < 1 else "does not hold"
        said["ConvMixer saves parameters"] = (
            f"{word} as built here ({fewer:.2f} times as many). A better Dice: "
            f"{_verdicts(shown, networks[name])}."
        )
    said["Thresholds reduce over-segmentation"] = (
        f"holds, as it must: a higher one marks less. {_thresholds(shown, networks[FIRST])}."
    )
    lines = "\n".join(f"* {claim}: {words}" for claim, words in said.items())
    return f"What the paper says, in these trainings:\n\n{lines}"


def _verdicts(shown: dict[str, str], network: dict[str, Any]) -> str:
    return "; ".join(
        f"{verdict(network[part]['difference'])} on {title} "
        f"({interval(network[part]['difference'])})"
        for part, title in shown.items()
    )


def _balance(shown: dict[str, str], networks: dict[str, Any]) -> str:
    """Effect of balancing: false positives on normals against missed lesions."""
    words = ""
    for part, title in shown.items():
        before, after = networks[FIRST][part], networks["unet-balanced"][part]
        if "masked" in before:
            words += (
                f" On {title}, normals given a mask: {before['masked']['count']:.3g} to "
                f"{after['masked']['count']:.3g} of {before['masked']['of']}; lesions given none: "
                f"{before['missed']['count']:.3g} to {after['missed']['count']:.3g} of "
                f"{before['missed']['of']}."
            )
    return words


def verdict(difference: dict[str, float]) -> str:
    """Verdict on a claim of a larger Dice by the difference's 95 % interval."""
    if difference["low"] > 0:
        return "holds"
    return "does not hold" if difference["high"] < 0 else "cannot be told"


def _thresholds(shown: dict[str, str], first: dict[str, Any]) -> str:
    """The first network's over-segmentation and Dice as its threshold rises."""
    told = []
    for part, title in shown.items():
        over, dice = first[part]["over_segmentation"], first[part]["by_protocol"]
        low, high = "threshold_0.5", "threshold_0.9"
        told.append(
            f"from 0.5 to 0.9 on {title}, over-segmentation {interval(over[low])} to "
            f"{interval(over[high])}, Dice {dice[low]:.3f} to {dice[high]:.3f}"
        )
    words = "; ".join(told)
    return f"{words[:1].upper()}{words[1:]}"
