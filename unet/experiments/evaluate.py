"""Evaluate, calibrate and export a trained bundle."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unet.config import TrainConfig, from_dict, to_dict
from unet.data.busi import curated_ids
from unet.data.cases import Case, Dataset, DatasetError
from unet.data.loading import data_folders, fingerprint_of, load_datasets, make_split
from unet.errors import UserError
from unet.evaluation.case_scores import predict_cases
from unet.evaluation.report import evaluate_splits, results_text
from unet.evaluation.threshold_selection import select_postprocessing
from unet.experiments.artifacts import VERBS
from unet.experiments.splitters import EXTERNAL
from unet.inference.bundle import (
    KERAS_FILES,
    WEIGHTS,
    BundleInfo,
    atomic_directory,
    read_info,
    verify,
    write_info,
)
from unet.inference.onnx_model import GRAPH
from unet.inference.segmenter import Segmenter
from unet.training.initial_weights import CALIBRATION, seen_case_ids


def evaluate(weights: Path, data: list[str], split: str, out: Path | None, figures: Path) -> None:
    """Evaluate a bundle and print the summary.

    The bundle says by id which case lies in which split, whatever part of its data is at hand.
    The test cases of other data sets are scored as "external" with its own test cases. On other
    data sets alone `split` must be "all", and the results, of every case that the network has not
    seen, go to `out`.

    Args:
        weights: The bundle.
        data: Folders of data sets, or "phantom".
        split: "test", "validation", "train" or "all".
        out: Where results go; the bundle itself if None.
        figures: Where figures that show the data's images go.

    Raises:
        UserError: The data holds no case of that split, or none that the network has not seen.
    """
    segmenter, info = Segmenter.load(weights), read_info(weights)
    with data_folders(data) as folders:
        dataset = load_datasets(folders, info.model.input_size)
        own, unseen = split_known_and_unseen(dataset, info)
        cases = _cases_to_score(own, unseen, dataset, info, split, out, weights, data)
        target = out or weights
        curated = set().union(*(curated_ids(folder) for folder in folders))
        place = {case.id: i for i, case in enumerate(dataset.cases)}
        prints = {
            name: fingerprint_of(dataset, [place[case.id] for case in part])
            for name, part in cases.items()
        }
        metrics = evaluate_splits(segmenter, cases, target, figures, curated, prints)
    print(results_text({name: metrics["splits"][name] for name in cases}))


def _cases_to_score(
    own: dict[str, list[Case]],
    unseen: list[Case],
    dataset: Dataset,
    info: BundleInfo,
    split: str,
    out: Path | None,
    weights: Path,
    data: list[str],
) -> dict[str, list[Case]]:
    """The cases of each split to score; UserError where there are none."""
    if split != "all" and split not in info.split:
        names = ", ".join(info.split)
        raise UserError(f"{weights} has no {split} split, only {names}. Give --split all")
    at_hand = {name: part for name, part in own.items() if part}
    if not at_hand:
        if split != "all" or out is None:
            raise UserError(
                f"{', '.join(data)} does not hold the cases that {weights} was trained from. To "
                "score it on other data sets, give --split all and --out with a folder for the "
                "results."
            )
        if not unseen:
            raise UserError(f"{weights} has seen every case of {', '.join(data)}")
        return {"all": unseen}
    if split != "all" and split not in at_hand:
        counts = ", ".join(f"{len(part)} {name}" for name, part in at_hand.items())
        raise UserError(f"{', '.join(data)} holds no {split} case of {weights}, only {counts}")
    cases = at_hand if split == "all" else {split: at_hand[split]}
    # A network of a domain left out has a part of that name of its own.
    external = [] if EXTERNAL in info.split else _in_split(dataset, info, "test", unseen)
    return cases | ({EXTERNAL: external} if external and split in ("all", "test") else {})


def calibrate(
    weights: Path, data: list[str], figures: Path, scales: Sequence[float] | None = None
) -> None:
    """Choose a bundle's rules anew on its validation cases and those of other data sets.

    The weights stay as they are. Then the bundle is evaluated, its files are written anew.

    Args:
        weights: The bundle.
        data: Folders of data sets: the one it was trained on, and others.
        figures: Where figures that show the data's images go.
        scales: Of `InferenceConfig` from now on; as before if None.

    Raises:
        DatasetError: The cases that the bundle was trained from are not there.
        UserError: `scales` are none that may be averaged.
    """
    from unet.experiments.fit import draw_phantoms
    from unet.training.calibration import fit_confidence_thresholds

    info = verify(weights)
    scales = info.inference.scales if scales is None else tuple(scales)
    try:
        inference = replace(info.inference, scales=scales)
    except ValueError as error:
        raise UserError(error) from None
    # What other rules gave does not stay, nor what other views gave.
    old = ["metrics.json", "cases.csv", "calibration_*", "operating_*", "threshold_*"]
    if inference != info.inference:
        for name in ("cross_validation", "leave_out"):
            old.append(f"{name}.*")
            if (path := weights / f"{name}.json").exists():
                print(f"{path} is of other views and is left out")
    with atomic_directory(weights) as new:
        shutil.copytree(weights, new, ignore=shutil.ignore_patterns(*old), dirs_exist_ok=True)
        write_info(new, replace(info, inference=inference))
        with data_folders(data) as folders:
            dataset = load_datasets(folders, info.model.input_size)
            # What the rules were chosen on before may be chosen on again.
            earlier = replace(info, training=info.training | {CALIBRATION: []})
            own, unseen = split_known_and_unseen(dataset, earlier)
            if missing := {*info.split["validation"]} - {case.id for case in own["validation"]}:
                raise DatasetError(
                    f"{', '.join(data)} lacks {len(missing)} of the validation cases of {weights}, "
                    f"such as {min(missing)}. Give all of its data sets"
                )
            others = _in_split(dataset, info, "validation", unseen)
            maps = predict_cases(Segmenter.load(new), own["validation"] + others)
        rules = select_postprocessing(maps)
        print(f"rules: {to_dict(rules)}, before: {to_dict(info.postprocessing)}")
        chosen_on = list(dict.fromkeys(m.case.dataset for m in maps))
        changed = replace(
            info,
            inference=inference,
            postprocessing=rules,
            confidence=fit_confidence_thresholds(maps, rules),
            training=info.training
            | {"rules_chosen_on": chosen_on, CALIBRATION: [case.id for case in others]},
        )
        write_info(new, changed)
        draw_phantoms(new, Segmenter.load(new))
        evaluate(new, data, "all", None, figures)
    if rules != info.postprocessing or inference != info.inference:
        clicks = weights.absolute().parent.glob("*/clicks.json")  # of a network beside as well
        stale = [path for path in clicks if info.sha256[WEIGHTS] in path.read_text()]
        stale += [path for path in [weights / "ablation.json"] if path.exists()]
        for path in stale:
            verb = VERBS[path.stem]
            print(f"{path} was measured before this change; train.py {verb} does again")


def export(weights: Path) -> None:
    """Make a bundle's ONNX graph anew, of its Keras network."""
    from unet.inference.keras_export import load_network, write_graph

    info = read_info(weights)
    with atomic_directory(weights) as new:
        shutil.copytree(weights, new, ignore=shutil.ignore_patterns(GRAPH), dirs_exist_ok=True)
        verify(new, KERAS_FILES)  # the graph may be lost or damaged, the rest not
        write_graph(new, load_network(new, info), info)
    print(f"wrote {weights / GRAPH}")


def split_known_and_unseen(
    dataset: Dataset, info: BundleInfo
) -> tuple[dict[str, list[Case]], list[Case]]:
    """Sort the cases at hand by what a bundle says of them.

    Returns:
        The cases of each of the bundle's splits, and the cases of other data sets that neither the
        network nor whatever it started from has seen, that nothing was chosen on, and that show
        no patient or picture of those. More images of a data set that it was trained on may show
        its patients: they are in neither, and their number is printed.
    """
    by_id = {case.id: case for case in dataset.cases}
    own = {name: [by_id[i] for i in ids if i in by_id] for name, ids in info.split.items()}
    split = {case_id for ids in info.split.values() for case_id in ids}
    begun = set(info.training.get("start", {}).get("seen", ()))
    seen = {*split, *seen_case_ids(info)}
    groups = {case.group for case in dataset.cases if case.id in seen}
    sets = {source["name"] for source in info.training.get("sources", ())}
    sets |= {case.dataset for case in dataset.cases if case.id in split | begun}
    unseen = [
        case for case in dataset.cases if case.dataset not in sets and case.group not in groups
    ]
    if left := len(dataset.cases) - sum(map(len, own.values())) - len(unseen):
        print(
            f"not scored: {left} images that are in no split of the bundle, but belong to a data "
            "set or group that it has seen"
        )
    return own, unseen


def _in_split(dataset: Dataset, info: BundleInfo, name: str, among: list[Case]) -> list[Case]:
    """Those of some cases that the bundle's settings put into a split."""
    config = from_dict(TrainConfig, info.training["config"])
    indices = make_split(dataset, config, allow_empty=True)[name]
    chosen = {dataset.cases[i].id for i in indices}
    return [case for case in among if case.id in chosen]
