"""What the command line does: data → training → evaluation → bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet.config import ModelConfig, TrainConfig, to_dict
from unet.data.busi import curated_ids
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.sets import load_datasets, sources_of
from unet.data.splits import SPLITS, split_cases
from unet.errors import UserError
from unet.evaluation import plots
from unet.evaluation.report import evaluate_splits
from unet.evaluation.rules import choose_postprocessing
from unet.evaluation.scores import probability_maps
from unet.files import rows_to_csv
from unet.images.phantom import KINDS, make_phantom, write_dataset
from unet.inference.bundle import (
    WEIGHTS,
    BundleInfo,
    read_info,
    replacing,
    verify,
    write_info,
)
from unet.inference.graph import GRAPH
from unet.inference.postprocessing import quantise
from unet.inference.segmenter import Segmenter
from unet.publishing.card import write_card
from unet.training.examples import examples_of
from unet.training.recipe import command_of, read_train_config, same_recipe

if TYPE_CHECKING:
    from unet.training.loop import Examples, Trained
    from unet.training.processes import Processes

PHANTOM, PHANTOM_CASES = "phantom", 60
ELSEWHERE = "elsewhere"
"""Name in a bundle's results of the test cases of data sets it was not trained on."""


@contextmanager
def data_folders(data: list[str]) -> Iterator[list[Path]]:
    """The folders that `--data` names; for "phantom" a temporary one with generated cases."""
    with tempfile.TemporaryDirectory(prefix="unet-") as temporary:
        yield [
            write_dataset(Path(temporary) / PHANTOM, PHANTOM_CASES)
            if folder == PHANTOM
            else Path(folder)
            for folder in data
        ]


def split_of(dataset: Dataset, config: TrainConfig) -> dict[str, list[int]]:
    """The split that a recipe asks for: for each of `SPLITS` the indices of its cases."""
    return split_cases(
        dataset.cases,
        test=config.test_fraction,
        validation=config.validation_fraction,
        seed=config.split_seed,
    )


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

    Raises:
        UserError: Before anything is trained, where `out` may not be replaced, or `start` holds
            another kind of network; where a process ended before the training did.
    """
    from unet.inference.keras_network import write_bundle
    from unet.training.checkpoint import Checkpoint, kept_epoch
    from unet.training.loop import Examples, train

    check_replaceable(out, run_dir)
    started = {} if start is None else {"start": start_of(start, model_config)}
    with data_folders(data) as folders:
        dataset = load_datasets(folders, model_config.input_size)
        split = split_of(dataset, config)
        ids = {name: [dataset.cases[i].id for i in split[name]] for name in SPLITS}
        if start is not None:
            started["start"]["seen"] = _seen_besides(start, ids)
        print(", ".join(f"{name}: {len(split[name])} cases" for name in SPLITS))
        examples = examples_of(dataset, split["train"], config)
        trained = train(
            model_config,
            config,
            examples,
            Examples(*_arrays(dataset, split["validation"])),
            run_dir,
            data_fingerprint=fingerprint(dataset, split),
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
            + (f" --start weights/{started['start']['name']}" if started else "")
            + (" --backend jax" if among else ""),
            "config": to_dict(config),
            "epochs_run": len(trained.history),
            "best_epoch": kept_epoch(trained.history, config.keep),
            "seconds": round(sum(row["seconds"] for row in trained.history)),
            "fingerprint": fingerprint(dataset, split),
            **started,
        }
        commit = Checkpoint.started_from(run_dir)
        cases = {name: [dataset.cases[i] for i in split[name]] for name in SPLITS}
        with replacing(out) as new:
            parts = learnt_and_chosen(trained, examples, model_config, config, dataset, split)
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
            evaluate_splits(segmenter, cases, new, run_dir / "figures", curated, prints)
            write_bundle_figures(new, segmenter, trained.history, training["best_epoch"])
            keep_what_still_holds(out, new, info)
            write_card(new)
    print(f"wrote {out}")


def seen_by(bundle: Path) -> set[str]:
    """Ids of the cases that a network, or one that it started from, was trained or chosen on."""
    info = read_info(bundle)
    before = info.training.get("start", {}).get("seen", ())
    return {*info.split["train"], *info.split["validation"], *before}


def _seen_besides(start: Path, split: dict[str, list[str]]) -> list[str]:
    """Ids of what the bundle to start from has seen and the new split does not train or choose on.

    Raises:
        UserError: It has seen a test case, or was trained on a validation case.
    """
    seen, info = seen_by(start), read_info(start)
    chosen_on = set(info.split["validation"])
    for name, known in (("test", seen), ("validation", seen - chosen_on)):
        if leaked := known & set(split[name]):
            raise UserError(
                f"--start {start} has learnt from {len(leaked)} of what would be {name} cases: "
                "give the data sets and the split that it was trained with"
            )
    return sorted(seen - {*split["train"], *split["validation"]})


def start_of(start: Path, model_config: ModelConfig) -> dict[str, Any]:
    """Name and weights' hash of the bundle that a network starts from; UserError if of another."""
    info = verify(start)
    if info.model.guided and not model_config.guided:
        raise UserError(f"--start {start} takes hints: start --model guided-unet from it")
    # What shapes no weights may differ.
    free = {"name", "input_size", "flip_averaging", "dropout", "bottleneck_dropout", "guided"}
    there, asked = to_dict(info.model), to_dict(model_config)
    if any(there[name] != asked[name] for name in asked.keys() - free):
        raise UserError(
            f"--start {start} holds a network of another kind ({there}) than the one to be trained "
            f"({asked}): give its --model"
        )
    return {"name": info.model.name, "sha256": info.sha256[WEIGHTS]}


def learnt_and_chosen(
    trained: Trained,
    examples: Examples,
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: Dataset,
    split: dict[str, list[int]],
) -> dict[str, Any]:
    """What a trained network is shipped with: learnt on train, chosen on validation."""
    from unet.training.learnt import choose_confidence, learn_familiarity, segmenter_without_rules

    segmenter = segmenter_without_rules(trained, model_config, examples, config.seed)
    maps = probability_maps(segmenter, [dataset.cases[i] for i in split["validation"]])
    rules = choose_postprocessing(maps)
    train, validation = (dataset.images[split[name]] for name in ("train", "validation"))
    return {
        "postprocessing": rules,
        "presence": segmenter.presence,
        "familiarity": learn_familiarity(
            trained.network, model_config, train, validation, config.seed
        ),
        "confidence": choose_confidence(maps, rules),
    }


def write_bundle_figures(
    folder: Path, segmenter: Segmenter, history: list[dict], kept_epoch: int
) -> None:
    """The figures a bundle carries that need neither data set nor evaluation."""
    (folder / "history.csv").write_text(rows_to_csv(history))
    plots.learning_curves(history, folder / "plots" / "learning_curves.png", kept_epoch)
    examples = []
    for kind in KINDS:
        for seed in (1, 2):
            phantom = make_phantom(seed, kind)
            p8 = quantise(segmenter.predict(phantom.image))
            mask = segmenter.segment(phantom.image)
            examples.append(
                {
                    "image": phantom.image,
                    "truth": phantom.mask,
                    "mask": mask,
                    "p8": p8,
                    "caption": f"phantom, {kind}",
                }
            )
    plots.predictions(examples, "Generated phantoms", folder / "plots" / "phantoms.png")


def keep_what_still_holds(old: Path, new: Path, info: BundleInfo) -> None:
    """Copy what was scored of the same recipe, and what was measured of the same weights."""
    for what in ("cross_validation", "leave_out"):
        path = old / f"{what}.json"
        if not path.exists():
            continue
        if same_recipe(json.loads(path.read_text()), info):
            for kept in old.glob(f"{what}.*"):
                shutil.copy(kept, new / kept.name)
        else:
            print(f"{path} is of another recipe and is left out")
    before = read_info(old) if (old / "unet.json").exists() else None
    same_weights = before is not None and before.sha256[WEIGHTS] == info.sha256[WEIGHTS]
    for what in ("ablation", "clicks"):
        path = old / f"{what}.json"
        if not path.exists():
            continue
        if same_weights:
            for kept in (path, *old.glob(f"plots/{what}_*.png")):
                shutil.copy(kept, new / kept.relative_to(old))
        else:
            print(f"{path} is of other weights and is left out; train.py {what} makes it anew")


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
) -> None:
    """Cross-validate a recipe; writes cross_validation.json and .csv, and no bundle.

    Args:
        folds: How many parts the cases are dealt into.
        out: Where the results go: the bundle of the network trained with the same recipe, or a
            folder without a bundle.
        data, recipe, model_config, config, run_dir, resume: As in `fit`.
        ray: Address of a Ray cluster to train all folds on; one after the other here if None.

    Raises:
        DatasetError: `config.keep` is "best", or `out` holds a network of another recipe.
    """
    from unet.training import cross_validation

    if config.keep != "last":
        raise DatasetError(
            "cross-validation has no validation cases to choose an epoch on: add --keep last"
        )
    with data_folders(data) as folders:
        dataset = load_datasets(folders, model_config.input_size)
        names = [source["name"] for source in sources_of(dataset.cases)]
        about = {
            "data": " + ".join(names),
            "model": to_dict(model_config),
            "config": to_dict(config),
            "command": f"{command_of(names, recipe, model_config, config)} --folds {folds}",
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
        )
    cross_validation.write_cross_validation(out, about | summary, rows)
    if (out / "metrics.json").exists():
        write_card(out)
    print(json.dumps(summary["final"], indent=1))
    print(f"wrote {out}/cross_validation.json and cross_validation.csv")


def check_results_fit(out: Path, about: dict[str, Any]) -> None:
    """Raise DatasetError where `out` holds a network of another recipe than results are of."""
    if (out / "unet.json").exists() and not same_recipe(about, read_info(out)):
        raise DatasetError(
            f"{out} holds a network that was trained with other settings or on other data. Give "
            "--out another folder for the results."
        )


def check_replaceable(out: Path, run_dir: Path) -> None:
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


def choose_rules(weights: Path, data: list[str], figures: Path) -> None:
    """Choose a bundle's rules anew on its validation cases and those of other data sets.

    The weights stay as they are. Then the bundle is evaluated, its files are written anew.

    Args:
        weights: The bundle.
        data: Folders of data sets: the one it was trained on, and others.
        figures: Where figures that show the data's images go.

    Raises:
        DatasetError: The cases that the bundle was trained from are not there.
    """
    from unet.training.learnt import choose_confidence

    segmenter, info = Segmenter.load(weights), read_info(weights)
    with data_folders(data) as folders:
        dataset = load_datasets(folders, info.model.input_size)
        own, others = _own_and_others(dataset, info, data, weights)
        maps = probability_maps(segmenter, own["validation"] + others["validation"])
    rules = choose_postprocessing(maps)
    print(f"rules: {to_dict(rules)}, before: {to_dict(info.postprocessing)}")
    chosen_on = " + ".join(dict.fromkeys(m.case.dataset for m in maps))
    changed = replace(
        info,
        postprocessing=rules,
        confidence=choose_confidence(maps, rules),
        training=info.training | {"rules_chosen_on": chosen_on},
    )
    with replacing(weights) as new:
        # What other rules gave does not stay.
        made_by_rules = ("metrics.json", "cases.csv", "calibration_*", "operating_*", "threshold_*")
        shutil.copytree(
            weights, new, ignore=shutil.ignore_patterns(*made_by_rules), dirs_exist_ok=True
        )
        write_info(new, changed)
        evaluate(new, data, "all", None, figures)
    if rules != info.postprocessing:
        for path in (weights / "ablation.json", weights / "clicks.json"):
            if path.exists():
                print(f"{path} was measured with the rules before; train.py {path.stem} does again")


def export(weights: Path) -> None:
    """Make a bundle's ONNX graph anew, of its Keras network."""
    from unet.inference.keras_network import load_network, write_graph

    info = read_info(weights)
    without = {name: value for name, value in info.sha256.items() if name != GRAPH}
    with replacing(weights) as new:
        shutil.copytree(weights, new, ignore=shutil.ignore_patterns(GRAPH), dirs_exist_ok=True)
        write_info(new, replace(info, sha256=without))
        info = verify(new)  # the graph may be lost or damaged, the rest not
        write_graph(new, load_network(new, info), info)
    print(f"wrote {weights / GRAPH}")


def _own_and_others(
    dataset: Dataset, info: BundleInfo, data: list[str], weights: Path
) -> tuple[dict[str, list[Case]], dict[str, list[Case]]]:
    """By split, the cases that a bundle was trained from, and those of other data sets."""
    known = {case_id for ids in info.split.values() for case_id in ids}
    own = bundle_cases([case for case in dataset.cases if case.id in known], info.split)
    if own is None:
        raise DatasetError(
            f"{', '.join(data)} does not hold the cases that {weights} was trained from. To "
            "evaluate on other data, give --split all and --out with a folder for the results."
        )
    split = split_of(dataset, read_train_config(info.training["config"]))
    # More images of a data set that it knows may show its patients, and others may be copies.
    sets = {case.dataset for cases in own.values() for case in cases}
    groups = {case.group for cases in own.values() for case in cases}
    others: dict[str, list[Case]] = {
        name: [
            case
            for case in (dataset.cases[i] for i in split[name])
            if case.dataset not in sets and case.group not in groups
        ]
        for name in SPLITS
    }
    if left := len(dataset.cases) - len(known) - sum(map(len, others.values())):
        print(
            f"left out: {left} images that {weights} does not know, of data sets or groups that it "
            "does"
        )
    return own, others


def evaluate(weights: Path, data: list[str], split: str, out: Path | None, figures: Path) -> None:
    """Evaluate a bundle and print the summary.

    On the data it was trained from, the bundle's own split is used and its files are written
    anew; the test cases of data sets that are given besides are scored as "elsewhere", with its
    own. On other data alone `split` must be "all", and the results go to `out`.

    Args:
        weights: The bundle.
        data: Folders of data sets, or "phantom".
        split: "test", "validation", "train" or "all".
        out: Where results go; the bundle itself if None.
        figures: Where figures that show the data's images go.

    Raises:
        DatasetError: The data is not what the bundle was trained from, and `split` or `out` does
            not allow for it.
    """
    segmenter, info = Segmenter.load(weights), read_info(weights)
    with data_folders(data) as folders:
        dataset = load_datasets(folders, info.model.input_size)
        try:
            cases, others = _own_and_others(dataset, info, data, weights)
        except DatasetError:
            if split != "all" or out is None:
                raise
            cases = {"all": dataset.cases}
        else:
            if others["test"]:
                cases[ELSEWHERE] = others["test"]
            if split != "all":
                if split not in cases:
                    raise UserError(
                        f"{weights} has no {split} split, only {', '.join(cases)}. Give --split all"
                    )
                beside = [ELSEWHERE] if split == "test" and ELSEWHERE in cases else []
                cases = {name: cases[name] for name in (split, *beside)}
        target = out or weights
        curated = set().union(*(curated_ids(folder) for folder in folders))
        place = {case.id: i for i, case in enumerate(dataset.cases)}
        prints = {
            name: fingerprint_of(dataset, [place[case.id] for case in own])
            for name, own in cases.items()
        }
        metrics = evaluate_splits(segmenter, cases, target, figures, curated, prints)
        if target == weights and "left_out" not in info.training:  # which is not to be handed on
            write_card(weights)
    for name in cases:
        print(json.dumps({name: metrics["splits"][name]["final"]}, indent=1))


def fingerprint(dataset: Dataset, split: dict[str, list[int]]) -> str:
    """A hash of the cases' pixels and of where the split puts them."""
    digest = hashlib.sha256()
    for name in split:
        digest.update(f"{name} {[dataset.cases[i].id for i in split[name]]}".encode())
    digest.update(dataset.images.tobytes())
    digest.update(dataset.masks.tobytes())
    return digest.hexdigest()


def fingerprint_of(dataset: Dataset, indices: list[int]) -> str:
    """A hash of some cases' ids and pixels, whatever others there are."""
    digest = hashlib.sha256(json.dumps([dataset.cases[i].id for i in indices]).encode())
    digest.update(dataset.images[indices].tobytes())
    digest.update(dataset.masks[indices].tobytes())
    return digest.hexdigest()


def _arrays(dataset: Dataset, indices: list[int]):
    return dataset.images[indices], dataset.masks[indices]


def bundle_cases(cases: list[Case], split: dict[str, list[str]]) -> dict[str, list[Case]] | None:
    """The cases of each split of a bundle, or None if these are not its cases."""
    by_id = {case.id: case for case in cases}
    if set(by_id) != {case_id for ids in split.values() for case_id in ids}:
        return None
    return {name: [by_id[case_id] for case_id in ids] for name, ids in split.items()}
