"""k-fold cross-validation of a recipe: every case is segmented by a network that never saw it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.data.cases import Dataset
from unet.data.splits import fold_cases
from unet.evaluation.rules import choose_postprocessing
from unet.evaluation.scores import Map, case_row, probability_maps, score_map
from unet.evaluation.summary import summarise
from unet.files import rows_to_csv, write_whole
from unet.training.examples import examples_of
from unet.training.learnt import segmenter_without_rules
from unet.training.loop import train


def cross_validate(
    dataset: Dataset,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    folds: int,
    run_dir: Path,
    data_fingerprint: str,
    resume: bool,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a network for each fold on all other folds, and score the fold with it.

    Nothing is chosen on the fold that is scored: the last epoch is kept, and post-processing is
    chosen on the other folds' maps, which networks made that had not seen them either.

    Args:
        dataset: Cases with groups; near-duplicates share a fold.
        model_config, config: The network and how it is trained; `config.keep` must be "last".
        folds: How many.
        run_dir: Gets a run folder for each fold.
        data_fingerprint: Names the data; a run is not resumed on other data.
        resume: Continue the runs in `run_dir`.

    Returns:
        The summary of all cases, and a row a case with its fold in column "split".

    Raises:
        DatasetError: The cases are too few.
    """
    parts = fold_cases(dataset.cases, folds, config.split_seed)
    maps: list[list[Map]] = []
    for number, held_out in enumerate(parts, start=1):
        others = np.setdiff1d(np.arange(len(dataset.cases)), held_out)
        print(f"fold {number} of {folds}: {len(others)} cases to train on")
        examples = examples_of(dataset, list(others), config)
        trained = train(
            model_config,
            config,
            examples,
            None,
            run_dir / f"fold-{number}",
            data_fingerprint=f"{data_fingerprint}, fold {number} of {folds}",
            resume=resume,
        )
        segmenter = segmenter_without_rules(trained, model_config, examples, config.seed)
        maps.append(probability_maps(segmenter, [dataset.cases[i] for i in held_out]))
        keras.backend.clear_session()
    results, rules = [], []
    for number, fold_maps in enumerate(maps):
        others = [m for k, other in enumerate(maps) if k != number for m in other]
        rules.append(choose_postprocessing(others))
        results += [score_map(m, f"fold {number + 1}", rules[-1]) for m in fold_maps]
    summary = {"folds": folds, "rules": [to_dict(r) for r in rules]}
    return summary | summarise(results), [case_row(r) for r in results]


def write_cross_validation(
    folder: Path, summary: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Write cross_validation.json and cross_validation.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "cross_validation.json", json.dumps(summary, indent=1) + "\n")
    rows = sorted(rows, key=lambda row: row["id"])
    write_whole(folder / "cross_validation.csv", rows_to_csv(rows))
