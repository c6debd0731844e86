"""Check the output directory and carry over results that are still valid."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from unet.config import Recipe, to_dict
from unet.data.cases import Dataset, DatasetError
from unet.errors import UserError
from unet.experiments.recipes import same_recipe
from unet.inference.bundle import WEIGHTS, BundleInfo, read_info
from unet.results import Results

if TYPE_CHECKING:
    from unet.experiments.run_store import Job

VERBS = {"ablation": "ablate", "clicks": "evaluate-interactive"}
"""The verb that makes each file of results."""


def check_output_directory(out: Path, run_dir: Path) -> None:
    """Raise UserError where a bundle may not take the place of what is at `out`."""
    if (
        out.exists()
        and not (out / "unet.json").is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise UserError(
            f"{out} is neither empty nor a bundle of this project, and would be replaced. Give "
            "--out a new folder, such as weights/NAME."
        )
    if out.resolve() == run_dir.resolve() or out.resolve() in run_dir.resolve().parents:
        raise UserError(
            f"--run-dir {run_dir} lies in --out {out}, which is replaced when the run is finished. "
            "Choose another folder for one of them."
        )


def refuse_other_network(out: Path, job: Job, dataset: Dataset, replace: bool) -> None:
    """Raise UserError where another network's bundle at `out` would be replaced unasked.

    Args:
        out: The bundle's folder.
        job: The training that would take its place.
        dataset: Its data.
        replace: Whether the person asked for it.
    """
    if replace or not (out / "unet.json").is_file():
        return
    info = read_info(out)
    if not job.made(info, dataset):
        raise UserError(
            f"{out} holds another network: {info.model.name}, trained on "
            f"{' + '.join(info.datasets)}. Give --replace to replace it and its results, or --out "
            "another folder."
        )


def check_results_fit(out: Path, datasets: list[str], recipe: Recipe) -> None:
    """Raise DatasetError where `out` holds a network of another recipe than results are of."""
    results = Results("", "", datasets, {"": to_dict(recipe)}, [])
    if (out / "unet.json").exists() and not same_recipe(results, read_info(out)):
        raise DatasetError(
            f"{out} holds a network that was trained with other settings or on other data. Give "
            "--out another folder for the results."
        )


def carry_over_results(old: Path, new: Path, info: BundleInfo) -> None:
    """Copy what was scored of the same recipe, and what was measured of the same network."""
    for what in ("cross_validation", "leave_out"):
        path = old / f"{what}.json"
        if (found := Results.read(path)) is None:
            continue
        if same_recipe(found, info):
            for kept in old.glob(f"{what}.*"):
                shutil.copy(kept, new / kept.name)
        else:
            print(f"{path} is of another recipe and is left out")
    before = read_info(old) if (old / "unet.json").exists() else None
    same = before is not None and (
        (before.sha256[WEIGHTS], before.model, before.inference, before.postprocessing)
        == (info.sha256[WEIGHTS], info.model, info.inference, info.postprocessing)
    )
    for what in ("ablation", "clicks"):
        path = old / f"{what}.json"
        if not path.exists():
            continue
        if same:
            for kept in (path, *old.glob(f"plots/{what}_*.png")):
                shutil.copy(kept, new / kept.relative_to(old))
        else:
            print(
                f"{path} is of other weights, views or rules and is left out; train.py "
                f"{VERBS[what]} makes it again"
            )
