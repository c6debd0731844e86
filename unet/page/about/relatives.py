"""The charts of the comparison of networks: how well each finds lesions, and what it costs."""

from __future__ import annotations

import math
from typing import Any

from unet.page.about.charts import Chart, ranges, series_of
from unet.results import Results, shown_parts

COSTS = {
    "multiply_adds": ("multiply-adds an image", "Dice against multiply-adds"),
    "parameters": ("parameters", "Dice against parameters"),
}
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def relatives_charts(comparison: Results) -> list[Chart]:
    """The charts of a comparison, as charts.py describes them."""
    parts = shown_parts(comparison)
    by_cost = [_by_cost(cost, comparison, parts) for cost in COSTS]
    return [*by_cost, _by_network(comparison.paired, parts)]


def _by_network(networks: dict[str, Any], sets: dict[str, str]) -> Chart:
    series = []
    for colour, (part, title) in enumerate(sets.items()):
        points = []
        for row, (name, network) in enumerate(networks.items()):
            dice, missed = network[part]["dice"], network[part]["missed"]
            tip = f"{name}, {title}: Dice {dice['value']:.3f}, 95 % interval {dice['low']:.3f} to "
            tip += (
                f"{dice['high']:.3f}, {missed['count']:.3g} of {missed['of']} lesions given no mask"
            )
            points.append([dice["value"], row, tip, dice["low"], dice["high"]])
        series.append(series_of(title, colour, points))
    return ranges(
        "Dice by network",
        "Mean Dice of lesion images with its 95 % interval.",
        list(networks), series,
    )  # fmt: skip


def _by_cost(cost: str, comparison: Results, sets: dict[str, str]) -> Chart:
    label, title = COSTS[cost]
    networks = comparison.paired
    costs = {name: own[cost] for name, own in comparison.costs.items() if own[cost]}
    series = []
    for colour, (part, of) in enumerate(sets.items()):
        points = []
        for name, value in costs.items():
            dice = networks[name][part]["dice"]["value"]
            tip = f"{name}, {of}: Dice {dice:.3f}, {_short(value)} {label}"
            points.append([math.log10(value), dice, tip])
        series.append(series_of(of, colour, points))
    reached = [dice for one in series for _, dice, _ in one["points"]]
    return {
        "kind": "places",
        "title": title,
        "note": "One mark a network and set; left is cheaper, on a logarithmic axis, up is better.",
        "x": {"label": label, **_logarithmic(min(costs.values()), max(costs.values()))},
        "y": {"label": "Dice, lesion images", "low": math.floor(10 * min(reached)) / 10,
              "high": (math.floor(10 * max(reached)) + 1) / 10},
        "guides": [],
        "series": series,
    }  # fmt: skip


def _logarithmic(low: float, high: float) -> dict[str, Any]:
    """An axis around some costs, in their logarithms, with a tick at each 1, 2 and 5."""
    low, high = low / 1.3, high * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    values = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    ticks = [[math.log10(value), _short(value)] for value in values if low <= value <= high]
    return {"low": math.log10(low), "high": math.log10(high), "ticks": ticks}


def _short(value: float) -> str:
    """A number as people say it: 7.77 M, 0.5 k."""
    for size, prefix in PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"
