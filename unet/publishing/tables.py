"""Tables of results in Markdown, made of what evaluation wrote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unet.results import Results, group_by_dataset


def interval(value: dict[str, float | None] | None) -> str:
    """A value with its interval: "0.701 [0.650–0.748]", "undefined", or "–" if there is none.

    Below zero the ends are parted by a word: "0.010 [-0.020 to 0.040]".
    """
    if value is None:
        return "–"
    if value["value"] is None:
        return "undefined"
    digits = 3 if abs(value["value"]) < 10 else 1
    between = " to " if value["low"] < 0 else "–"
    ends = f"{value['low']:.{digits}f}{between}{value['high']:.{digits}f}"
    return f"{value['value']:.{digits}f} [{ends}]"


def split_table(name: str, splits: dict[str, dict[str, Any]]) -> str:
    """The final masks' scores on one split, a column a network.

    Args:
        name: Of what images.
        splits: For each network its summary of that split.
    """
    columns = [_scores(split) for split in splits.values()]
    rows = list(dict.fromkeys(row for column in columns for row in column))
    cases = {split["cases"] for split in splits.values()}
    heads = list(splits) if len(splits) > 1 else ["value [95 % interval]"]
    lines = [
        f"| {name}, {'/'.join(map(str, cases))} images | {' | '.join(heads)} |",
        "|---" * (len(splits) + 1) + "|",
    ]
    for row in rows:
        lines.append(f"| {row} | {' | '.join(column.get(row, '–') for column in columns)} |")
    return "\n".join(lines)


def _scores(split: dict[str, Any]) -> dict[str, str]:
    """The final masks' scores by what they are called."""
    final = split["postprocessed"]
    scores = {"Dice, all images": interval(final["all_images"]["dice"])}
    if "lesion_images" in final:
        lesion = final["lesion_images"]
        scores |= {
            "Dice, lesion images": interval(lesion["dice"]),
            "IoU, lesion images": interval(lesion["iou"]),
            "Precision, lesion images": interval(lesion["precision"]),
            "Recall, lesion images": interval(lesion["recall"]),
            "95 % Hausdorff distance, pixels, of lesions given a mask": _distance(lesion),
        }
    scores |= {
        "Dice, pooled over pixels": interval(final["pooled"]["dice"]),
        "Pixel accuracy": interval(final["pooled"]["accuracy"]),
    }
    for label, summary in split["by_class"].items():
        if "lesion_images" in summary:
            scores[f"Dice, {label}"] = interval(summary["lesion_images"]["dice"])
    if "lesion_images_without_mask" in final:
        share = final["lesion_images_without_mask"]
        scores["Lesions given no mask"] = f"{share['count']} of {share['of']}"
    for name, summary in split.get("by_scanner", {}).items():
        if "lesion_images" in summary:
            dice = interval(summary["lesion_images"]["dice"])
            missed = summary["lesion_images_without_mask"]
            scores[f"Dice, lesion images, {name}"] = f"{dice}, {missed['count']} given no mask"
    if "normal_images_with_mask" in final:
        share = final["normal_images_with_mask"]
        scores["Normal images given a mask"] = f"{share['count']} of {share['of']}"
    if "curated" in split:
        curated = split["curated"]["postprocessed"]
        of = f"the {split['curated']['cases']} of Curated BUSI"
        scores[f"Dice, all images, {of}"] = interval(curated["all_images"]["dice"])
        if "lesion_images" in curated:
            scores[f"Dice, lesion images, {of}"] = interval(curated["lesion_images"]["dice"])
    if "calibration" in split:
        error = split["calibration"]["expected_calibration_error"]
        scores["Expected calibration error, pixels"] = f"{error:.4f}"
    if "milliseconds_per_image" in split:
        took = f"{split['milliseconds_per_image']} on {split['cores']} cores"
        scores["Milliseconds an image"] = took
    return scores


def _distance(lesion: dict[str, Any]) -> str:
    """The mean Hausdorff distance, and how many lesions it leaves out."""
    distance = lesion["hausdorff_95_px"]
    return f"{interval(distance)}, {distance['undefined']} without"


def paper_table(metrics: dict[str, dict[str, Any]]) -> str:
    """Beside the paper's Table I, read as it was made.

    Args:
        metrics: For each network the content of its metrics.json.
    """
    paper = next(iter(metrics.values()))["paper_table_1"]
    tests = [group_by_dataset(m["splits"]["test"]) for m in metrics.values()]
    # The paper's data set is BUSI; a network trained on none of it is shown on what it has.
    ours = [test.get("BUSI", next(iter(test.values())))["network_resolution"] for test in tests]
    rows = {
        ("Loss (cross-entropy)", paper["loss"]): [o["cross_entropy"] for o in ours],
        ("Pixel accuracy", paper["accuracy"]): [o["pooled"]["accuracy"] for o in ours],
        ("IoU, pooled over pixels", paper["iou"]): [o["pooled"]["iou"] for o in ours],
        ("IoU, mean of all images", paper["iou"]): [o["all_images"]["iou"] for o in ours],
        ("IoU, mean of lesion images", paper["iou"]): [
            o["lesion_images"]["iou"] if "lesion_images" in o else None for o in ours
        ],
    }
    heads = list(metrics) if len(metrics) > 1 else ["here"]
    lines = [
        "Beside the paper's Table I, read as it was made: at the network's size, threshold 0.5, no "
        "post-processing. The paper does not define its IoU and splits at random, so "
        "near-duplicates may lie on both sides; here those that a perceptual hash finds do not.",
        "",
        f"| test split | paper | {' | '.join(heads)} |",
        "|---" * (len(metrics) + 2) + "|",
    ]
    for (label, value), values in rows.items():
        lines.append(f"| {label} | {value} | {' | '.join(interval(v) for v in values)} |")
    return "\n".join(lines)


def confidence_table(name: str, by_confidence: dict[str, Any]) -> str:
    """Mean Dice for each word of confidence."""
    lines = [
        f"| confidence, {name} split | images | mean Dice | lesions given no mask |",
        "|---|---|---|---|",
    ]
    for word in ("high", "medium", "low"):
        if word in by_confidence:
            row = by_confidence[word]
            missed = row.get("missed", "–")
            lines.append(f"| {word} | {row['images']} | {row['dice']:.3f} | {missed} |")
    return "\n".join(lines)


def cross_validation_table(results: Results) -> str:
    """The scores of all cases, each from a network that had not seen it.

    Without the time an image takes: that of other networks, scored between trainings.
    """
    name = f"{len(results.runs)}-fold cross-validation"
    parts = group_by_dataset(results.pooled["out_of_fold"])
    tables = []
    for data, part in parts.items():
        part = {key: value for key, value in part.items() if key != "milliseconds_per_image"}
        tables.append(split_table(f"{data}, {name}", {"": part}))
    return "\n\n".join(tables)


def data_options(names: Iterable[str]) -> str:
    """`--data` for each data set, as a command is written for people."""
    return " ".join(f"--data {name}" for name in names)


def leave_out_table(results: Results) -> str:
    """Table of external results: a row for each data set or scanner left out."""
    lines = [
        "| trained | images | Dice, lesion images | the same without rules "
        "| lesions given no mask | normal images given a mask "
        "| lesion or normal, AUC | normal images given a mask if 3 % of lesions may go without |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in results.runs:
        found = run.parts["external"]
        final, plain = found["postprocessed"], found["threshold_0.5"]
        missed, masked = (
            f"{share['count']} of {share['of']}" if (share := final.get(key)) else "–"
            for key in ("lesion_images_without_mask", "normal_images_with_mask")
        )
        dice = [
            interval(part["lesion_images"]["dice"]) if "lesion_images" in part else "–"
            for part in (final, plain)
        ]
        cells = [run.split, str(found["cases"]), *dice, missed, masked, *_presence(found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ablation_tables(ablation: Results) -> str:
    """Tables of the ablation: Dice, and its difference to the whole recipe."""
    after = [
        "| validation split, images' own size | Dice, all images | difference "
        "| Dice, lesion images | difference | normal images given a mask |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in ablation.inference.items():
        cells = [name, *_with_difference(found), _count(found.get("masked"))]
        after.append(f"| {' | '.join(cells)} |")
    return "\n".join([*after, "", *_trainings(ablation)])


def _trainings(ablation: Results) -> list[str]:
    first = ablation.runs[0]
    size = ablation.recipe["model"]["input_size"]
    about = f"{size}×{size}, each trained as many steps as {first.epochs} epochs of the recipe"
    intervals = [
        "",
        "The intervals are of the cases: with one training each, they know nothing of what another "
        "training would give.",
    ]
    if "validation" in first.parts:
        rows = [
            f"| {name} | {' | '.join(_with_difference(found['validation']))} |"
            for name, found in ablation.paired.items()
        ]
        return [
            f"Trainings with one part left out, at {about}:",
            "",
            "| validation split | Dice, all images | difference | Dice, lesion images "
            "| difference |",
            "|---|---|---|---|---|",
            *rows,
            *intervals,
        ]
    lines = [
        f"Trainings with one part left out, all {first.split}, at {about}, and scored on it at the "
        "threshold 0.5 without rules:",
        "",
        f"| trained {first.split}, scored on it | Dice, lesion images | difference "
        "| presence, AUC "
        "| normals masked where a gate may lose 3 % of lesions |",
        "|---|---|---|---|---|",
    ]
    for run in ablation.runs:
        dice = _with_difference(ablation.paired[run.recipe]["external"])[2:]
        cells = [run.recipe, *dice, *_presence(run.parts["external"])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines + intervals


def _presence(found: dict[str, Any]) -> tuple[str, str]:
    """AUC of the lesion classifier, and normals with a mask at 3 % missed lesions."""
    auc, gates = found["auc"]["presence"], found["gates"]
    masked = None if gates is None else gates["masked"]
    return ("–" if auc is None else f"{auc:.3f}", "–" if masked is None else f"{masked:.0%}")


def _with_difference(found: dict[str, Any]) -> list[str]:
    """Dice and its difference to the first, of all images and of those with a lesion."""
    names = ("dice_all", "difference_all", "dice", "difference")
    return [interval(found.get(name)) for name in names]


def _count(share: dict[str, Any] | None) -> str:
    return "–" if share is None else f"{share['count']:.3g} of {share['of']}"
