"""The bundle that a training starts from, and what a network has seen with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unet.config import ModelConfig, to_dict
from unet.errors import UserError
from unet.inference.bundle import WEIGHTS, BundleInfo, read_info, verify


def describe_start(start: Path, model_config: ModelConfig) -> dict[str, Any]:
    """Name and weights' hash of the bundle that a network starts from; UserError if of another."""
    info = verify(start)
    if info.model.interactive and not model_config.interactive:
        raise UserError(f"--init-from {start} takes prompts: start --model guided-unet from it")
    # What shapes no weights may differ.
    free = {"name", "input_size", "dropout", "bottleneck_dropout", "interactive"}
    there, asked = to_dict(info.model), to_dict(model_config)
    if any(there[name] != asked[name] for name in asked.keys() - free):
        raise UserError(
            f"--init-from {start} holds a network of another kind ({there}) than the one to be "
            f"trained ({asked}): give its --model"
        )
    return {"name": info.model.name, "sha256": info.sha256[WEIGHTS]}


CALIBRATION = "calibration_cases"
"""Key in a bundle's training facts: ids of other data sets' cases that its rules were chosen on."""


def seen_case_ids(info: BundleInfo) -> set[str]:
    """Ids of the cases that a network, or one that it started from, was trained or chosen on."""
    before = info.training.get("start", {}).get("seen", ())
    calibration = info.training.get(CALIBRATION, ())
    return {*info.split["train"], *info.split["validation"], *before, *calibration}


def seen_outside_split(start: Path, split: dict[str, list[str]]) -> list[str]:
    """Ids of what the bundle to start from has seen and the new split does not train or choose on.

    Raises:
        UserError: It has seen a case that is to be scored, or was trained on a validation case.
    """
    info = read_info(start)
    seen = seen_case_ids(info)
    chosen_on = {*info.split["validation"], *info.training.get(CALIBRATION, ())}
    for name, ids in sorted(split.items()):  # what is scored before what is chosen on
        known = {"train": set(), "validation": seen - chosen_on}.get(name, seen)
        if leaked := known & set(ids):
            raise UserError(
                f"--init-from {start} has learnt from {len(leaked)} of what would be {name} cases: "
                "give the data sets and the split that it was trained with"
            )
    return sorted(seen - {*split["train"], *split["validation"]})
