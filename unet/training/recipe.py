"""What a training was: the command that repeats it, whether two were the same."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from unet.config import RECIPES, ModelConfig, TrainConfig, from_dict
from unet.inference.bundle import BundleInfo


def command_of(data: list[str], recipe: str, model_config: ModelConfig, config: TrainConfig) -> str:
    """The command that trains this network anew, with every setting that is not the recipe's.

    `data` are the names of the data sets; in their place the person gives folders.
    """
    model, defaults = RECIPES[recipe]
    words = ["python", "train.py", "fit"]
    for name in data:
        words += ["--data", name]
    words += ["--model", recipe]
    if model_config.name != recipe:
        words += ["--out", f"weights/{model_config.name}"]
    if model_config.input_size != model.input_size:
        words += ["--input-size", str(model_config.input_size)]
    for field in dataclasses.fields(TrainConfig):
        value = getattr(config, field.name)
        if value != getattr(defaults, field.name):
            option = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", str(value)]
    return shlex.join(words)


GONE = {"annotations": False, "wide": False}
"""Settings there used to be, and their values in trainings as they are now."""


def read_train_config(values: dict[str, Any]) -> TrainConfig:
    """What a training wrote down of its settings; some may be gone since.

    Raises:
        ValueError: A setting is not known, or one that is gone made another training of it.
    """
    kept = {n: v for n, v in values.items() if n not in GONE or v != GONE[n]}
    return from_dict(TrainConfig, kept)


def same_recipe(validated: dict[str, Any], info: BundleInfo) -> bool:
    """Whether a cross-validation was of a bundle's recipe, on the same kind of data."""
    if validated.get("data") != info.training["data"]:
        return False
    if validated["config"] == info.training["config"]:
        return from_dict(ModelConfig, validated["model"]) == info.model
    try:
        mine, theirs = (read_train_config(c["config"]) for c in (validated, info.training))
    except ValueError:
        return False
    return mine == theirs and from_dict(ModelConfig, validated["model"]) == info.model
