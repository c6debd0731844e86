"""Ablation: the gain of each part of a network's recipe.

Parts of the training are left out one at a time, in trainings of their own that are smaller than
the shipped network's (`SIZE`, as many pictures as in `EPOCHS`) and may be stopped and continued;
they are scored on the validation split, or on a data set that none of them saw. Parts of what
happens after the network are left out of the shipped bundle, on the validation split.
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unet.config import TrainConfig, from_dict, to_dict
from unet.core.mask import PostProcessing
from unet.core.metrics import Confusion, ratio_interval
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.loading import fingerprint, load_datasets
from unet.errors import UserError
from unet.evaluation.case_scores import CasePrediction, predict_cases
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.evaluate import split_known_and_unseen
from unet.experiments.leave_one_domain_out import (
    LEFT_OUT,
    fingerprint_without,
    gates_for,
    presence_auc,
    resolve_domain,
    split_without,
)
from unet.experiments.ray_executor import finish
from unet.files import atomic_write
from unet.inference.bundle import BundleInfo, verify
from unet.inference.prediction import ModelId
from unet.inference.segmenter import Segmenter, load_onnx
from unet.training.calibration import uncalibrated_segmenter
from unet.training.sampling import make_training_set, train_on_cases

SIZE, EPOCHS = 128, 6
TRAININGS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "encoder from random weights": {"pretrained": False},
    "mild augmentation": {"augmentation": "mild"},
    "no patches": {"patches": False},
    "no oversampling of normals": {"normal_oversampling": 1},
    "cross-entropy without Dice": {"loss": "cross_entropy"},
}


def maps_of(
    segmenter: Segmenter, cases: list[Case], images: np.ndarray, masks: np.ndarray
) -> list[CasePrediction]:
    """The network's maps of some images, at its own size.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
    """
    maps = []
    for case, image, mask in zip(cases, images, masks, strict=True):
        views = segmenter.predict_input_views(image)
        square = views.probability.mean(axis=0)  # (S, S)
        prediction = segmenter.prediction_of(views, *square.shape)
        maps.append(CasePrediction(case, square, prediction, mask[..., 0]))
    return maps


def scores(maps: list[CasePrediction], rules: PostProcessing) -> np.ndarray:
    """Dice of each case's final mask: float `(N,)`."""
    return np.array([Confusion.of(m.mask(rules), m.truth).dice for m in maps])


def recipes_without(recipe: TrainConfig, all_lesions: bool) -> dict[str, TrainConfig]:
    """The recipe and those without a part of it, by name; none that would train the same.

    Args:
        recipe: Of the network.
        all_lesions: Whether it trains on lesion images alone, of which none is shown more often.
    """
    found = {}
    for name, changes in TRAININGS.items():
        changed = dataclasses.replace(recipe, **changes)
        same = changed == recipe or (all_lesions and "normal_oversampling" in changes)
        if not changes or not same:
            found[name] = changed
    return found


def shown_as_many_pictures(
    dataset: Dataset, indices: list[int], recipes: dict[str, TrainConfig]
) -> dict[str, TrainConfig]:
    """The recipes, with such epochs that each is shown about as many pictures as the first."""
    counts: dict[tuple[bool, int], int] = {}
    found = {}
    for name, recipe in recipes.items():
        kind = recipe.patches, recipe.normal_oversampling
        if kind not in counts:
            counts[kind] = len(make_training_set(dataset, indices, recipe))
        as_many = next(iter(counts.values())) / counts[kind]
        found[name] = dataclasses.replace(
            recipe,
            epochs=round(recipe.epochs * as_many),
            warmup_epochs=round(recipe.warmup_epochs * as_many),
        )
    return found


def ablate_training(
    data: list[Path],
    info: BundleInfo,
    run_dir: Path,
    size: int,
    epochs: int,
    left_out: str | None = None,
    ray: str | None = None,
) -> list[dict[str, Any]]:
    """Train with each part left out and score on validation; a row a training.

    All are shown about as many pictures: without pieces an epoch is a third as long.

    With `left_out` all train without that data set or scanner and are scored on it, at the
    threshold 0.5 without rules: those would be chosen on what nobody is to see.
    """
    recipe = from_dict(TrainConfig, info.training["config"])
    dataset = load_datasets(data, size)
    cases = _cases_of(data, dataset, info)["validation"]
    place = {case.id: i for i, case in enumerate(dataset.cases)}
    chosen = {name: [place[case_id] for case_id in ids] for name, ids in info.split.items()}
    data_fingerprint, scored = fingerprint(dataset, chosen), "validation"
    if left_out:
        scored = LEFT_OUT
        data_fingerprint = fingerprint_without(dataset, chosen, left_out)
        chosen = split_without(dataset, chosen, left_out)
        cases = [dataset.cases[i] for i in chosen[scored]]
    images, masks = (a[chosen[scored]] for a in (dataset.images, dataset.masks))
    lesion = masks.any(axis=(1, 2, 3))
    all_lesions = dataset.masks[chosen["train"]].any(axis=(1, 2, 3)).all()
    model = dataclasses.replace(info.model, input_size=size)
    trainings = {}
    recipe = dataclasses.replace(recipe, epochs=epochs, checkpoint="last")
    recipes = recipes_without(recipe, all_lesions)
    recipes = shown_as_many_pictures(dataset, chosen["train"], recipes)
    for name, config in recipes.items():
        trainings[name] = partial(
            train_on_cases,
            indices=chosen["train"],
            model_config=model,
            config=config,
            run_dir=run_dir / str(list(TRAININGS).index(name)),
            data_fingerprint=data_fingerprint,
            resume=True,
        )
    if ray:
        finish(ray, dataset, trainings)
    rows, base = [], None
    for name, training in trainings.items():
        print(f"\n{name}", flush=True)
        trained, examples = training(dataset)
        segmenter = uncalibrated_segmenter(trained, model, examples, recipe.seed)
        maps = maps_of(segmenter, cases, images, masks)
        rules = PostProcessing() if left_out else select_postprocessing(maps)
        dice = scores(maps, rules)
        given = sum(bool(m.mask(rules).any()) for m in maps if not m.truth.any())
        rows.append(
            {"what": name, "changes": TRAININGS[name], "epochs": recipes[name].epochs}
            | {"normal_with_mask": given}
            | {"normal": int((~lesion).sum()), "auc": presence_auc(maps)}
            | {"gates": gates_for(maps, rules.threshold) if left_out else None}
            | summary(cases, lesion, dice, base)
        )
        base = dice if base is None else base
        keras.backend.clear_session()
    return rows


def ablate_rules(data: list[Path], folder: Path, info: BundleInfo) -> list[dict[str, Any]]:
    """The shipped network with parts of what comes after it left out; a row each.

    At the images' own size. Where views or the presence gate are left out, the rules are chosen
    anew, as they would have been without them; where a rule is, the others stay.
    """
    cases = _cases_of(data, load_datasets(data, info.model.input_size), info)["validation"]
    rules = info.postprocessing
    whole = predict_cases(Segmenter.load(folder), cases)
    graph = load_onnx(folder, info)

    def with_views(**views: Any) -> tuple[list[CasePrediction], PostProcessing]:
        network = ModelId(info.model.name)
        segmenter = Segmenter(graph, graph.size, network, rules, presence=info.presence, **views)
        maps = predict_cases(segmenter, cases)
        return maps, select_postprocessing(maps)

    no_presence = [
        dataclasses.replace(m, prediction=dataclasses.replace(m.prediction, presence=None))
        for m in whole
    ]
    variants = {"the shipped network": (whole, rules), "one view alone": with_views()}
    if info.model.smaller_view:
        variants["no smaller view"] = with_views(flip=info.model.flip_averaging)
    variants |= {
        "no presence gate": (no_presence, select_postprocessing(no_presence)),
        "threshold 0.5, no post-processing": (whole, PostProcessing()),
    }
    if rules.min_peak:
        variants["no gate on the peak"] = (whole, dataclasses.replace(rules, min_peak=0.0))
    if rules.min_area:
        variants["no smallest region"] = (whole, dataclasses.replace(rules, min_area=0.0))
    lesion = np.array([m.truth.any() for m in whole])
    rows, base = [], None
    for name, (maps, variant) in variants.items():
        dice = scores(maps, variant)
        given = sum(bool(m.mask(variant).any()) for m in maps if not m.truth.any())
        rows.append(
            {"what": name, "rules": to_dict(variant)}
            | {"normal_with_mask": given, "normal": int((~lesion).sum())}
            | summary(cases, lesion, dice, base)
        )
        base = dice if base is None else base
    return rows


def summary(
    cases: list[Case], lesion: np.ndarray, dice: np.ndarray, base: np.ndarray | None
) -> dict[str, Any]:
    """Mean Dice, and its difference to the whole's, each with a 95 % interval."""
    groups = np.array([case.group for case in cases])

    def mean(values: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
        return ratio_interval(values[chosen], np.ones(chosen.sum()), groups[chosen])

    every = np.ones(len(dice), bool)
    result = {"dice_all": mean(dice, every), "dice_lesion": mean(dice, lesion)}
    if base is not None:
        result["difference_all"] = mean(dice - base, every)
        result["difference_lesion"] = mean(dice - base, lesion)
    return result


def _cases_of(data: list[Path], dataset: Dataset, info: BundleInfo) -> dict[str, list[Case]]:
    own, _ = split_known_and_unseen(dataset, info)
    if any(len(own[name]) < len(ids) for name, ids in info.split.items()):
        folders = " and ".join(map(str, data))
        raise DatasetError(f"{folders}: not the cases that the network was trained from")
    return own


def ablate(
    data: list[Path],
    weights: Path,
    run_dir: Path,
    left_out: str | None = None,
    ray: str | None = None,
) -> None:
    """Write ablation.json to a bundle, and its card anew.

    Args:
        data: The folders of the data sets that the network was trained on.
        weights: The bundle.
        run_dir: Gets the trainings, which are resumed where they were left.
        left_out: Data set or scanner that the trainings do not see and are scored on.
        ray: Address of a Ray cluster for all trainings; one after the other here if None.

    Raises:
        UserError: The bundle is not whole or not evaluated, `data` holds other cases, none of
            them is of `left_out`, or the cluster fails.
    """
    info = verify(weights)
    if not (weights / "metrics.json").exists():  # said before the trainings, not after
        raise UserError(f"{weights} has no metrics.json. Run train.py evaluate --split all first.")
    if info.model.interactive or "start" in info.training:
        raise UserError(
            f"{weights} was trained from another network of this project, and ablate trains from "
            "the beginning: ablate that one"
        )
    if left_out:
        left_out = resolve_domain(load_datasets(data, info.model.input_size).cases, left_out)
    found = {
        "size": SIZE,
        "epochs": EPOCHS,
        "left_out": left_out,
        "rules": to_dict(info.postprocessing),
        "after_the_network": ablate_rules(data, weights, info),
        "training": ablate_training(data, info, run_dir, SIZE, EPOCHS, left_out, ray),
    }
    atomic_write(weights / "ablation.json", json.dumps(found, indent=1) + "\n")
    print(f"wrote {weights}/ablation.json")
