"""Fit a network: data → training → calibration → evaluation → bundle."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from unet.config import Recipe
from unet.core.mask import quantise
from unet.data.busi import curated_ids
from unet.data.loading import data_folders, load_datasets, sources_of
from unet.data.phantom import KINDS, make_phantom
from unet.data.splits import SPLITS
from unet.evaluation import plots
from unet.evaluation.report import evaluate_splits, results_text
from unet.experiments.artifacts import (
    carry_over_results,
    check_output_directory,
    refuse_other_network,
)
from unet.experiments.experiment import Experiment, SerialExecutor, run
from unet.experiments.mining import read_candidates
from unet.experiments.recipes import command_of
from unet.experiments.run_store import RunStore, data_prints
from unet.experiments.splitters import holdout
from unet.inference.bundle import atomic_directory, read_info
from unet.inference.segmenter import Segmenter
from unet.provenance import check_commit, git_commit
from unet.training.checkpoint import Checkpoint


def fit(
    data: list[str],
    name: str,
    recipe: Recipe,
    *,
    out: Path,
    run_dir: Path,
    init_from: Path | None = None,
    resume: bool = False,
    executor: SerialExecutor = SerialExecutor(),
    candidates: Path | None = None,
    replace: bool = False,
    allow_dirty: bool = True,
) -> None:
    """Train a network, calibrate it, write its bundle and evaluate it.

    Args:
        data: Folders of data sets, or "phantom".
        name: The recipe's, in `RECIPES`.
        recipe: The network, how it is trained and how it answers.
        out: The bundle's folder; replaced when the run is finished.
        run_dir: Checkpoints, logs and figures that show the data set's images.
        init_from: A bundle whose weights the network starts from; random or published ones if None.
        resume: Continue the run in `run_dir`.
        executor: Runs the training. Of several JAX processes, 0 has its machine write the bundle;
            the others' leave it at the training.
        candidates: What `unet.experiments.mining.mine_candidates` wrote; for a recipe with windows.
        replace: Whether another network's bundle at `out` may be replaced.
        allow_dirty: Whether code that no commit of the current branch holds may train; the command
            line asks for it to be said.

    Raises:
        UserError: Before anything is trained, where `out` may not be replaced, the code is not
            committed, or `init_from` holds another kind of network; where a process ended before
            the training did.
    """
    check_output_directory(out, run_dir)
    if not allow_dirty:
        check_commit(git_commit())
        check_commit(Checkpoint.started_from(run_dir) if resume else None)
    with data_folders(data) as folders:
        dataset = load_datasets(folders, recipe.model.input_size)
        names = [source["name"] for source in sources_of(dataset.cases)]
        command = command_of(names, name, recipe)
        command += " --candidates FILE" * bool(candidates)
        command += f" --init-from weights/{read_info(init_from).model.name}" if init_from else ""
        experiment = Experiment(
            "fit",
            {name: recipe},
            holdout(recipe.train),
            alone=True,
            init_from=init_from,
            facts={"command": command + " --backend jax" * bool(executor.among)},
            candidates=read_candidates(candidates),
        )
        (job,) = experiment.jobs(dataset)
        print(", ".join(f"{part}: {len(ids)} cases" for part, ids in job.split.items()))
        refuse_other_network(out, job, dataset, replace)
        store = RunStore(run_dir, resume=resume)
        if run(experiment, dataset, store, executor) is None:
            print("trained; the machine of process 0 writes the bundle")
            return
        by_id = {case.id: case for case in dataset.cases}
        cases = {part: [by_id[i] for i in job.split[part]] for part in SPLITS}
        curated = set().union(*(curated_ids(folder) for folder in folders))
        prints = data_prints(dataset, job.split)
        with atomic_directory(out) as new:
            shutil.copytree(store.bundle(job), new, dirs_exist_ok=True)
            segmenter = Segmenter.load(new)  # what is evaluated is what was written
            metrics = evaluate_splits(segmenter, cases, new, run_dir / "figures", curated, prints)
            info = read_info(new)
            with open(new / "history.csv", newline="") as file:
                history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
            best = info.training["best_epoch"]
            plots.learning_curves(history, new / "plots" / "learning_curves.png", best)
            draw_phantoms(new, segmenter)
            carry_over_results(out, new, info)
    print(results_text(metrics["splits"]))
    print(f"bundle and model card: {out}")
    print(f"curves: {out / 'plots'}; pictures of cases: {run_dir / 'figures'}")


def draw_phantoms(folder: Path, segmenter: Segmenter) -> None:
    """The bundle's figure of what the network makes of generated phantoms."""
    examples = []
    for kind in KINDS:
        for seed in (1, 2):
            phantom = make_phantom(seed, kind)
            examples.append(
                {
                    "image": phantom.image,
                    "truth": phantom.mask,
                    "mask": segmenter.segment(phantom.image),
                    "probability_u8": quantise(segmenter.predict(phantom.image)),
                    "caption": f"phantom, {kind}",
                }
            )
    plots.predictions(examples, "Generated phantoms", folder / "plots" / "phantoms.png")
