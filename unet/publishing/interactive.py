"""Interactive results in Markdown, made of clicks.json."""

from __future__ import annotations

from typing import Any

from unet.publishing.tables import data_options, interval
from unet.results import plot_path


def interactive_section(name: str, clicks: dict[str, Any], *, pictures: bool) -> str:
    """Everything that is said of what clicks give.

    Args:
        name: Of the guided network.
        clicks: The content of its clicks.json.
        pictures: Whether the plot is shown, which lies beside the card.
    """
    parts = ["## What pointing gives"]
    for of, measured in clicks.items():
        command = f"python train.py evaluate-interactive {data_options(measured['datasets'])} "
        command += f"--simulations {measured['people']}"
        if measured["split"] == "external":
            cases, alone = "of what was left out", "the network without prompts"
            how = f"Both networks were trained {of}, the second starting from the first: "
            command += f" --split external --weights DIR --baseline DIR --out weights/{name}"
        else:
            cases, alone, how = f"of the {of} split", measured["beside"]["name"], ""
            command += f" --split {of} --weights weights/{name}"
        views = measured["beside"].get("views")
        averaged = f" (mean of {views} views)" if views else ""
        parts.append(
            f"Simulated people, {measured['people']} at each lesion {cases}, click it "
            "off-centre, then where the answer is wrong most. Without a click the answer is that "
            f"of {alone}{averaged}; region growing is from the first click on its map. "
            f"{how}`{command}`.\n\n{_table(measured['datasets'])}"
        )
        if pictures:
            parts.append(f"![Dice over clicks]({plot_path(of)})")
    parts.append("All of this comes from `clicks.json`, which these commands make.")
    return "\n\n".join(parts)


def _table(found: dict[str, Any]) -> str:
    """Dice over clicks by data set, as `interactive_summary` gives it."""
    count = max(len(one["dice"]) for one in found.values())
    clicks = [f"{n} click{'' if n == 1 else 's'}" for n in range(count)]
    lines = [
        "| data set | lesions | "
        + " | ".join(clicks)
        + " | region growing | not found without a click (Dice under 0.1); of "
        "those, Dice 0.7 or more after one | share of a normal image that a click marks: median; "
        "largest |",
        "|---" * (count + 5) + "|",
    ]
    for name, one in found.items():
        rescued = "–" if one["rescued"] is None else f"{one['rescued']:.0%}"
        stray = one["stray"]
        marks = "–" if stray is None else f"{stray['share']:.1%}; {stray['largest']:.1%}"
        cells = [name, str(one["lesions"]), *map(interval, one["dice"]), interval(one["grown"])]
        cells += [f"{one['lost']}; {rescued}", marks]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
