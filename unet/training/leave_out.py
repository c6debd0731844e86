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
from unet.evaluation.rules import choose_postprocessing
from unet.evaluation.scores import Map, probability_maps, score_map
from unet.evaluation.summary import summarise
from unet.files import write_whole
from unet.training.examples import examples_of
from unet.training.learnt import segmenter_without_rules
from unet.training.loop import train


def leave_out(
    dataset: Dataset,
    split: dict[str, list[int]],
    left_out: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    run_dir: Path,
    data_fingerprint: str,
    resume: bool,
) -> dict[str, Any]:
    """Train on the others' training cases, choose rules on their validation, score what is left.

    Test cases are neither trained on nor scored: everything is chosen by these numbers.

    Args:
        dataset, split: All cases, and their places in the recipe's split.
        left_out: Name of a data set or scanner; case, spaces and hyphens do not matter.
        model_config, config: The network and how it is trained.
        run_dir: Gets the run's folder, and the maps in maps.npz.
        data_fingerprint: Names the data; a run is not resumed on other data.
        resume: Continue the run in `run_dir`.

    Returns:
        `left_out`, `rules`, `auc` of presence and of the map's peak for lesion against normal
        (None where one is missing), and the summary of the scores.

    Raises:
        DatasetError: No case is left out, or none to train on.
    """
    out = np.array([is_of(case, left_out) for case in dataset.cases])
    if not out.any() or out.all():
        names = {c.dataset for c in dataset.cases} | {c.scanner for c in dataset.cases}
        known = sorted(names - {""})
        raise DatasetError(
            f"--leave-out {left_out}: expected one of several of: {', '.join(known)}"
        )
    kept = {name: [i for i in indices if not out[i]] for name, indices in split.items()}
    scored = sorted(i for name in ("train", "validation") for i in split[name] if out[i])
    examples = examples_of(dataset, kept["train"], config)
    trained = train(
        model_config,
        config,
        examples,
        None,
        run_dir,
        data_fingerprint=f"{data_fingerprint} without {left_out}",
        resume=resume,
    )
    segmenter = segmenter_without_rules(trained, model_config, examples, config.seed)
    rules = choose_postprocessing(
        probability_maps(segmenter, [dataset.cases[i] for i in kept["validation"]])
    )
    maps = probability_maps(segmenter, [dataset.cases[i] for i in scored])
    _keep_maps(maps, run_dir / "maps.npz")
    results = [score_map(m, left_out, rules) for m in maps]
    missed = sum(bool(m.truth.any() and not m.mask(rules).any()) for m in maps)
    return {
        "left_out": left_out,
        "rules": to_dict(rules),
        "lesions": sum(bool(m.truth.any()) for m in maps),
        "lesions_answered_none": missed,
        "auc": {
            "presence": _auc(maps, lambda m: m.prediction.presence),
            "peak": _auc(maps, lambda m: int(m.prediction.p8.max())),
        },
    } | summarise(results)


def is_of(case: Case, name: str) -> bool:
    """Whether a case is of the data set or scanner of that name."""
    return _plain(name) in (_plain(case.dataset), _plain(case.scanner))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _auc(maps: list[Map], value) -> float | None:
    lesion = [bool(m.truth.any()) for m in maps]
    values = [value(m) for m in maps]
    if len(set(lesion)) < 2 or None in values:
        return None
    return float(roc_auc_score(lesion, values))


def _keep_maps(maps: list[Map], path: Path) -> None:
    """The maps at the network's size, to look at rules without running the network again."""
    said = [m.prediction for m in maps]
    np.savez_compressed(
        path,
        ids=np.array([m.case.id for m in maps]),
        squares=np.stack([m.square for m in maps]).astype(np.float16),
        presence=np.array([np.nan if p.presence is None else p.presence for p in said]),
        agreement=np.array([np.nan if p.agreement is None else p.agreement for p in said]),
    )


def write_leave_out(folder: Path, about: dict[str, Any], found: dict[str, Any]) -> None:
    """Add what was found to leave_out.json; what was found of another recipe goes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "leave_out.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    parts = content.get("left_out", {}) if {k: content.get(k) for k in about} == about else {}
    parts[found["left_out"]] = found
    write_whole(path, json.dumps(about | {"left_out": parts}, indent=1) + "\n")
