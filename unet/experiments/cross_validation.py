"""k-fold cross-validation of a recipe: every case is segmented by a network that never saw it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.data.cases import Dataset
from unet.data.splits import fold_cases
from unet.evaluation.case_scores import CasePrediction, case_row, predict_cases, score_case
from unet.evaluation.summary import summarise
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.ray_executor import finish
from unet.files import atomic_write, rows_to_csv
from unet.training.calibration import uncalibrated_segmenter
from unet.training.checkpoint import refuse_run
from unet.training.jax_processes import Processes
from unet.training.sampling import train_on_cases


def cross_validate(
    dataset: Dataset,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    folds: int,
    run_dir: Path,
    data_fingerprint: str,
    resume: bool,
    ray: str | None = None,
    among: Processes | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a network for each fold on all other folds, and score the fold with it.

    Nothing is chosen on the fold that is scored: the last epoch is kept, and post-processing is
    chosen on the other folds' maps, which networks made that had not seen them either.

    Args:
        dataset: Cases with groups; near-duplicates share a fold.
        model_config, config: The network and how it is trained; `config.checkpoint` must be "last".
        folds: How many.
        run_dir: Gets a run folder for each fold.
        data_fingerprint: Names the data; a run is not resumed on other data.
        resume: Continue the runs in `run_dir`.
        ray: Address of a Ray cluster to train all folds on; one after the other here if None.
        among: Processes of this machine that train each on JAX together; TensorFlow if None.

    Returns:
        The summary of all cases, and a row a case with its fold in column "split".

    Raises:
        DatasetError: The cases are too few.
        UserError: As `unet.training.trainer.train` and `unet.experiments.ray_executor.finish` say.
    """
    parts = fold_cases(dataset.cases, folds, config.split_seed)
    trainings = {}
    for number, held_out in enumerate(parts, start=1):
        trainings[f"fold {number} of {folds}"] = partial(
            train_on_cases,
            indices=list(np.setdiff1d(np.arange(len(dataset.cases)), held_out)),
            model_config=model_config,
            config=config,
            run_dir=run_dir / f"fold-{number}",
            data_fingerprint=f"{data_fingerprint}, fold {number} of {folds}",
            resume=resume or ray is not None,
            among=among,
        )
    if ray:
        if not resume:
            for number in range(1, folds + 1):
                refuse_run(run_dir / f"fold-{number}")
        finish(ray, dataset, trainings)
    maps: list[list[CasePrediction]] = []
    for held_out, (name, training) in zip(parts, trainings.items(), strict=True):
        print(f"{name}: {len(dataset.cases) - len(held_out)} cases to train on")
        trained, examples = training(dataset)
        segmenter = uncalibrated_segmenter(trained, model_config, examples, config.seed)
        maps.append(predict_cases(segmenter, [dataset.cases[i] for i in held_out]))
        keras.backend.clear_session()
    results, rules = [], []
    for number, fold_maps in enumerate(maps):
        others = [m for k, other in enumerate(maps) if k != number for m in other]
        rules.append(select_postprocessing(others))
        results += [score_case(m, f"fold {number + 1}", rules[-1]) for m in fold_maps]
    summary = {"folds": folds, "rules": [to_dict(r) for r in rules]}
    return summary | summarise(results), [case_row(r) for r in results]


def write_cross_validation(
    folder: Path, summary: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Write cross_validation.json and cross_validation.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "cross_validation.json", json.dumps(summary, indent=1) + "\n")
    rows = sorted(rows, key=lambda row: row["id"])
    atomic_write(folder / "cross_validation.csv", rows_to_csv(rows))
