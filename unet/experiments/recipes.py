"""Recipes: the command that repeats a training, and the comparison of two."""

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


def same_recipe(found: dict[str, Any], info: BundleInfo) -> bool:
    """Return True for results of a bundle's recipe on the same data sets.

    The networks that gave them may have had a smaller input and fewer epochs: many trainings take
    long. Cards say so.
    """
    if found.get("data") != info.training["data"]:
        return False
    mine, theirs = (from_dict(TrainConfig, c["config"]) for c in (found, info.training))
    model = from_dict(ModelConfig, found["model"])
    model = dataclasses.replace(model, name=info.model.name, input_size=info.model.input_size)
    epochs = {"epochs": mine.epochs, "warmup_epochs": mine.warmup_epochs}
    return dataclasses.replace(theirs, **epochs) == mine and model == info.model
