"""k-fold cross-validation: every case is scored by a network that never saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unet.config import Recipe
from unet.data.loading import data_folders, load_datasets, sources_of
from unet.evaluation.case_scores import case_row
from unet.evaluation.report import results_text
from unet.evaluation.summary import summarise
from unet.experiments.artifacts import check_results_fit
from unet.experiments.experiment import Executor, Experiment, SerialExecutor, results_of, run
from unet.experiments.mining import read_candidates
from unet.experiments.recipes import command_of
from unet.experiments.run_store import RunStore
from unet.experiments.splitters import OUT_OF_FOLD, k_fold
from unet.files import atomic_write, rows_to_csv


def cross_validate(
    data: list[str],
    name: str,
    recipe: Recipe,
    *,
    folds: int,
    out: Path,
    run_dir: Path,
    resume: bool = False,
    candidates: Path | None = None,
    executor: Executor = SerialExecutor(),
) -> None:
    """Cross-validate a recipe; writes cross_validation.json and .csv, and no bundle.

    A fold's network is trained and calibrated on the other folds alone.

    Args:
        data: Folders of data sets, or "phantom".
        name: The recipe's, in `RECIPES`.
        recipe: The network and how it is trained.
        folds: How many parts the cases are dealt into.
        out: Where the results go: the bundle of the network trained with the same recipe, or a
            folder without a bundle.
        run_dir: Gets a run folder for each fold.
        resume: Continue the runs in `run_dir`.
        candidates: As in `unet.experiments.fit.fit`.
        executor: Runs the trainings.

    Raises:
        DatasetError: The cases are too few, or `out` holds a network of another recipe.
    """
    with data_folders(data) as folders:
        dataset = load_datasets(folders, recipe.model.input_size)
        names = [source["name"] for source in sources_of(dataset.cases)]
        mined = " --candidates FILE" * bool(candidates) + executor.options
        command = f"{command_of(names, name, recipe)}{mined} --folds {folds}"
        check_results_fit(out, names, recipe)
        experiment = Experiment(
            "cross-validation",
            {name: recipe},
            k_fold(folds, recipe.train),
            scored=(OUT_OF_FOLD,),
            facts={"command": command},
            candidates=read_candidates(candidates),
        )
        scored = run(experiment, dataset, RunStore(run_dir, resume=resume), executor)
    scores = [
        replace(score, split=one.job.split_name)
        for one in scored
        for score in one.scores[OUT_OF_FOLD]
    ]
    pooled = {OUT_OF_FOLD: summarise(scores)}
    results_of(experiment, dataset, command, scored, pooled=pooled).write(
        out / "cross_validation.json"
    )
    rows = sorted(map(case_row, scores), key=lambda row: row["id"])
    atomic_write(out / "cross_validation.csv", rows_to_csv(rows))
    print(results_text({"out of fold": pooled[OUT_OF_FOLD]}))
    print(f"wrote {out}/cross_validation.json and cross_validation.csv")
