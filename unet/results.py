"""Results that experiments write and that reports, cards and the page read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unet.files import atomic_write

FIRST = "unet"
"""Name of the network that a comparison of architectures holds the others against."""


@dataclass(frozen=True)
class Run:
    """One training and its scores.

    Attributes:
        recipe, split, seed: Which it is in the experiment.
        epochs, seconds: Its length.
        commit: The commit it was begun at; None if unknown.
        sha256: Hash of each file of its network.
        rules: Its post-processing.
        parts: `unet.evaluation.summary.summarise` of each part that was scored, with `auc` and
            `gates` (see `unet.evaluation.threshold_selection`).
    """

    recipe: str
    split: str
    seed: int
    epochs: int
    seconds: float
    commit: str | None
    sha256: dict[str, str]
    rules: dict[str, Any]
    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Results:
    """Everything an experiment found.

    Attributes:
        experiment: Its name.
        command: What makes it again.
        datasets: Names of the data sets, in the order they were given.
        recipes: `unet.config.Recipe` by name, as JSON.
        runs: The trainings.
        pooled: Summary of all runs' cases together, by part; where each run scores its own.
        paired: For each recipe and part `unet.evaluation.paired.summarise_counts`: the mean over
            seeds and the difference to the first recipe case by case.
        inference: The same of one network that answers in other ways, by what is changed.
        costs: For each recipe `parameters`, `multiply_adds` and `milliseconds`.
        facts: What else is to be known: versions, cores.
    """

    experiment: str
    command: str
    datasets: list[str]
    recipes: dict[str, dict[str, Any]]
    runs: list[Run]
    pooled: dict[str, dict[str, Any]] = field(default_factory=dict)
    paired: dict[str, dict[str, Any]] = field(default_factory=dict)
    inference: dict[str, dict[str, Any]] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Results | None:
        """Results in a file; None where there is none."""
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        return cls(**values | {"runs": [Run(**run) for run in values["runs"]]})

    def write(self, path: Path) -> None:
        """Write them as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @property
    def recipe(self) -> dict[str, Any]:
        """The first recipe."""
        return next(iter(self.recipes.values()))


def group_by_dataset(split: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A split's summary for each data set that it has images of."""
    if "by_dataset" in split:
        return split["by_dataset"]
    return dict.fromkeys(split["datasets"], split)


def held_out(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary of each data set's test images, be it one trained on or not."""
    splits = metrics["splits"]
    return {
        name: summary
        for split in ("external", "test")
        for name, summary in group_by_dataset(splits.get(split, {"datasets": []})).items()
    }


def shown_parts(comparison: Results) -> dict[str, str]:
    """The parts that networks are scored on at the end and that hold lesions, with their names."""
    parts = {"test": f"{comparison.datasets[0]}, test split"}
    parts["external"] = f"{' + '.join(comparison.datasets[1:])}, never seen"
    first = comparison.paired[FIRST]
    return {part: title for part, title in parts.items() if "dice" in first.get(part, {})}


def plot_path(what: str) -> str:
    """Path of an interactive plot in a bundle."""
    return f"plots/clicks_{what.replace(' ', '_')}.png"
