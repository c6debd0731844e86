"""One experiment: recipes × splits × seeds → trained runs → scored cases → results."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras

from unet.config import Recipe, TrainConfig, to_dict
from unet.data.cases import Case, Dataset
from unet.data.loading import sources_of
from unet.evaluation.case_scores import CaseScore, predict_cases, score_case
from unet.evaluation.summary import summarise
from unet.evaluation.threshold_selection import gate_at_few_missed, roc_areas
from unet.experiments import ray_executor
from unet.experiments.mining import MinedCandidates
from unet.experiments.run_store import Job, RunStore, train_job
from unet.experiments.splitters import Split, Splitter, indices_of
from unet.inference.bundle import BundleInfo, read_info
from unet.inference.segmenter import Segmenter
from unet.results import Results, Run
from unet.training.jax_processes import Processes
from unet.training.sampling import make_training_set

Scorer = Callable[[Segmenter, list[Case]], list[CaseScore]]


def score_masks(segmenter: Segmenter, cases: list[Case]) -> list[CaseScore]:
    """Score the masks that people would get, and those of the other protocols."""
    maps = predict_cases(segmenter, cases)
    return [score_case(m, "", segmenter.postprocessing) for m in maps]


@dataclass(frozen=True)
class Experiment:
    """Recipes, splits and seeds that make the trainings, and the parts that score them.

    Attributes:
        name: What it is called in the results.
        recipes: By name; with the first one the others are compared.
        splitter: Gives the splits by name.
        scored: Parts of each split that are scored.
        seeds: Trainings of each recipe on each split; one with the recipe's own seed if None.
        scorer: Scores cases with a trained, calibrated network.
        equal_steps: Whether all recipes train as many steps as the first: one that shows more
            images an epoch has fewer epochs.
        score_last: Whether nothing is scored before all are trained.
        alone: Whether it is one training, with its recipe's own seed, in the store's own folder;
            validation is then scored after each epoch, for its curves.
        init_from: A bundle whose weights the trainings start from; None for none.
        facts: What each bundle says of its training besides: JSON values by name.
        candidates: False candidates that networks found, shown where a recipe has windows: those
            of networks that have not seen what a training is scored on.
    """

    name: str
    recipes: dict[str, Recipe]
    splitter: Splitter
    scored: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    scorer: Scorer = score_masks
    equal_steps: bool = False
    score_last: bool = False
    alone: bool = False
    init_from: Path | None = None
    facts: dict[str, Any] | None = None
    candidates: MinedCandidates | None = None

    def jobs(self, dataset: Dataset) -> list[Job]:
        """All trainings, seed by seed: wherever it is stopped, all have been trained as often."""
        splits = self.splitter(dataset)
        recipes = self._with_equal_steps(dataset, splits)
        jobs = []
        for seed in self.seeds or (None,):
            for split_name, split in splits.items():
                for name, recipe in recipes.items():
                    if seed is not None:
                        recipe = replace(recipe, train=replace(recipe.train, seed=seed))
                    parts = (name, split_name, f"seed-{recipe.train.seed}")
                    parts = () if self.alone else parts
                    folder = Path(*(part.replace(" ", "-") for part in parts))
                    watched = self.alone or recipe.train.checkpoint == "best"
                    jobs.append(
                        Job(
                            name, recipe, split_name, split, folder, self.init_from, watched,
                            {"sources": learnt_sources(dataset, split), "split_name": split_name}
                            | (self.facts or {}),
                            self.candidates and self.candidates.unseen_by(split),
                        )
                    )  # fmt: skip
        return jobs

    def _with_equal_steps(self, dataset: Dataset, splits: dict[str, Split]) -> dict[str, Recipe]:
        if not self.equal_steps:
            return self.recipes
        split = next(iter(splits.values()))
        indices = indices_of(dataset, split)["train"]
        mined = self.candidates and self.candidates.unseen_by(split)
        steps: dict[tuple[Any, ...], int] = {}
        found: dict[str, Recipe] = {}
        for name, recipe in self.recipes.items():
            train = recipe.train
            kind = (
                train.patches, train.normal_oversampling, train.dataset_oversampling,
                train.windows, train.batch_size,
            )  # fmt: skip
            if kind not in steps:
                shown = len(make_training_set(dataset, indices, train, mined))
                steps[kind] = math.ceil(shown / train.batch_size)
            share = next(iter(steps.values())) / steps[kind]
            found[name] = replace(recipe, train=_longer(train, share))
        return found


def learnt_sources(dataset: Dataset, split: Split) -> list[dict[str, Any]]:
    """The data sets that a split's training and validation cases come from."""
    learnt = {*split["train"], *split["validation"]}
    return sources_of([case for case in dataset.cases if case.id in learnt])


def _longer(train: TrainConfig, share: float) -> TrainConfig:
    epochs, warmup = round(train.epochs * share), round(train.warmup_epochs * share)
    return replace(train, epochs=max(1, epochs), warmup_epochs=warmup)


class Executor(Protocol):
    """Runs trainings whose state lies in their run folders."""

    @property
    def options(self) -> str:
        """Command-line options of it that change the trained network."""

    def prepare(self, jobs: list[Job], dataset: Dataset, store: RunStore) -> None:
        """Train before the jobs are taken one after the other, or leave it to `train`."""

    def train(self, job: Job, dataset: Dataset, store: RunStore) -> BundleInfo | None:
        """Finish one training and its calibration; None in a process that writes nothing."""


@dataclass(frozen=True)
class SerialExecutor:
    """One training after the other, here.

    Attributes:
        among: Processes that train each on JAX together; TensorFlow if None.
        tensorboard: Whether TensorBoard logs are written.
    """

    among: Processes | None = None
    tensorboard: bool = False

    @property
    def options(self) -> str:
        """As `Executor` says."""
        return " --backend jax" if self.among else ""

    def prepare(self, jobs: list[Job], dataset: Dataset, store: RunStore) -> None:
        """Nothing: each is trained when its turn comes."""

    def train(self, job: Job, dataset: Dataset, store: RunStore) -> BundleInfo | None:
        """As `Executor` says."""
        return store.calibrated(job, dataset, among=self.among, tensorboard=self.tensorboard)


@dataclass(frozen=True)
class RayExecutor:
    """All trainings side by side on a cluster; the rest one after the other, here."""

    address: str
    options: str = ""

    def prepare(self, jobs: list[Job], dataset: Dataset, store: RunStore) -> None:
        """Train what is not finished, each in a process of its own."""
        missing = [job for job in jobs if not store.is_calibrated(job, dataset)]
        trainings = {job.name: partial(train_job, job=job, store=store) for job in missing}
        if trainings:
            ray_executor.finish(self.address, dataset, trainings)

    def train(self, job: Job, dataset: Dataset, store: RunStore) -> BundleInfo | None:
        """As `Executor` says; the training is finished."""
        return store.calibrated(job, dataset, resume=True)


@dataclass(frozen=True)
class ScoredRun:
    """A finished training: its job, its bundle, and the scores of each part's cases."""

    job: Job
    info: BundleInfo
    scores: dict[str, list[CaseScore]]


def run(
    experiment: Experiment,
    dataset: Dataset,
    store: RunStore,
    executor: Executor = SerialExecutor(),
) -> list[ScoredRun] | None:
    """Train what is missing, calibrate it on its own validation cases, score it, keep it all.

    Args:
        experiment: What to do.
        dataset: All cases, at the recipes' input size.
        store: Where runs are kept.
        executor: Runs the trainings.

    Returns:
        The runs, in the order of `Experiment.jobs`; None in a process that writes nothing.

    Raises:
        UserError: The store holds runs and is not to be resumed, or a training cannot be done.
    """
    jobs = experiment.jobs(dataset)
    store.refuse_others(jobs)
    executor.prepare(jobs, dataset, store)
    for number, job in enumerate(jobs, start=1):
        if len(jobs) > 1:
            print(f"\n{job.name} ({number} of {len(jobs)})", flush=True)
        if executor.train(job, dataset, store) is None:
            return None
        keras.backend.clear_session()
        if not experiment.score_last:
            _scores(experiment, job, dataset, store)
    return [
        ScoredRun(job, read_info(store.bundle(job)), _scores(experiment, job, dataset, store))
        for job in jobs
    ]


def _scores(
    experiment: Experiment, job: Job, dataset: Dataset, store: RunStore
) -> dict[str, list[CaseScore]]:
    by_id = {case.id: case for case in dataset.cases}
    return {
        part: store.scores(job, part, [by_id[i] for i in job.split[part]], experiment.scorer)
        for part in experiment.scored
        if part in job.split
    }


def results_of(
    experiment: Experiment, dataset: Dataset, command: str, scored: list[ScoredRun], **more: Any
) -> Results:
    """The results of an experiment's runs, each part summarised."""
    return Results(
        experiment=experiment.name,
        command=command,
        datasets=[source["name"] for source in sources_of(dataset.cases)],
        recipes={name: to_dict(recipe) for name, recipe in experiment.recipes.items()},
        runs=[_run_of(one) for one in scored],
        **more,
    )


def _run_of(scored: ScoredRun) -> Run:
    job, info = scored.job, scored.info
    return Run(
        recipe=job.recipe_name,
        split=job.split_name,
        seed=job.recipe.train.seed,
        epochs=job.recipe.train.epochs,
        seconds=info.training["seconds"],
        commit=info.commit,
        sha256=info.sha256,
        rules=to_dict(info.postprocessing),
        parts={part: summary_of(own, info) for part, own in scored.scores.items()},
    )


def summary_of(scores: list[CaseScore], info: BundleInfo) -> dict[str, Any]:
    """`summarise`, and how well presence and the map's peak tell lesion from normal."""
    threshold = info.postprocessing.threshold
    return summarise(scores) | {
        "auc": roc_areas(scores),
        "gates": gate_at_few_missed(scores, threshold),
    }
