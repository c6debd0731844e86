"""The runs of an experiment on disk: checkpoints, the calibrated network, its scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unet.config import Recipe, TrainConfig, from_dict, to_dict
from unet.core.windows import Candidates
from unet.data.cases import Case, Dataset
from unet.data.loading import arrays, fingerprint, fingerprint_of
from unet.evaluation.case_scores import CaseScore, predict_cases
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.splitters import Split, indices_of
from unet.files import atomic_write, rows_to_csv
from unet.inference.bundle import WEIGHTS, BundleInfo, atomic_directory, read_info, verify
from unet.inference.keras_export import write_bundle
from unet.inference.segmenter import Segmenter
from unet.provenance import git_commit, is_reproducible
from unet.training.calibration import (
    fit_confidence_thresholds,
    fit_ood_detector,
    uncalibrated_segmenter,
)
from unet.training.checkpoint import Checkpoint, kept_epoch, refuse_run
from unet.training.initial_weights import describe_start, seen_outside_split
from unet.training.jax_processes import Processes
from unet.training.sampling import make_training_set
from unet.training.trainer import TrainingSet, TrainResult, train

CALIBRATED = "calibrated"
"""Folder, in a run's, of its network as a bundle that is calibrated but not evaluated."""


@dataclass(frozen=True)
class Job:
    """One training: a recipe on one split.

    Attributes:
        recipe_name, split_name: Their names in the experiment.
        recipe, split: The recipe, and the cases it is trained and scored on.
        folder: Its own, in the store.
        init_from: A bundle whose weights it starts from; None for none.
        watched: Whether validation is scored after each epoch.
        facts: What its bundle says of the training besides.
        candidates: False candidates of other networks; None for none.
    """

    recipe_name: str
    recipe: Recipe
    split_name: str
    split: Split
    folder: Path
    init_from: Path | None
    watched: bool
    facts: dict[str, Any]
    candidates: Candidates | None = None

    @property
    def name(self) -> str:
        """Its name among the others, for people."""
        return f"{self.recipe_name}, {self.split_name}, seed {self.recipe.train.seed}"

    def fingerprint(self, dataset: Dataset) -> str:
        """Names the data that it trains on."""
        found = fingerprint(dataset, indices_of(dataset, self.split))
        if self.candidates is None:
            return found
        mined = hashlib.sha256(json.dumps(self.candidates, sort_keys=True).encode())
        return f"{found} with candidates {mined.hexdigest()}"

    def made(self, info: BundleInfo, dataset: Dataset) -> bool:
        """Return True for a bundle that this training gives, on these data."""
        start = self.init_from and verify(self.init_from).sha256[WEIGHTS]
        data = self.fingerprint(dataset)
        return (
            (info.model, info.inference) == (self.recipe.model, self.recipe.inference)
            and from_dict(TrainConfig, info.training["config"]) == self.recipe.train
            and info.training["fingerprint"] == data
            and info.training.get("start", {}).get("sha256") == start
        )


class RunStore:
    """Folders of runs below `root`; what is finished there is not done again."""

    def __init__(self, root: Path, *, resume: bool = False):
        self.root, self.resume = Path(root), resume

    def folder(self, job: Job) -> Path:
        """The run folder: checkpoints, history.csv, the calibrated bundle, scores."""
        return self.root / job.folder

    def bundle(self, job: Job) -> Path:
        """Where the calibrated network lies when it is there."""
        return self.folder(job) / CALIBRATED

    def refuse_others(self, jobs: list[Job]) -> None:
        """Raise UserError where a run was begun and is not to be resumed, or its start leaks."""
        for job in jobs:
            if not self.resume:
                refuse_run(self.folder(job))
            _start_of(job)

    def is_calibrated(self, job: Job, dataset: Dataset) -> bool:
        """Return True for a run that is finished with these settings on these data."""
        bundle = self.bundle(job)
        return (bundle / "unet.json").exists() and job.made(read_info(bundle), dataset)

    def calibrated(
        self,
        job: Job,
        dataset: Dataset,
        *,
        resume: bool = False,
        among: Processes | None = None,
        tensorboard: bool = False,
    ) -> BundleInfo | None:
        """The run's network, trained and calibrated if it is not yet.

        Args:
            job, dataset: What is trained, of which cases.
            resume: Go on with a run that was begun, whatever the store was told.
            among, tensorboard: As in `unet.training.trainer.train`.

        Returns:
            Its bundle's `unet.json`; None in a process that writes nothing.
        """
        if self.is_calibrated(job, dataset):
            return verify(self.bundle(job))
        started = _start_of(job)
        examples, trained = train_job(
            dataset, job, self, resume=resume, among=among, tensorboard=tensorboard
        )
        if trained is None or (among and not among.writes):
            return None
        with atomic_directory(self.bundle(job)) as new:
            return self._write(new, job, dataset, trained, examples, started)

    def _write(
        self,
        folder: Path,
        job: Job,
        dataset: Dataset,
        trained: TrainResult,
        examples: TrainingSet,
        started: dict[str, Any],
    ) -> BundleInfo:
        """Calibrate on validation, write the bundle and the history beside it."""
        recipe, history = job.recipe, trained.history
        indices = indices_of(dataset, job.split)
        commit, now = Checkpoint.started_from(self.folder(job)), git_commit()
        training = job.facts | {
            "rules_chosen_on": list(
                dict.fromkeys(dataset.cases[i].dataset for i in indices["validation"])
            ),
            "config": to_dict(recipe.train),
            "fingerprint": job.fingerprint(dataset),
            "epochs_run": len(history),
            "best_epoch": kept_epoch(history, recipe.train.checkpoint),
            "seconds": round(sum(row["seconds"] for row in history)),
            "reproducible": is_reproducible(commit) and is_reproducible(now),
            **started,
        }
        info = write_bundle(
            folder,
            trained.network,
            model=recipe.model,
            inference=recipe.inference,
            training=training,
            split=job.split,
            commit=commit,
            **_calibrate(trained, examples, recipe, dataset, indices),
        )
        (folder / "history.csv").write_text(rows_to_csv(history))
        return info

    def scores(
        self,
        job: Job,
        part: str,
        cases: list[Case],
        score: Callable[[Segmenter, list[Case]], list[CaseScore]],
    ) -> list[CaseScore]:
        """The scores of a part's cases; computed if they are not kept, or of another network."""
        bundle = self.bundle(job)
        info = bundle / "unet.json"
        of = hashlib.sha256(info.read_bytes() + json.dumps([c.id for c in cases]).encode())
        path = self.folder(job) / f"scores-{part}.json"
        if path.exists() and (kept := json.loads(path.read_text()))["of"] == of.hexdigest():
            return [CaseScore.from_dict(values) for values in kept["scores"]]
        found = score(Segmenter.load(bundle), cases)
        content = {"of": of.hexdigest(), "scores": [to_dict(one) for one in found]}
        atomic_write(path, json.dumps(content) + "\n")
        return found


def train_job(
    dataset: Dataset,
    job: Job,
    store: RunStore,
    *,
    resume: bool = True,
    among: Processes | None = None,
    tensorboard: bool = False,
) -> tuple[TrainingSet, TrainResult | None]:
    """Finish a job's training in its run folder; what it was shown, and what it gave."""
    indices = indices_of(dataset, job.split)
    examples = make_training_set(dataset, indices["train"], job.recipe.train, job.candidates)
    validation = TrainingSet(*arrays(dataset, indices["validation"])) if job.watched else None
    trained = train(
        job.recipe.model,
        job.recipe.train,
        examples,
        validation,
        store.folder(job),
        data_fingerprint=job.fingerprint(dataset),
        start=job.init_from and job.init_from / WEIGHTS,
        resume=resume or store.resume,
        tensorboard=tensorboard,
        among=among,
    )
    return examples, trained


def _start_of(job: Job) -> dict[str, Any]:
    """What a bundle says of the network that its training starts from; UserError if it leaks."""
    if job.init_from is None:
        return {}
    start = describe_start(job.init_from, job.recipe.model)
    return {"start": start | {"seen": seen_outside_split(job.init_from, job.split)}}


def _calibrate(
    trained: TrainResult,
    examples: TrainingSet,
    recipe: Recipe,
    dataset: Dataset,
    indices: dict[str, list[int]],
) -> dict[str, Any]:
    """Classifiers learnt on train, thresholds chosen on validation."""
    seed = recipe.train.seed
    segmenter = uncalibrated_segmenter(trained, recipe, examples)
    maps = predict_cases(segmenter, [dataset.cases[i] for i in indices["validation"]])
    rules = select_postprocessing(maps)
    train_images, validation = (dataset.images[indices[n]] for n in ("train", "validation"))
    return {
        "postprocessing": rules,
        "presence": segmenter.presence,
        "familiarity": fit_ood_detector(
            trained.network, recipe.model, train_images, validation, seed
        ),
        "confidence": fit_confidence_thresholds(maps, rules),
    }


def data_prints(dataset: Dataset, split: Split) -> dict[str, str]:
    """A hash of the cases of each part, whatever others there are."""
    return {
        name: fingerprint_of(dataset, indices)
        for name, indices in indices_of(dataset, split).items()
    }
