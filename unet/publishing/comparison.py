"""The comparison of networks in Markdown: tables, differences, the paper's claims one by one."""

from __future__ import annotations

from typing import Any

from unet.publishing.tables import interval

FILE = "comparison.json"
"""Its file's name, beside the bundles."""
FIRST = "unet"
HEADING = "The paper's relatives, under one protocol"


def comparison_section(comparison: dict[str, Any], picture: str = "") -> str:
    """Everything that is said of a comparison, made of its file's content.

    Args:
        comparison: The content of comparison.json.
        picture: The plot's path as the text's readers have it; empty for none.
    """
    networks, shown = comparison["networks"], shown_sets(comparison)
    parts = [_intro(comparison)]
    parts += [_table(title, part, networks) for part, title in shown.items()]
    parts += [_costs(networks), f"![Dice against cost]({picture})" if picture else ""]
    parts += [_differences(shown, networks), _claims(shown, networks)]
    return "\n\n".join(part for part in parts if part)


def shown_sets(comparison: dict[str, Any]) -> dict[str, str]:
    """The parts that networks are scored on at the end and that hold lesions, with their names."""
    sets = {"test": f"{comparison['trained_on']}, test split"}
    sets["elsewhere"] = f"{' + '.join(comparison['elsewhere'])}, never seen"
    first = comparison["networks"][FIRST]
    return {part: title for part, title in sets.items() if "dice" in first.get(part, {})}


def _intro(comparison: dict[str, Any]) -> str:
    size, seeds = comparison["size"], comparison["seeds"]
    words = (
        f"Each trained on {comparison['trained_on']} alone, at {size}×{size}, "
        f"{comparison['epochs']} epochs, {seeds} training{'s' if seeds > 1 else ''} each, by one "
        "recipe (`train.py compare`); scored at threshold 0.5 without rules. Intervals are over "
        "groups of cases. The difference is to `unet` on the same cases; over-segmentation is the "
        "area marked wrongly beside the lesions' area."
    )
    if any(name.startswith(f"{FIRST}-tuned") for name in comparison["networks"]):
        words += " What is tuned started from a network trained on the other set's training cases."
    return words


def _table(title: str, part: str, networks: dict[str, Any]) -> str:
    of_first = networks[FIRST][part]
    lines = [
        f"| {title}, {of_first['cases']} images | Dice, lesion images | spread over trainings "
        "| difference | lesions missed | normals given a mask | over-segmentation |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, network in networks.items():
        found = network[part]
        cells = [
            name,
            interval(found["dice"]),
            "–" if found["spread"] is None else f"{found['spread']:.3f}",
            interval(found.get("difference")),
            _count(found.get("missed")),
            _count(found.get("masked")),
            interval(found["over_segmentation"]["0.5"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(share: dict[str, Any] | None) -> str:
    return "–" if share is None else f"{share['count']:.3g} of {share['of']}"


def _costs(networks: dict[str, Any]) -> str:
    lines = [
        "| what it costs | parameters | multiply-adds | seconds a training | ms an image |",
        "|---|---|---|---|---|",
    ]
    for name, n in networks.items():
        lines.append(
            f"| {name} | {n['parameters'] / 1e6:.1f} M | {n['multiply_adds'] / 1e9:.2f} G | "
            f"{n['seconds']:.0f} | {n['milliseconds']:.0f} |"
        )
    return "\n".join(lines)


def _differences(shown: dict[str, str], networks: dict[str, Any]) -> str:
    """A sentence on each set: which differences to the first are larger than their interval."""
    sentences = []
    for part, title in shown.items():
        told = {n: network[part]["difference"] for n, network in networks.items() if n != FIRST}
        better = [f"{n} ({d['value']:+.3f})" for n, d in told.items() if d["low"] > 0]
        worse = [f"{n} ({d['value']:+.3f})" for n, d in told.items() if d["high"] < 0]
        if told:
            sentences.append(
                f"{title}: better than `{FIRST}` by more than the interval: "
                f"{', '.join(better) or 'none'}; worse: {', '.join(worse) or 'none'}; of the "
                "others it cannot be told."
            )
    return "\n".join(f"* {sentence}" for sentence in sentences)


def _claims(shown: dict[str, str], networks: dict[str, Any]) -> str:
    """A line for each thing the paper says, of the networks that are there."""
    asked = {
        "Attention helps": "attention-unet",
        "Balanced classes help": "unet-balanced",
        "Edges help the Dice": "unet-edges",
        "Edges and texture help the Dice": "unet-edges-texture",
    }
    lines = [
        f"* {claim}: {_verdicts(shown, networks[name])}."
        for claim, name in asked.items()
        if name in networks
    ]
    if (name := "convmixer-unet") in networks:
        fewer = networks[name]["parameters"] / networks[FIRST]["parameters"]
        word = "holds" if fewer < 1 else "does not hold"
        lines.append(
            f"* ConvMixer saves parameters: {word} ({fewer:.2f} times as many); its Dice being "
            f"better: {_verdicts(shown, networks[name])}."
        )
    lines.append(f"* Thresholds reduce over-segmentation: {_thresholds(shown, networks[FIRST])}.")
    return "The paper's claims:\n\n" + "\n".join(lines)


def _verdicts(shown: dict[str, str], network: dict[str, Any]) -> str:
    return "; ".join(
        f"{verdict(network[part]['difference'])} on {title} "
        f"({interval(network[part]['difference'])})"
        for part, title in shown.items()
    )


def verdict(difference: dict[str, float]) -> str:
    """Whether a claim of a larger Dice holds by the difference's 95 % interval."""
    if difference["low"] > 0:
        return "holds"
    return "does not hold" if difference["high"] < 0 else "cannot be told"


def _thresholds(shown: dict[str, str], first: dict[str, Any]) -> str:
    """The first network's over-segmentation as its threshold rises."""
    told = []
    for part, title in shown.items():
        by = first[part]["over_segmentation"]
        low, high = by["0.5"], by["0.9"]
        # Two intervals apart are a difference; two that meet leave it open.
        word = "holds" if high["high"] < low["low"] else "cannot be told"
        dice = first[part]["by_threshold"]
        told.append(
            f"{word} on {title} (at 0.5 {interval(low)} with a Dice of {dice['0.5']:.3f}, at 0.9 "
            f"{interval(high)} with {dice['0.9']:.3f})"
        )
    return "; ".join(told)
