"""The paper's network beside its relatives: one recipe, one protocol, over many sittings.

All are trained on one data set's training cases for the same number of steps, and scored at the
threshold 0.5 without rules, so that nothing is chosen for any of them. Nothing is scored before all
trainings are done. What is finished is kept in the run folder, and never done twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from unet.config import RECIPES, TINY, InferenceConfig, Recipe, TrainConfig
from unet.core.image import mask_to_input
from unet.core.mask import PostProcessing
from unet.core.watershed import watershed_mask
from unet.data.cases import Case, Dataset, read_grey, read_mask
from unet.data.loading import data_folders, load_datasets, sources_of
from unet.errors import UserError
from unet.evaluation import plots
from unet.evaluation.case_scores import (
    CasePrediction,
    CaseScore,
    predict_cases,
    score_case,
    threshold_protocol,
)
from unet.evaluation.paired import summarise_paired
from unet.experiments.experiment import (
    Executor,
    Experiment,
    ScoredRun,
    SerialExecutor,
    results_of,
    run,
)
from unet.experiments.run_store import RunStore
from unet.experiments.splitters import EXTERNAL, first_dataset
from unet.inference.onnx_model import GRAPH, PROBABILITY, OnnxModel, usable_cores
from unet.inference.prediction import ModelId, Prediction
from unet.inference.segmenter import Segmenter
from unet.networks import architecture, build_network
from unet.networks.macs import multiply_adds
from unet.provenance import library_versions
from unet.results import FIRST

WATERSHED = "watershed"
RECIPE = TrainConfig(batch_size=16, warmup_epochs=1, loss="cross_entropy_dice", checkpoint="last")
"""The one recipe. With the Dice term, since all are scored by Dice at 0.5 after few epochs; the
last epoch is kept, so that none is chosen."""
METHODS = {
    "unet-regularised": ("weight_decay",),
    "unet-balanced": ("normal_oversampling",),
    "residual-unet": ("weight_decay",),
    "efficientnet-unet": ("weight_decay", "pretrained"),
}
"""Settings of a network's own recipe that are its method, and are kept."""
TURNS, IMAGES = 5, 20
"""Turns of each network in the timing, and images in a row in each turn."""
PARTS = ("validation", "test", EXTERNAL)
OTHER_THRESHOLDS = (0.3, 0.7, 0.9)
PROTOCOLS = tuple(threshold_protocol(threshold) for threshold in (0.5, *OTHER_THRESHOLDS))
"""The first one is what all are compared by: the threshold nobody chose."""


def recipes_to_compare(size: int, epochs: int, precision: str) -> dict[str, Recipe]:
    """All networks that can be compared, by name; the watershed is none of them."""
    base = replace(RECIPE, epochs=epochs, precision=precision)
    found = {}
    for name, recipe in RECIPES.items():
        if recipe.model.interactive or name == TINY:
            continue
        own = {setting: getattr(recipe.train, setting) for setting in METHODS.get(name, ())}
        found[name] = Recipe(
            replace(recipe.model, input_size=size), replace(base, **own), InferenceConfig()
        )
    return found


NAMES = (*recipes_to_compare(32, 1, RECIPE.precision), WATERSHED)
"""Whatever `--models` may hold."""


def score_thresholds(segmenter: Segmenter, cases: list[Case]) -> list[CaseScore]:
    """Score the maps at each of the thresholds, without rules."""
    maps = predict_cases(segmenter, cases)
    return [score_case(m, "", segmenter.postprocessing, OTHER_THRESHOLDS) for m in maps]


def compare(
    data: list[str],
    names: list[str],
    *,
    size: int,
    epochs: int,
    seeds: int,
    out: Path,
    run_dir: Path,
    precision: str = RECIPE.precision,
    resume: bool = False,
    executor: Executor = SerialExecutor(),
) -> None:
    """Train and score networks side by side; writes comparison.json and a plot beside it.

    Args:
        data: Folders of data sets, or "phantom": the first is trained on, the others are never
            seen.
        names: Some of `NAMES`; `FIRST`, with which all are compared, is always among them.
        size: Side of the networks' input in pixels.
        epochs: Of the recipe; one that shows more images an epoch gets fewer, for as many steps.
        seeds: Trainings of each.
        out: comparison.json.
        run_dir: Checkpoints and what is finished.
        precision: Keras dtype policy in training.
        resume: Continue what is in `run_dir`.
        executor: Runs the trainings.

    Raises:
        UserError: `run_dir` holds a comparison and `resume` is not set, a name is not known, a
            network cannot be built at this size, or the cluster fails.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        raise UserError(f"--models {' '.join(unknown)}: known are {', '.join(NAMES)}")
    if run_dir.exists() and any(run_dir.iterdir()) and not resume:
        raise UserError(f"{run_dir} holds a comparison. Add --resume, or choose another --run-dir.")
    every = recipes_to_compare(size, epochs, precision)
    recipes = {name: recipe for name, recipe in every.items() if name in {FIRST, *names}}
    for name, recipe in recipes.items():  # said before hours of the others' training
        try:
            architecture(recipe.model).check(recipe.model)
        except ValueError as error:
            raise UserError(f"--input-size {size}, {name}: {error}") from None
    costs = {name: _cost(recipe) for name, recipe in recipes.items()}
    # The first one, then the cheapest: they are finished soonest.
    order = sorted(recipes, key=lambda name: (name != FIRST, costs[name]["multiply_adds"]))
    with data_folders(data) as folders:
        dataset = load_datasets(folders, size)
        names_of_data = [source["name"] for source in sources_of(dataset.cases)]
        command = "python train.py compare" + "".join(f" --data {name}" for name in names_of_data)
        command += f" --input-size {size} --epochs {epochs} --seeds {seeds}"
        command += f" --precision {precision}" * (precision != RECIPE.precision) + " --models "
        command += " ".join([*order, *([WATERSHED] if WATERSHED in names else [])])
        experiment = Experiment(
            "comparison",
            {name: recipes[name] for name in order},
            first_dataset(RECIPE),
            scored=PARTS,
            seeds=tuple(range(seeds)),
            scorer=score_thresholds,
            equal_steps=True,
            score_last=True,
            facts={"command": command},
        )
        store = RunStore(run_dir, resume=True)
        scored = run(experiment, dataset, store, executor)
        scores = {name: _by_part(scored, name) for name in order}
        if WATERSHED in names:
            scores[WATERSHED], costs[WATERSHED] = _watershed(dataset, scored[0])
    graphs = {one.job.recipe_name: store.bundle(one.job) / GRAPH for one in reversed(scored)}
    for name, milliseconds in _milliseconds(graphs).items():
        costs[name]["milliseconds"] = milliseconds
    paired = {
        name: {
            part: summarise_paired(runs, scores[FIRST][part] if name != FIRST else None, PROTOCOLS)
            for part, runs in parts.items()
        }
        for name, parts in scores.items()
    }
    facts = {"cores": usable_cores(), "versions": library_versions()}
    results = results_of(
        experiment, dataset, command, scored, paired=paired, costs=costs, facts=facts
    )
    results.write(out)
    plots.side_by_side(results, out.with_suffix(".png"))
    print(f"wrote {out} and {out.with_suffix('.png')}")


def _by_part(scored: list[ScoredRun], name: str) -> dict[str, list[list[CaseScore]]]:
    """A network's scores by part, for each of its trainings."""
    own = [one.scores for one in scored if one.job.recipe_name == name]
    return {part: [scores[part] for scores in own] for part in own[0]}


def _cost(recipe: Recipe) -> dict[str, float]:
    network = build_network(recipe.model)
    cost = {"parameters": network.count_params(), "multiply_adds": multiply_adds(network)}
    keras.backend.clear_session()
    return cost


def _milliseconds(graphs: dict[str, Path]) -> dict[str, float]:
    """Median time of one image through the graph that is served, all cores, by network.

    Not beside the trainings, and in turns: what else the machine does meets all of them alike.
    One graph at a time is loaded, since a graph's threads stay busy for a while after an image.
    """
    random = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(TURNS):
        for name, path in graphs.items():
            graph = OnnxModel(path)
            for _ in range(IMAGES):
                batch = random.random((1, graph.size, graph.size, 1), np.float32)
                begun = time.perf_counter()
                graph(batch)[PROBABILITY]
                seconds[name].append(time.perf_counter() - begun)
            del graph
    return {name: round(1000 * float(np.median(taken)), 2) for name, taken in seconds.items()}


def _watershed(
    dataset: Dataset, scored: ScoredRun
) -> tuple[dict[str, list[list[CaseScore]]], dict[str, float]]:
    """Scores of the watershed by part, as of one training, and its cost."""
    by_id, size = {case.id: case for case in dataset.cases}, dataset.images.shape[1]
    scores = {
        part: [list(_watershed_scores([by_id[i] for i in scored.job.split[part]], size))]
        for part in scored.scores
    }
    seconds = [score.seconds for (own,) in scores.values() for score in own]
    milliseconds = round(1000 * float(np.median(seconds)), 2)
    return scores, {"parameters": 0, "multiply_adds": 0, "milliseconds": milliseconds}


def _watershed_scores(cases: list[Case], size: int) -> Iterator[CaseScore]:
    for case in cases:
        grey, truth = read_grey(case), read_mask(case)
        begun = time.perf_counter()
        mask = watershed_mask(grey)
        seconds = time.perf_counter() - begun
        probability_u8 = np.where(mask, np.uint8(255), np.uint8(0))
        prediction = Prediction(
            probability_u8, None, None, None, None, PostProcessing(), ModelId(WATERSHED)
        )
        square = mask_to_input(mask, size)[:, :, 0].astype(np.float32)
        m = CasePrediction(case, square, prediction, truth, seconds)
        yield score_case(m, "", prediction.postprocessing, OTHER_THRESHOLDS)
