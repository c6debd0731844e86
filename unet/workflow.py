"""What the command line does: data → training → evaluation → bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unet.bundle import read_info, replacing, write_bundle
from unet.config import RECIPES, ModelConfig, TrainConfig, to_dict
from unet.dataset import Case, Dataset, DatasetError, curated_ids, load_dataset
from unet.evaluation import choose_postprocessing, probability_maps
from unet.inference import Segmenter
from unet.phantom import write_dataset
from unet.report import evaluate_splits, write_bundle_figures, write_card
from unet.splits import SPLITS, split_cases

PHANTOM_CASES = 60


@contextmanager
def data_folder(data: str) -> Iterator[Path]:
    """The folder `--data` names; for "phantom" a temporary one with generated cases."""
    if data != "phantom":
        yield Path(data)
        return
    with tempfile.TemporaryDirectory(prefix="phantom-") as folder:
        yield write_dataset(folder, PHANTOM_CASES)


def fit(
    data: str,
    recipe: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    out: Path,
    run_dir: Path,
    resume: bool = False,
    tensorboard: bool = False,
) -> None:
    """Train a network, choose its post-processing, write its bundle and evaluate it.

    Args:
        data: The BUSI folder, or "phantom".
        recipe: Name of the recipe that the settings were taken from, one of `RECIPES`.
        model_config, config: The network and how it is trained.
        out: The bundle's folder; replaced when the run is finished.
        run_dir: Checkpoints, logs and figures that show the data set's images.
        resume: Continue the run in `run_dir`.
        tensorboard: Write TensorBoard logs too.
    """
    from unet.calibration import choose_confidence, learn_familiarity, segmenter_without_rules
    from unet.checkpoint import Checkpoint, kept_epoch
    from unet.training import train

    with data_folder(data) as folder:
        dataset = load_dataset(folder, model_config.input_size)
        split = split_cases(
            dataset.cases,
            test=config.test_fraction,
            validation=config.validation_fraction,
            seed=config.split_seed,
        )
        print(", ".join(f"{name}: {len(split[name])} cases" for name in SPLITS))
        network, history = train(
            model_config,
            config,
            _arrays(dataset, split["train"]),
            _arrays(dataset, split["validation"]),
            run_dir,
            data_fingerprint=_fingerprint(dataset, split),
            resume=resume,
            tensorboard=tensorboard,
        )
        cases = {name: [dataset.cases[i] for i in split[name]] for name in SPLITS}
        segmenter = segmenter_without_rules(
            network, model_config, *_arrays(dataset, split["train"]), config.seed
        )
        maps = probability_maps(segmenter, cases["validation"])
        rules = choose_postprocessing(maps)
        familiarity = learn_familiarity(
            network,
            model_config,
            dataset.images[split["train"]],
            dataset.images[split["validation"]],
            config.seed,
        )
        with replacing(out) as new:
            info = write_bundle(
                new,
                network,
                model=model_config,
                postprocessing=rules,
                training={
                    "data": "phantom" if data == "phantom" else "BUSI",
                    "command": _command(data, recipe, model_config, config),
                    "config": to_dict(config),
                    "epochs_run": len(history),
                    "best_epoch": kept_epoch(history, config.keep),
                    "seconds": round(sum(row["seconds"] for row in history)),
                },
                familiarity=familiarity,
                presence=segmenter.presence,
                confidence=choose_confidence(maps, rules),
                split={name: [case.id for case in cases[name]] for name in SPLITS},
                commit=Checkpoint.started_from(run_dir),
            )
            segmenter = Segmenter.load(new)  # what is evaluated is what was written
            evaluate_splits(segmenter, cases, new, run_dir / "figures", curated_ids(folder))
            write_bundle_figures(new, segmenter, history, info.training["best_epoch"])
            write_card(new)
    print(f"wrote {out}")


def cross_validate(
    data: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    folds: int,
    out: Path,
    run_dir: Path,
    resume: bool = False,
) -> None:
    """Cross-validate a recipe; writes cross_validation.json and .csv, and no bundle.

    Args:
        folds: How many parts the cases are dealt into.
        out: Where the results go: the bundle of the network trained with the same recipe.
        data, model_config, config, run_dir, resume: As in `fit`.
    """
    from unet import cross_validation

    with data_folder(data) as folder:
        dataset = load_dataset(folder, model_config.input_size)
        summary, rows = cross_validation.cross_validate(
            dataset,
            model_config,
            config,
            folds=folds,
            run_dir=run_dir,
            fingerprint=_fingerprint(dataset, {"all": list(range(len(dataset.cases)))}),
            resume=resume,
        )
    cross_validation.write_cross_validation(out, summary, rows)
    if (out / "metrics.json").exists():
        write_card(out)
    print(json.dumps(summary["final"], indent=1))
    print(f"wrote {out}/cross_validation.json and cross_validation.csv")


def evaluate(weights: Path, data: str, split: str, out: Path | None, figures: Path) -> None:
    """Evaluate a bundle and print the summary.

    On the data it was trained from, the bundle's own split is used and its files are written
    anew. On other data `split` must be "all", and the results go to `out`.

    Args:
        weights: The bundle.
        data: A folder in BUSI's layout, or "phantom".
        split: "test", "validation", "train" or "all".
        out: Where results go; the bundle itself if None.
        figures: Where figures that show the data's images go.

    Raises:
        DatasetError: The data is not what the bundle was trained from, and `split` or `out` does
            not allow for it.
    """
    segmenter, info = Segmenter.load(weights), read_info(weights)
    with data_folder(data) as folder:
        dataset = load_dataset(folder, info.model.input_size)
        cases = _bundle_cases(dataset.cases, info.split)
        if cases is None:
            if split != "all" or out is None:
                raise DatasetError(
                    f"{data} does not hold the cases that {weights} was trained from. To evaluate "
                    "on other data, give --split all and --out with a folder for the results."
                )
            cases = {"all": dataset.cases}
        elif split != "all":
            cases = {split: cases[split]}
        target = out or weights
        metrics = evaluate_splits(segmenter, cases, target, figures, curated_ids(folder))
        if target == weights:
            write_card(weights)
    for name in cases:
        print(json.dumps({name: metrics["splits"][name]["final"]}, indent=1))
    print(f"wrote {target}/metrics.json and cases.csv; figures of cases in {figures}")


def _command(data: str, recipe: str, model_config: ModelConfig, config: TrainConfig) -> str:
    """The command that trains this network anew, with every setting that is not the recipe's."""
    model, defaults = RECIPES[recipe]
    words = ["python", "train.py", "fit", "--data", "phantom" if data == "phantom" else "DIR"]
    words += ["--model", recipe]
    if model_config.name != recipe:
        words += ["--out", f"weights/{model_config.name}"]
    if model_config.input_size != model.input_size:
        words += ["--input-size", str(model_config.input_size)]
    for field in dataclasses.fields(TrainConfig):
        value = getattr(config, field.name)
        if value != getattr(defaults, field.name):
            option = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", str(value)]
    return shlex.join(words)


def _fingerprint(dataset: Dataset, split: dict[str, list[int]]) -> str:
    """A hash of the cases' pixels and of where the split puts them."""
    digest = hashlib.sha256()
    for name in split:
        digest.update(f"{name} {[dataset.cases[i].id for i in split[name]]}".encode())
    digest.update(dataset.images.tobytes())
    digest.update(dataset.masks.tobytes())
    return digest.hexdigest()


def _arrays(dataset: Dataset, indices: list[int]):
    return dataset.images[indices], dataset.masks[indices]


def _bundle_cases(cases: list[Case], split: dict[str, list[str]]) -> dict[str, list[Case]] | None:
    """The cases of each split of a bundle, or None if these are not its cases."""
    by_id = {case.id: case for case in cases}
    if set(by_id) != {case_id for ids in split.values() for case_id in ids}:
        return None
    return {name: [by_id[case_id] for case_id in split[name]] for name in SPLITS}
