"""The paper's network beside its relatives: one recipe, one protocol, over many sittings.

All are trained on one data set's training cases for the same number of steps (what is fine-tuned
had as many before, on the others'), and scored at the threshold 0.5 without rules, so that nothing
is chosen for any of them. Validation cases are scored as each training ends; the test cases, and
those of the other data sets, once all trainings are done. What is finished is kept in the run
folder, and never done twice.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unet.config import RECIPES, TRAINABLE, ModelConfig, TrainConfig, to_dict
from unet.core.watershed import watershed_mask
from unet.data.cases import Dataset, read_grey, read_mask
from unet.data.loading import data_folders, fingerprint, load_datasets, make_split
from unet.errors import UserError
from unet.evaluation import plots
from unet.evaluation.paired import count_map, count_mask, summarise_counts
from unet.experiments.ray_executor import finish
from unet.files import atomic_write
from unet.inference.keras_export import export_onnx
from unet.inference.onnx_model import PROBABILITY, OnnxModel, usable_cores
from unet.networks import architecture, build_network
from unet.networks.macs import multiply_adds
from unet.provenance import library_versions
from unet.results import FIRST
from unet.training.checkpoint import Checkpoint
from unet.training.sampling import make_training_set
from unet.training.trainer import TrainResult, train

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
SOURCE = "source"
"""The training on other data sets that fine-tuning starts from."""
TURNS, VIEWS = 5, 20
"""Turns of each network in the timing, and images in a row in each turn."""
PARTS = ("test", "external")
"""Parts of the data that are scored at the end."""


@dataclass(frozen=True)
class Contender:
    """A network that is compared; `tuned` if it starts from one trained on other data sets."""

    model: ModelConfig
    config: TrainConfig
    tuned: bool = False


def contenders(size: int, epochs: int, precision: str) -> dict[str, Contender]:
    """All networks that can be compared, by name; the watershed is none of them."""
    base = replace(RECIPE, epochs=epochs, precision=precision)
    found = {}
    for name, (model, recipe) in RECIPES.items():
        if model.interactive:
            continue  # which is shown more than the image
        own = {setting: getattr(recipe, setting) for setting in METHODS.get(name, ())}
        shape = replace(model, input_size=size, flip_averaging=False, smaller_view=0.0)
        found[name] = Contender(shape, replace(base, **own))
    first = found[FIRST].model
    for part in TRAINABLE:
        name = f"{FIRST}-tuned-{part}"
        found[name] = Contender(
            replace(first, name=name), replace(base, trainable=part), tuned=True
        )
    return found


NAMES = (*contenders(32, 1, RECIPE.precision), WATERSHED)
"""Whatever `--models` may hold."""


class Field:
    """The cases of a comparison: where each is used, and its truth at its own size."""

    def __init__(self, dataset: Dataset):
        split = make_split(dataset, RECIPE)
        self.dataset, self.home = dataset, dataset.cases[0].dataset
        self.fingerprint = fingerprint(dataset, split)

        def of(name: str, home: bool) -> list[int]:
            return [i for i in split[name] if (dataset.cases[i].dataset == self.home) == home]

        self.parts = {name: of(name, True) for name in ("train", "validation", "test")}
        # Of the others the training cases are for fine-tuning to start from; no network sees more.
        self.parts |= {
            SOURCE: of("train", False),
            "external": sorted(of("validation", False) + of("test", False)),
        }
        self._truths: dict[int, np.ndarray] = {}

    def truth(self, index: int) -> np.ndarray:
        """A case's truth, bool `(H, W)`."""
        if index not in self._truths:
            self._truths[index] = read_mask(self.dataset.cases[index])
        return self._truths[index]

    def groups(self, part: str) -> list[int]:
        return [self.dataset.cases[i].group for i in self.parts[part]]

    def counts(self, part: str, network: keras.Model) -> list[list[list[int]]]:
        """A network's counts `(N, T, 4)` on a part's cases."""
        indices = self.parts[part]
        if not indices:
            return []
        maps = network.predict(self.dataset.images[indices], batch_size=16, verbose=0)
        return [
            count_map(square[:, :, 0], self.truth(i))
            for square, i in zip(maps, indices, strict=True)
        ]

    def watershed_counts(self, part: str) -> tuple[list[list[list[int]]], float]:
        """The watershed's counts `(N, T, 4)` on a part's cases, and its median seconds an image."""
        found, seconds = [], []
        for i in self.parts[part]:
            grey = read_grey(self.dataset.cases[i])
            begun = time.perf_counter()
            mask = watershed_mask(grey)
            seconds.append(time.perf_counter() - begun)
            found.append(count_mask(mask, self.truth(i)))
        return found, float(np.median(seconds or [0.0]))


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
    ray: str | None = None,
) -> None:
    """Train and score networks side by side; writes comparison.json and a plot beside it.

    Args:
        data: Folders of data sets, or "phantom": the first is trained on, the others are never seen
            (but by what is fine-tuned, which starts from their training cases).
        names: Some of `NAMES`; `FIRST`, with which all are compared, is always among them.
        size: Side of the networks' input in pixels.
        epochs: Of the recipe; one that shows more images an epoch gets fewer, for as many steps.
        seeds: Trainings of each.
        out: comparison.json.
        run_dir: Checkpoints and what is finished.
        precision: Keras dtype policy in training.
        resume: Continue what is in `run_dir`.
        ray: Address of a Ray cluster for all trainings; one after the other here if None.

    Raises:
        UserError: `run_dir` holds a comparison and `resume` is not set, a name is not known, a
            network cannot be built at this size, one that is fine-tuned is asked for with one data
            set, or the cluster fails.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        raise UserError(f"--models {' '.join(unknown)}: known are {', '.join(NAMES)}")
    if run_dir.exists() and any(run_dir.iterdir()) and not resume:
        raise UserError(f"{run_dir} holds a comparison. Add --resume, or choose another --run-dir.")
    all_of_them = contenders(size, epochs, precision)
    chosen = {n: c for n, c in all_of_them.items() if n in {FIRST, *names}}
    for name, contender in chosen.items():  # said before hours of the others' training
        try:
            architecture(contender.model).check(contender.model)
        except ValueError as error:
            raise UserError(f"--input-size {size}, {name}: {error}") from None
    with data_folders(data) as folders:
        field = Field(load_datasets(folders, size))
        tuned = [name for name, contender in chosen.items() if contender.tuned]
        if tuned and not field.parts[SOURCE]:
            raise UserError(
                f"{', '.join(tuned)}: fine-tuning starts from a network of another data set. Give "
                "--data twice, or leave them out of --models."
            )
        runs = Runs(field, run_dir)
        if ray:
            _train_on_cluster(ray, runs, chosen, seeds)
        # Seed by seed: whenever it is stopped, all networks have been trained as often.
        for seed in range(seeds):
            for name, contender in chosen.items():
                print(f"\n{name}, seed {seed}", flush=True)
                runs.validated(name, contender, seed)
        results = {
            name: [runs.held_out(name, contender, seed) for seed in range(seeds)]
            for name, contender in chosen.items()
        }
        if WATERSHED in names:
            results[WATERSHED] = [_of_watershed(field)]
        milliseconds = _milliseconds(chosen)
        recipe = to_dict(replace(RECIPE, epochs=epochs, precision=precision))
        content = {
            "size": size,
            "epochs": epochs,
            "seeds": seeds,
            "recipe": recipe,
            "trained_on": field.home,
            "external": sorted({field.dataset.cases[i].dataset for i in field.parts["external"]}),
            "fingerprint": field.fingerprint,
            "commits": runs.commits(),
            "versions": library_versions(),
            "cores": usable_cores(),
            "networks": _summaries(field, chosen, results, milliseconds),
        }
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, json.dumps(content, indent=1) + "\n")
    plots.side_by_side(content, out.with_suffix(".png"))
    print(f"wrote {out} and {out.with_suffix('.png')}")


class Runs:
    """The trainings of a comparison, each kept in `run_dir/NAME/seed-N` when it is finished."""

    def __init__(self, field: Field, run_dir: Path):
        self.field, self.run_dir = field, run_dir
        self.steps = math.ceil(len(field.parts["train"]) / RECIPE.batch_size)  # an epoch

    def validated(self, name: str, contender: Contender, seed: int) -> dict[str, Any]:
        """Validation scores of a training; trains first if it is not finished."""

        def score(trained: TrainResult) -> dict[str, Any]:
            return {"counts": {"validation": self.field.counts("validation", trained.network)}}

        return self._kept(name, contender, seed, "validation", score)

    def held_out(self, name: str, contender: Contender, seed: int) -> dict[str, Any]:
        """Scores of a finished training on all cases, and the cost of its network."""

        def score(trained: TrainResult) -> dict[str, Any]:
            network = trained.network
            return {
                "counts": {part: self.field.counts(part, network) for part in PARTS},
                "parameters": network.count_params(),
                "multiply_adds": multiply_adds(network),
            }

        before = self.validated(name, contender, seed)
        after = self._kept(name, contender, seed, "held_out", score)
        return before | after | {"counts": before["counts"] | after["counts"]}

    def _kept(
        self,
        name: str,
        contender: Contender,
        seed: int,
        what: str,
        score: Callable[[TrainResult], dict[str, Any]],
    ) -> dict[str, Any]:
        """The content of `what`.json of that training; made of the trained network if missing."""
        path = self.run_dir / name / f"seed-{seed}" / f"{what}.json"
        settings = {
            "model": to_dict(contender.model),
            "train": to_dict(contender.config),
            "data": self.field.fingerprint,
        }
        if path.exists() and (content := json.loads(path.read_text()))["settings"] == settings:
            return content
        content = {"settings": settings} | score(self.train(name, contender, seed))
        atomic_write(path, json.dumps(content))
        keras.backend.clear_session()
        return content

    def train(self, name: str, contender: Contender, seed: int) -> TrainResult:
        """The network of a training, finished if it is not yet."""
        start = self.source(contender, seed) if contender.tuned else None
        part = SOURCE if name == SOURCE else "train"
        config = replace(contender.config, seed=seed)
        examples = make_training_set(self.field.dataset, self.field.parts[part], config)
        # As many steps for all: who shows more images an epoch has fewer epochs.
        each = math.ceil(len(examples) / config.batch_size)
        config = replace(config, epochs=max(1, round(config.epochs * self.steps / each)))
        return train(
            contender.model,
            config,
            examples,
            None,
            self.run_dir / name / f"seed-{seed}",
            data_fingerprint=self.field.fingerprint,
            start=start,
            resume=True,
        )

    def commits(self) -> list[str | None]:
        """The commits at which the trainings in the run folder were begun."""
        folders = sorted(self.run_dir.glob("*/seed-*"))
        return sorted({Checkpoint.started_from(folder) for folder in folders}, key=str)

    def source(self, contender: Contender, seed: int) -> Path:
        """Weights of the network trained on the other data sets, in built-in layers."""
        path = self.run_dir / SOURCE / f"seed-{seed}" / "network.weights.h5"
        if not path.exists():
            print(f"{SOURCE}, seed {seed}", flush=True)
            source = replace(
                contender, config=replace(contender.config, trainable="all"), tuned=False
            )
            network = self.train(SOURCE, source, seed).network
            temporary = path.with_name(f"writing-{path.name}")
            network.save_weights(temporary)
            os.replace(temporary, path)
            keras.backend.clear_session()
        return path


def _train_on_cluster(address: str, runs: Runs, chosen: dict[str, Contender], seeds: int) -> None:
    """All trainings of a comparison, first what others start from."""
    first, then = {}, {}
    for seed in range(seeds):
        for name, contender in chosen.items():
            training = partial(Runs.train, name=name, contender=contender, seed=seed)
            (then if contender.tuned else first)[f"{name}, seed {seed}"] = training
            if contender.tuned:
                source = partial(Runs.source, contender=contender, seed=seed)
                first[f"{SOURCE}, seed {seed}"] = source
    for trainings in (first, then):
        if trainings:
            finish(address, runs, trainings)


def _milliseconds(chosen: dict[str, Contender]) -> dict[str, float]:
    """Median time of one image through the graph that is served, all cores, by network.

    Not beside the trainings, and in turns: what else the machine does meets all of them alike.
    One graph at a time is loaded, since a graph's threads stay busy for a while after an image.
    """
    graphs = {}
    for name, contender in chosen.items():
        graphs[name] = export_onnx(build_network(contender.model), ())
        keras.backend.clear_session()
    random = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(TURNS):
        for name, content in graphs.items():
            graph = OnnxModel(content)
            for _ in range(VIEWS):
                batch = random.random((1, graph.size, graph.size, 1), np.float32)
                begun = time.perf_counter()
                graph(batch)[PROBABILITY]
                seconds[name].append(time.perf_counter() - begun)
            del graph
    return {name: round(1000 * float(np.median(taken)), 2) for name, taken in seconds.items()}


def _of_watershed(field: Field) -> dict[str, Any]:
    counts, seconds = {}, 0.0
    for part in ("validation", *PARTS):
        found, took = field.watershed_counts(part)
        counts[part], seconds = found, seconds or took
    nothing = {"parameters": 0, "multiply_adds": 0}
    return {"counts": counts, "milliseconds": round(1000 * seconds, 2), **nothing}


def _summaries(
    field: Field,
    chosen: dict[str, Contender],
    results: dict[str, list[dict[str, Any]]],
    milliseconds: dict[str, float],
) -> dict[str, Any]:
    """Entries of comparison.json by network, the first one first."""

    def counts(name: str, part: str) -> np.ndarray:
        return np.array([result["counts"][part] for result in results[name]], int)

    found = {}
    for name, trainings in results.items():
        contender = chosen.get(name)
        base = {part: None if name == FIRST else counts(FIRST, part) for part in field.parts
                if part in ("validation", *PARTS)}  # fmt: skip
        found[name] = {
            "model": to_dict(contender.model) if contender else None,
            "method": _method(name, contender),
            "parameters": trainings[0]["parameters"],
            "multiply_adds": trainings[0]["multiply_adds"],
            "milliseconds": milliseconds.get(name, trainings[0].get("milliseconds")),
            **{
                part: summarise_counts(counts(name, part), field.groups(part), first)
                for part, first in base.items()
                if field.parts[part]
            },
        }
    return found


def _method(name: str, contender: Contender | None) -> dict[str, Any]:
    """The settings in which a contender's training departs from the recipe."""
    if contender is None:
        return {}
    own = {setting: getattr(contender.config, setting) for setting in METHODS.get(name, ())}
    return own | ({"trainable": contender.config.trainable} if contender.tuned else {})
