"""Recipes: the command that repeats a training, and the comparison of two."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from unet.config import RECIPES, InferenceConfig, ModelConfig, Recipe, TrainConfig, from_dict
from unet.inference.bundle import BundleInfo
from unet.results import Results


def command_of(data: Sequence[str], name: str, recipe: Recipe) -> str:
    """The command that trains this network anew, with every setting that is not the recipe's.

    Args:
        data: Names of the data sets; in their place the person gives folders.
        name: The recipe's, in `RECIPES`.
        recipe: What is trained.
    """
    base = RECIPES[name]
    words = ["python", "train.py", "fit"]
    for dataset in data:
        words += ["--data", dataset]
    words += ["--model", name]
    if recipe.model.name != name:
        words += ["--out", f"weights/{recipe.model.name}"]
    if recipe.model.input_size != base.model.input_size:
        words += ["--input-size", str(recipe.model.input_size)]
    for field in dataclasses.fields(TrainConfig):
        value = getattr(recipe.train, field.name)
        if value != getattr(base.train, field.name):
            option = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", str(value)]
    return shlex.join(words)


def same_recipe(found: Results, info: BundleInfo) -> bool:
    """Return True for results of a bundle's recipe on the same data sets.

    The networks that gave them may have had a smaller input and fewer epochs: many trainings take
    long. Cards say so.
    """
    if found.datasets != info.datasets:
        return False
    theirs, recipe = from_dict(TrainConfig, info.training["config"]), found.recipe
    mine = from_dict(TrainConfig, recipe["train"])
    model = from_dict(ModelConfig, recipe["model"])
    model = dataclasses.replace(model, name=info.model.name, input_size=info.model.input_size)
    length = {"epochs": mine.epochs, "warmup_epochs": mine.warmup_epochs}
    return (
        dataclasses.replace(theirs, **length) == mine
        and model == info.model
        and from_dict(InferenceConfig, recipe["inference"]) == info.inference
    )
