"""Ablation: the gain of each part of a network's recipe.

Parts of the training are left out one at a time, in trainings of their own that are smaller than
the shipped network's (`SIZE`, as many steps as `EPOCHS` of the recipe) and may be stopped and
continued; they are scored on the validation split, or on a data set that none of them saw. Parts of
what happens after the network are left out of the shipped bundle, on the validation split.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unet.config import InferenceConfig, Recipe, TrainConfig, from_dict
from unet.core.mask import PostProcessing
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.evaluation.case_scores import CasePrediction, CaseScore, predict_cases, score_case
from unet.evaluation.paired import summarise_paired
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.evaluate import split_known_and_unseen
from unet.experiments.experiment import Executor, Experiment, SerialExecutor, results_of, run
from unet.experiments.run_store import RunStore
from unet.experiments.splitters import EXTERNAL, bundle_split, resolve_domain
from unet.inference.bundle import BundleInfo, verify
from unet.inference.prediction import ModelId
from unet.inference.segmenter import Segmenter, load_onnx

SIZE, EPOCHS = 128, 6
WHOLE = "the recipe"
CHANGES: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "encoder from random weights": {"pretrained": False},
    "mild augmentation": {"augmentation": "mild"},
    "no patches": {"patches": False},
    "no oversampling of normals": {"normal_oversampling": 1},
    "cross-entropy without Dice": {"loss": "cross_entropy"},
}
"""Settings of the training that are changed, by what is left out with them."""


def recipes_without(recipe: Recipe, all_lesions: bool) -> dict[str, Recipe]:
    """The recipe and those without a part of it, by name; none that would train the same.

    Args:
        recipe: Of the network.
        all_lesions: Whether it trains on lesion images alone, of which none is shown more often.
    """
    found = {}
    for name, changes in CHANGES.items():
        changed = replace(recipe, train=replace(recipe.train, **changes))
        same = changed == recipe or (all_lesions and "normal_oversampling" in changes)
        if not changes or not same:
            found[name] = changed
    return found


def ablate(
    data: list[Path],
    weights: Path,
    run_dir: Path,
    left_out: str | None = None,
    executor: Executor = SerialExecutor(),
) -> None:
    """Write ablation.json to a bundle.

    Args:
        data: The folders of the data sets that the network was trained on.
        weights: The bundle.
        run_dir: Gets the trainings, which are resumed where they were left.
        left_out: Data set or scanner that the trainings do not see and are scored on, at the
            threshold 0.5 without rules: those would be chosen on other hospitals.
        executor: Runs the trainings.

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
    inference = compare_inference(data, weights, info)
    dataset = load_datasets(data, SIZE)
    _cases_of(data, dataset, info)
    if left_out:
        left_out = resolve_domain(dataset.cases, left_out)
    part, protocol = (EXTERNAL, "threshold_0.5") if left_out else ("validation", "postprocessed")
    train = from_dict(TrainConfig, info.training["config"])
    recipe = Recipe(
        replace(info.model, input_size=SIZE),
        replace(train, epochs=EPOCHS, checkpoint="last"),
        info.inference,
    )
    learnt = set(info.split["train"])
    labels = {case.label for case in dataset.cases if case.id in learnt}
    command = "python train.py ablate" + "".join(f" --data {name}" for name in info.datasets)
    command += f" --weights weights/{info.model.name}"
    command += f" --leave-out-domain {left_out}" if left_out else ""
    experiment = Experiment(
        "ablation",
        recipes_without(recipe, "normal" not in labels),
        bundle_split(info.split, left_out),
        scored=(part,),
        equal_steps=True,
        facts={"command": command},
    )
    scored = run(experiment, dataset, RunStore(run_dir, resume=True), executor)
    scores = {one.job.recipe_name: [one.scores[part]] for one in scored}
    paired = {
        name: {part: summarise_paired(own, _base(scores, name), (protocol,))}
        for name, own in scores.items()
    }
    results = results_of(experiment, dataset, command, scored, paired=paired, inference=inference)
    results.write(weights / "ablation.json")
    print(f"wrote {weights}/ablation.json")


def compare_inference(
    data: list[Path], folder: Path, info: BundleInfo
) -> dict[str, dict[str, Any]]:
    """The shipped network with parts of what comes after it left out, by what is left out.

    On validation, at the images' own size. Where views or the presence gate are left out, the
    rules are chosen anew, as they would have been without them; where a rule is, the others stay.
    """
    cases = _cases_of(data, load_datasets(data, info.model.input_size), info)["validation"]
    rules = info.postprocessing
    whole = predict_cases(Segmenter.load(folder), cases)
    graph = load_onnx(folder, info)

    def with_views(inference: InferenceConfig) -> tuple[list[CasePrediction], PostProcessing]:
        segmenter = Segmenter(
            graph, graph.size, ModelId(info.model.name), rules, inference=inference,
            presence=info.presence,
        )  # fmt: skip
        maps = predict_cases(segmenter, cases)
        return maps, select_postprocessing(maps)

    no_presence = [replace(m, prediction=replace(m.prediction, presence=None)) for m in whole]
    variants = {"the shipped network": (whole, rules)}
    variants["one view alone"] = with_views(InferenceConfig())
    if len(info.inference.scales) > 1:
        variants["no smaller view"] = with_views(replace(info.inference, scales=(1.0,)))
    variants |= {
        "no presence gate": (no_presence, select_postprocessing(no_presence)),
        "threshold 0.5, no post-processing": (whole, PostProcessing()),
    }
    if rules.min_peak:
        variants["no gate on the peak"] = (whole, replace(rules, min_peak=0.0))
    if rules.min_area:
        variants["no smallest region"] = (whole, replace(rules, min_area=0.0))
    scores = {
        name: [[score_case(m, "validation", own) for m in maps]]
        for name, (maps, own) in variants.items()
    }
    return {
        name: summarise_paired(own, _base(scores, name), ("postprocessed",))
        for name, own in scores.items()
    }


def _base(scores: dict[str, list[list[CaseScore]]], name: str) -> list[list[CaseScore]] | None:
    """The scores of the first, which `name` is compared with; None for itself."""
    first = next(iter(scores))
    return None if name == first else scores[first]


def _cases_of(data: list[Path], dataset: Dataset, info: BundleInfo) -> dict[str, list[Case]]:
    own, _ = split_known_and_unseen(dataset, info)
    if any(len(own[name]) < len(ids) for name, ids in info.split.items()):
        folders = " and ".join(map(str, data))
        raise DatasetError(f"{folders}: not the cases that the network was trained from")
    return own
