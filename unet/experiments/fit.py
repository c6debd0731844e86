"""Fit a network: data → training → calibration → evaluation → bundle; or cross-validate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.core.mask import quantise
from unet.data.busi import curated_ids
from unet.data.cases import Dataset, DatasetError
from unet.data.loading import (
    arrays,
    data_folders,
    fingerprint,
    fingerprint_of,
    load_datasets,
    make_split,
    sources_of,
)
from unet.data.phantom import KINDS, make_phantom
from unet.data.splits import SPLITS
from unet.evaluation import plots
from unet.evaluation.case_scores import predict_cases
from unet.evaluation.report import evaluate_splits, results_text
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.artifacts import (
    carry_over_results,
    check_output_directory,
    check_results_fit,
    refuse_other_network,
)
from unet.experiments.recipes import command_of
from unet.files import rows_to_csv
from unet.inference.bundle import WEIGHTS, atomic_directory
from unet.inference.segmenter import Segmenter
from unet.provenance import check_commit, git_commit, is_reproducible
from unet.training.initial_weights import describe_start, seen_outside_split
from unet.training.sampling import make_training_set

if TYPE_CHECKING:
    from unet.training.jax_processes import Processes
    from unet.training.trainer import TrainingSet, TrainResult


def fit(
    data: list[str],
    recipe: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    out: Path,
    run_dir: Path,
    start: Path | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    among: Processes | None = None,
    replace: bool = False,
    allow_dirty: bool = True,
) -> None:
    """Train a network, choose its post-processing, write its bundle and evaluate it.

    Args:
        data: Folders of data sets, or "phantom".
        recipe: Name of the recipe that the settings were taken from, one of `RECIPES`.
        model_config, config: The network and how it is trained.
        out: The bundle's folder; replaced when the run is finished.
        run_dir: Checkpoints, logs and figures that show the data set's images.
        start: A bundle whose weights the network starts from; random or published ones if None.
        resume: Continue the run in `run_dir`.
        tensorboard: Write TensorBoard logs too.
        among: Processes that train it on JAX together. Process 0 has its machine write the bundle;
            the others' leave it at the training.
        replace: Whether another network's bundle at `out` may be replaced.
        allow_dirty: Whether code that no commit of the current branch holds may train; the command
            line asks for it to be said.

    Raises:
        UserError: Before anything is trained, where `out` may not be replaced, the code is not
            committed, or `start` holds another kind of network; where a process ended before the
            training did.
    """
    from unet.inference.keras_export import write_bundle
    from unet.training.checkpoint import Checkpoint, kept_epoch
    from unet.training.trainer import TrainingSet, train

    check_output_directory(out, run_dir)
    now, begun = git_commit(), Checkpoint.started_from(run_dir) if resume else None
    if not allow_dirty:
        check_commit(now)
        check_commit(begun)
    started = {} if start is None else {"start": describe_start(start, model_config)}
    with data_folders(data) as folders:
        dataset = load_datasets(folders, model_config.input_size)
        split = make_split(dataset, config)
        ids = {name: [dataset.cases[i].id for i in split[name]] for name in SPLITS}
        if start is not None:
            started["start"]["seen"] = seen_outside_split(start, ids)
        print(", ".join(f"{name}: {len(split[name])} cases" for name in SPLITS))
        facts = {"config": to_dict(config), "fingerprint": fingerprint(dataset, split)}
        begins = started.get("start", {}).get("sha256")
        about = facts | {"model": to_dict(model_config), "start": begins}
        refuse_other_network(out, about, replace)
        examples = make_training_set(dataset, split["train"], config)
        trained = train(
            model_config,
            config,
            examples,
            TrainingSet(*arrays(dataset, split["validation"])),
            run_dir,
            data_fingerprint=facts["fingerprint"],
            start=start and start / WEIGHTS,
            resume=resume,
            tensorboard=tensorboard,
            among=among,
        )
        if trained is None or (among and not among.writes):
            print("trained; the machine of process 0 writes the bundle")
            return
        sources = sources_of(dataset.cases)
        names = [source["name"] for source in sources]
        training = {
            "data": " + ".join(names),
            "sources": sources,
            "rules_chosen_on": " + ".join(names),
            "command": command_of(names, recipe, model_config, config)
            + (f" --init-from weights/{started['start']['name']}" if started else "")
            + (" --backend jax" if among else ""),
            **facts,
            "epochs_run": len(trained.history),
            "best_epoch": kept_epoch(trained.history, config.checkpoint),
            "seconds": round(sum(row["seconds"] for row in trained.history)),
            **started,
        }
        commit = Checkpoint.started_from(run_dir)
        training["reproducible"] = is_reproducible(commit) and is_reproducible(now)
        cases = {name: [dataset.cases[i] for i in split[name]] for name in SPLITS}
        with atomic_directory(out) as new:
            parts = calibrate_network(trained, examples, model_config, config, dataset, split)
            info = write_bundle(
                new,
                trained.network,
                model=model_config,
                training=training,
                split=ids,
                commit=commit,
                **parts,
            )
            segmenter = Segmenter.load(new)  # what is evaluated is what was written
            curated = set().union(*(curated_ids(folder) for folder in folders))
            prints = {name: fingerprint_of(dataset, split[name]) for name in SPLITS}
            metrics = evaluate_splits(segmenter, cases, new, run_dir / "figures", curated, prints)
            write_bundle_figures(new, segmenter, trained.history, training["best_epoch"])
            carry_over_results(out, new, info)
    print(results_text(metrics["splits"]))
    print(f"bundle and model card: {out}")
    print(f"curves: {out / 'plots'}; pictures of cases: {run_dir / 'figures'}")


def calibrate_network(
    trained: TrainResult,
    examples: TrainingSet,
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: Dataset,
    split: dict[str, list[int]],
) -> dict[str, Any]:
    """Calibrate a trained network: classifiers learnt on train, thresholds chosen on validation."""
    from unet.training.calibration import (
        fit_confidence_thresholds,
        fit_ood_detector,
        uncalibrated_segmenter,
    )

    segmenter = uncalibrated_segmenter(trained, model_config, examples, config.seed)
    maps = predict_cases(segmenter, [dataset.cases[i] for i in split["validation"]])
    rules = select_postprocessing(maps)
    train, validation = (dataset.images[split[name]] for name in ("train", "validation"))
    return {
        "postprocessing": rules,
        "presence": segmenter.presence,
        "familiarity": fit_ood_detector(
            trained.network, model_config, train, validation, config.seed
        ),
        "confidence": fit_confidence_thresholds(maps, rules),
    }


def write_bundle_figures(
    folder: Path, segmenter: Segmenter, history: list[dict], kept_epoch: int
) -> None:
    """The figures a bundle carries that need neither data set nor evaluation."""
    (folder / "history.csv").write_text(rows_to_csv(history))
    plots.learning_curves(history, folder / "plots" / "learning_curves.png", kept_epoch)
    draw_phantoms(folder, segmenter)


def draw_phantoms(folder: Path, segmenter: Segmenter) -> None:
    """The bundle's figure of what the network makes of generated phantoms."""
    examples = []
    for kind in KINDS:
        for seed in (1, 2):
            phantom = make_phantom(seed, kind)
            probability_u8 = quantise(segmenter.predict(phantom.image))
            mask = segmenter.segment(phantom.image)
            examples.append(
                {
                    "image": phantom.image,
                    "truth": phantom.mask,
                    "mask": mask,
                    "probability_u8": probability_u8,
                    "caption": f"phantom, {kind}",
                }
            )
    plots.predictions(examples, "Generated phantoms", folder / "plots" / "phantoms.png")


def cross_validate(
    data: list[str],
    recipe: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    folds: int,
    out: Path,
    run_dir: Path,
    resume: bool = False,
    ray: str | None = None,
    among: Processes | None = None,
) -> None:
    """Cross-validate a recipe; writes cross_validation.json and .csv, and no bundle.

    Args:
        folds: How many parts the cases are dealt into.
        out: Where the results go: the bundle of the network trained with the same recipe, or a
            folder without a bundle.
        data, recipe, model_config, config, run_dir, resume: As in `fit`.
        ray: Address of a Ray cluster to train all folds on; one after the other here if None.
        among: Processes of this machine that train each on JAX together; TensorFlow if None.

    Raises:
        DatasetError: `config.checkpoint` is "best", or `out` holds a network of another recipe.
    """
    from unet.experiments import cross_validation

    if config.checkpoint != "last":
        raise DatasetError(
            "cross-validation has no validation cases to choose an epoch on: add --checkpoint last"
        )
    with data_folders(data) as folders:
        dataset = load_datasets(folders, model_config.input_size)
        names = [source["name"] for source in sources_of(dataset.cases)]
        about = {
            "data": " + ".join(names),
            "model": to_dict(model_config),
            "config": to_dict(config),
            "command": f"{command_of(names, recipe, model_config, config)} --folds {folds}"
            + (" --backend jax" if among else ""),
        }
        check_results_fit(out, about)
        summary, rows = cross_validation.cross_validate(
            dataset,
            model_config,
            config,
            folds=folds,
            run_dir=run_dir,
            data_fingerprint=fingerprint(dataset, {"all": list(range(len(dataset.cases)))}),
            resume=resume,
            ray=ray,
            among=among,
        )
    cross_validation.write_cross_validation(out, about | summary, rows)
    print(results_text({"out of fold": summary}))
    print(f"wrote {out}/cross_validation.json and cross_validation.csv")
