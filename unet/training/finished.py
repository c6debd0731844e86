"""What is done to a bundle whose training is over: rules chosen anew, its graph, its evaluation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from unet.config import to_dict
from unet.data.busi import curated_ids
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.sets import load_datasets
from unet.data.splits import SPLITS
from unet.errors import UserError
from unet.evaluation.report import evaluate_splits
from unet.evaluation.rules import choose_postprocessing
from unet.evaluation.scores import probability_maps
from unet.inference.bundle import (
    WEIGHTS,
    BundleInfo,
    read_info,
    replacing,
    verify,
    write_info,
)
from unet.inference.graph import GRAPH
from unet.inference.segmenter import Segmenter
from unet.publishing.card import write_card
from unet.training.given import bundle_cases, data_folders, fingerprint_of, split_of
from unet.training.recipe import read_train_config

ELSEWHERE = "elsewhere"
"""Name in a bundle's results of the test cases of data sets it was not trained on."""


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


def choose_rules(
    weights: Path, data: list[str], figures: Path, smaller_view: float | None = None
) -> None:
    """Choose a bundle's rules anew on its validation cases and those of other data sets.

    The weights stay as they are. Then the bundle is evaluated, its files are written anew.

    Args:
        weights: The bundle.
        data: Folders of data sets: the one it was trained on, and others.
        figures: Where figures that show the data's images go.
        smaller_view: The model's from now on; as before if None.

    Raises:
        DatasetError: The cases that the bundle was trained from are not there.
        UserError: `smaller_view` is none that a model may have.
    """
    from unet.training.learnt import choose_confidence
    from unet.training.workflow import draw_phantoms

    info = verify(weights)
    share = info.model.smaller_view if smaller_view is None else smaller_view
    try:
        model = replace(info.model, smaller_view=share)
    except ValueError as error:
        raise UserError(error) from None
    # What other rules gave does not stay, nor what other views gave.
    old = ["metrics.json", "cases.csv", "calibration_*", "operating_*", "threshold_*"]
    if model != info.model:
        for name in ("cross_validation", "leave_out"):
            old.append(f"{name}.*")
            if (path := weights / f"{name}.json").exists():
                print(f"{path} is of other views and is left out")
    with replacing(weights) as new:
        shutil.copytree(weights, new, ignore=shutil.ignore_patterns(*old), dirs_exist_ok=True)
        write_info(new, replace(info, model=model))
        with data_folders(data) as folders:
            dataset = load_datasets(folders, model.input_size)
            own, others = _own_and_others(dataset, info, data, weights)
            cases = own["validation"] + others["validation"]
            maps = probability_maps(Segmenter.load(new), cases)
        rules = choose_postprocessing(maps)
        print(f"rules: {to_dict(rules)}, before: {to_dict(info.postprocessing)}")
        chosen_on = " + ".join(dict.fromkeys(m.case.dataset for m in maps))
        changed = replace(
            info,
            model=model,
            postprocessing=rules,
            confidence=choose_confidence(maps, rules),
            training=info.training | {"rules_chosen_on": chosen_on},
        )
        write_info(new, changed)
        draw_phantoms(new, Segmenter.load(new))
        evaluate(new, data, "all", None, figures)
    if rules != info.postprocessing or model != info.model:
        clicks = weights.absolute().parent.glob("*/clicks.json")  # of a network beside as well
        stale = [path for path in clicks if info.sha256[WEIGHTS] in path.read_text()]
        stale += [path for path in [weights / "ablation.json"] if path.exists()]
        for path in stale:
            print(f"{path} was measured before this change; train.py {path.stem} does again")


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
