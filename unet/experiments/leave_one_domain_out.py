"""Leave one out: train without a data set or a scanner, and score it. What travels shows here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.loading import data_folders, fingerprint, load_datasets, make_split, sources_of
from unet.errors import UserError
from unet.evaluation.case_scores import CasePrediction, predict_cases, score_case
from unet.evaluation.report import results_text
from unet.evaluation.summary import summarise
from unet.evaluation.threshold_selection import MAX_MISSED, operating_curve
from unet.experiments.artifacts import check_results_fit
from unet.experiments.fit import calibrate_network
from unet.experiments.recipes import command_of
from unet.files import atomic_write
from unet.inference.bundle import WEIGHTS, atomic_directory, read_info
from unet.inference.keras_export import write_bundle
from unet.inference.segmenter import Segmenter
from unet.training.checkpoint import Checkpoint
from unet.training.initial_weights import describe_start, seen_case_ids
from unet.training.jax_processes import Processes
from unet.training.sampling import make_training_set
from unet.training.trainer import train

LEFT_OUT = "left_out"
"""Name, among a bundle's splits, of the cases that were left out and may be scored."""


def leave_out(
    data: list[str],
    recipe: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    left_out: str,
    out: Path,
    run_dir: Path,
    start: Path | None = None,
    resume: bool = False,
    among: Processes | None = None,
) -> None:
    """Train without one data set or scanner and score it; adds to leave_out.json.

    The network, with rules chosen on what is left, stays as a bundle in `run_dir/bundle`: to start
    a guided one from, and to look at.

    Args:
        left_out: Name of the data set or scanner; case, spaces and hyphens do not matter.
        out: As in `unet.experiments.fit.cross_validate`.
        start: A bundle to start from, which has not seen what is left out either.
        among: As in `unet.experiments.fit.cross_validate`.
        data, recipe, model_config, config, run_dir, resume: As in `unet.experiments.fit.fit`.

    Raises:
        DatasetError: `config.checkpoint` is "best", there is no such data set or scanner, nothing
            would be left to train on, or `out` holds a network, or results, of another recipe.
        UserError: `start` holds another kind of network, or one that has seen what is left out.
    """
    if config.checkpoint != "last":
        raise DatasetError("the epoch would be chosen for what is left out: add --checkpoint last")
    started = {} if start is None else {"start": describe_start(start, model_config)}
    with data_folders(data) as folders:
        dataset = load_datasets(folders, model_config.input_size)
        left_out = resolve_domain(dataset.cases, left_out)
        names = [source["name"] for source in sources_of(dataset.cases)]
        command = command_of(names, recipe, model_config, config)
        about = {
            "data": " + ".join(names),
            "model": to_dict(model_config),
            "config": to_dict(config),
            "command": f"{command}{' --init-from DIR' if start else ''} --leave-out-domain NAME"
            + (" --backend jax" if among else ""),
        }
        check_results_fit(out, about)
        _kept(out, about)
        whole = make_split(dataset, config)
        split = split_without(dataset, whole, left_out)
        ids = {name: [dataset.cases[i].id for i in indices] for name, indices in split.items()}
        if start:
            seen = seen_case_ids(read_info(start))
            if set(ids[LEFT_OUT]) & seen:
                raise UserError(
                    f"--init-from {start} has seen images of {left_out}, which is left out"
                )
            if set(ids["validation"]) & set(read_info(start).split["train"]):
                raise UserError(
                    f"--init-from {start} was trained on what would be validation cases: give the "
                    "split that it was trained with"
                )
            started["start"]["seen"] = sorted(seen - {*ids["train"], *ids["validation"]})
        examples = make_training_set(dataset, split["train"], config)
        data_fingerprint = fingerprint_without(dataset, whole, left_out)
        trained = train(
            model_config,
            config,
            examples,
            None,
            run_dir,
            data_fingerprint=data_fingerprint,
            start=start and start / WEIGHTS,
            resume=resume,
            among=among,
        )
        with atomic_directory(run_dir / "bundle") as new:
            write_bundle(
                new,
                trained.network,
                model=model_config,
                training=about
                | {
                    "sources": sources_of(dataset.cases),
                    "fingerprint": data_fingerprint,
                    "left_out": left_out,
                    **started,
                },
                split=ids,
                commit=Checkpoint.started_from(run_dir),
                **calibrate_network(trained, examples, model_config, config, dataset, split),
            )
        segmenter = Segmenter.load(run_dir / "bundle")
        found = score_left_out(segmenter, [dataset.cases[i] for i in split[LEFT_OUT]], left_out)
    write_leave_out(out, about, found)
    print(results_text({f"without {left_out}": found}))
    print(f"wrote {out}/leave_out.json and {run_dir}/bundle")


def split_without(
    dataset: Dataset, split: dict[str, list[int]], left_out: str
) -> dict[str, list[int]]:
    """Split off one domain: training and validation cases of the others, and its own to score.

    Cases of the others that share a patient or a near-duplicate with the domain are dropped. Test
    cases are neither trained on nor scored: choices are made by these numbers.

    Args:
        dataset, split: All cases, and their places in the recipe's split.
        left_out: Name of a data set or scanner, as `resolve_domain` gives it.

    Raises:
        DatasetError: None is left to train on.
    """
    out = np.array([left_out in (case.dataset, case.scanner) for case in dataset.cases])
    if out.all():
        raise DatasetError(f"--leave-out-domain {left_out}: nothing is left to train on")
    parts = ("train", "validation")
    groups = {case.group for case, is_out in zip(dataset.cases, out, strict=True) if is_out}
    return {
        name: [i for i in split[name] if dataset.cases[i].group not in groups] for name in parts
    } | {LEFT_OUT: sorted(i for name in parts for i in split[name] if out[i])}


def fingerprint_without(dataset: Dataset, split: dict[str, list[int]], left_out: str) -> str:
    """Names the data of a training without a data set or scanner; `split` is the whole one.

    One training serves leave-one-out and an ablation's first row: they name their data alike.
    """
    return f"{fingerprint(dataset, split)} without {_plain(left_out)}"


def score_left_out(segmenter: Segmenter, cases: list[Case], left_out: str) -> dict[str, Any]:
    """Score a network on a data set or scanner that it has not seen.

    Returns:
        `left_out`, `rules`, `auc` of presence and of the map's peak for lesion against normal
        (None where one is missing), `gates`, what a gate on presence would cost and give, and the
        summary of the scores.
    """
    maps = predict_cases(segmenter, cases)
    rules = segmenter.postprocessing
    missed = sum(bool(m.truth.any() and not m.mask(rules).any()) for m in maps)
    return {
        "left_out": left_out,
        "rules": to_dict(rules),
        "lesions": sum(bool(m.truth.any()) for m in maps),
        "lesions_answered_none": missed,
        "auc": {
            "presence": presence_auc(maps),
            "peak": _auc(maps, lambda m: int(m.prediction.probability_u8.max())),
        },
        "gates": gates_for(maps, rules.threshold),
    } | summarise([score_case(m, left_out, rules) for m in maps])


def presence_auc(maps: list[CasePrediction]) -> float | None:
    """Area under the ROC curve of presence, lesion against normal; None where one is missing."""
    return _auc(maps, lambda m: m.prediction.presence)


def gates_for(maps: list[CasePrediction], threshold: float) -> dict[str, float | None] | None:
    """The gate that leaves at most `MAX_MISSED` of these lesions without a mask, and what it gives.

    Nothing is chosen by it: it says how well presence tells lesion from normal here.

    Returns:
        `gate`, `missed` and `masked` as in `operating_curve`; None without lesions or presence.
    """
    if any(m.prediction.presence is None for m in maps) or not any(m.truth.any() for m in maps):
        return None
    curve = [step for steps in operating_curve(maps, threshold).values() for step in steps]
    allowed = max(MAX_MISSED, curve[0]["missed"])
    return [step for step in curve if step["missed"] <= allowed][-1]


def resolve_domain(cases: list[Case], name: str) -> str:
    """The data sets' own spelling of a data set or scanner; case, spaces, hyphens do not matter.

    Raises:
        DatasetError: There is none of that name.
    """
    known = {own for case in cases for own in (case.dataset, case.scanner)} - {""}
    for own in known:
        if _plain(own) == _plain(name):
            return own
    raise DatasetError(f"--leave-out-domain {name}: expected one of {', '.join(sorted(known))}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _auc(maps: list[CasePrediction], value) -> float | None:
    lesion = [bool(m.truth.any()) for m in maps]
    values = [value(m) for m in maps]
    if len(set(lesion)) < 2 or None in values:
        return None
    return float(roc_auc_score(lesion, values))


def write_leave_out(folder: Path, about: dict[str, Any], found: dict[str, Any]) -> None:
    """Add what was found to leave_out.json."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = _kept(folder, about) | {found["left_out"]: found}
    content = json.dumps(about | {"left_out": parts}, indent=1) + "\n"
    atomic_write(folder / "leave_out.json", content)


def _kept(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Results in leave_out.json by domain; DatasetError if they are of other settings."""
    path = folder / "leave_out.json"
    content = json.loads(path.read_text()) if path.exists() else about
    if {name: content.get(name) for name in about} != about:
        raise DatasetError(
            f"{path} holds results of other settings ({content.get('command')}), which are not "
            "mixed. Give --out another folder."
        )
    return content.get("left_out", {})
