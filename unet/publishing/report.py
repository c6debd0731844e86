"""The project's results: a page of all of them, and five rows for the README."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unet.errors import UserError
from unet.files import atomic_write
from unet.inference.bundle import BundleInfo, find_interactive_bundle, list_bundles, read_info
from unet.publishing.card import (
    external_validation,
    pointing_of,
    training_difference,
    write_card,
)
from unet.publishing.comparison import FILE, HEADING, comparison_section
from unet.publishing.sections import part_of_published
from unet.publishing.tables import interval, paper_table, split_table
from unet.results import Results, group_by_dataset, held_out

MARKS = ("<!-- results: python train.py report -->", "<!-- end of results -->")
"""Lines of the README that the table stands between."""


def results_page(
    bundles: list[Path],
    comparison: Results | None = None,
    interactive_model: Path | None = None,
) -> str:
    """All results of the bundles, as `docs/results.md` shows them.

    Args:
        bundles: In the order in which they are shown.
        comparison: That of networks, if there is one.
        interactive_model: The bundle of the interactive network, if there is one.
    """
    metrics = {bundle.name: _read(bundle / "metrics.json") for bundle in bundles}
    held = {name: held_out(m) for name, m in metrics.items()}
    datasets = sorted({dataset for parts in held.values() for dataset in parts})
    sentences = [
        _sentence(read_info(bundle), results)
        for bundle in bundles
        if (results := Results.read(bundle / "cross_validation.json"))
    ]
    tables = [
        split_table(
            f"{dataset}, test split",
            {name: parts[dataset] for name, parts in held.items() if dataset in parts},
        )
        for dataset in sorted(datasets, key=lambda name: (name != "BUSI", name))
    ]
    trained_on = [_training_of(read_info(bundle)) for bundle in bundles]
    tables.insert(0, f"Trained: {'; '.join(trained_on)}. No test image was trained or chosen on.")
    beside = [
        f"## {external_validation(results, read_info(bundle))}"
        for bundle in bundles
        if (results := Results.read(bundle / "leave_out.json"))
    ]
    if interactive_model and (pointing := pointing_of(interactive_model)):
        beside.append(pointing)
    if comparison:
        picture = f"../weights/{Path(FILE).with_suffix('.png')}"
        beside += [f"## {HEADING}", comparison_section(comparison, picture)]
    head = "# Results\n\n`python train.py report` makes this page from the files in `weights/`."
    return "\n\n".join([head, *tables, *sentences, paper_table(metrics), *beside]) + "\n"


def results_table(bundles: list[Path]) -> str:
    """Five rows for the README, a column a network, from test splits and the paper's protocol.

    Args:
        bundles: In the order of the columns.
    """
    metrics = [_read(bundle / "metrics.json") for bundle in bundles]
    held = [held_out(m) for m in metrics]
    names = sorted({name for own in held for name in own}, key=lambda n: (n != "BUSI", n))
    rows = [
        (f"Dice, lesion images, {name}", [_lesion_dice(own.get(name)) for own in held])
        for name in names
    ]
    for label, key in (
        ("Missed lesions", "lesion_images_without_mask"),
        ("False positives on normal images", "normal_images_with_mask"),
    ):
        rows.append((label, [_counts(own.values(), key) for own in held]))
    table_1 = metrics[0]["paper_table_1"]
    iou = [_paper_iou(m) for m in metrics]
    rows.append((f"IoU, pooled, as in the paper's Table I ({table_1['iou']})", iou))
    lines = [f"| test splits | {' | '.join(bundle.name for bundle in bundles)} |"]
    lines.append("|---" * (len(bundles) + 1) + "|")
    lines += [f"| {label} | {' | '.join(values)} |" for label, values in rows]
    return "\n".join(lines)


def _lesion_dice(summary: dict[str, Any] | None) -> str:
    found = (summary or {}).get("postprocessed", {}).get("lesion_images")
    return interval(found and found["dice"])


def _counts(summaries: Iterable[dict[str, Any]], key: str) -> str:
    shares = [s["postprocessed"][key] for s in summaries if key in s["postprocessed"]]
    return f"{sum(s['count'] for s in shares)} of {sum(s['of'] for s in shares)}" if shares else "–"


def _paper_iou(metrics: dict[str, Any]) -> str:
    parts = group_by_dataset(metrics["splits"]["test"])
    part = parts.get("BUSI") or next(iter(parts.values()))
    return interval(part["network_resolution"]["pooled"]["iou"])


def comparison_in(weights: Path) -> Results | None:
    """The comparison of networks kept beside the bundles; None where there is none."""
    return Results.read(weights / FILE)


def _training_of(info: BundleInfo) -> str:
    """Data, epochs and hours of a network's training."""
    training = info.training
    hours = f"{training['epochs_run']} epochs, {training['seconds'] / 3600:.1f} hours"
    return f"{info.model.name} on {_data_of(info)}, {hours}"


def _data_of(info: BundleInfo) -> str:
    parts = {name: part_of_published(name, info) for name in info.datasets}
    return " + ".join(f"{name} ({part})" if part else name for name, part in parts.items())


def _sentence(info: BundleInfo, validated: Results) -> str:
    pooled = validated.pooled["out_of_fold"]
    found = [
        f"on {dataset}, {_found(part['postprocessed'])}"
        for dataset, part in group_by_dataset(pooled).items()
    ]
    return (
        f"{len(validated.runs)}-fold cross-validation of {info.model.name}, each of the "
        f"{pooled['cases']} images scored by a network trained "
        f"{training_difference(validated, info)} that had not seen it or its near-duplicates: "
        f"{'; '.join(found)}."
    )


def _found(final: dict[str, Any]) -> str:
    words = f"Dice of lesion images {interval(final['lesion_images']['dice'])}"
    if normal := final.get("normal_images_with_mask"):
        words += f", of all images {interval(final['all_images']['dice'])}, "
        words += f"{normal['count']} of {normal['of']} normal images given a mask"
    return words


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def update_readme(text: str, table: str) -> str:
    """README text with everything between the two marks replaced by `table`.

    Raises:
        ValueError: The marks are not there.
    """
    start, end = (text.find(mark) for mark in MARKS)
    if not 0 <= start < end:
        raise ValueError(f"expected the lines {' and '.join(map(repr, MARKS))}")
    return f"{text[:start]}{MARKS[0]}\n\n{table}\n\n{text[end:]}"


def write_report(readme: Path, page: Path, weights: Path) -> None:
    """Write the model card of each bundle in `weights`, the results page and the README's table.

    Args:
        readme: The README, with the two marks.
        page: The results page.
        weights: The folder of the bundles.

    Raises:
        UserError: There is no bundle, or the README lacks the marks.
    """
    bundles = sort_by_validation(list_bundles(weights))
    if not bundles:
        raise UserError(f"{weights} holds no bundle. Run train.py fit first.")
    interactive_model = find_interactive_bundle(weights)
    carded = [*bundles, *([interactive_model] if interactive_model else [])]
    for bundle in carded:
        write_card(bundle)
    try:
        text = update_readme(readme.read_text(), results_table(bundles))
    except ValueError as error:
        raise UserError(f"{readme}: {error}") from None
    atomic_write(readme, text)
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(page, results_page(bundles, comparison_in(weights), interactive_model))
    print(f"wrote {readme}, {page} and the cards of {', '.join(b.name for b in carded)}")


def metrics_of(bundle: Path) -> dict[str, Any]:
    """The bundle's metrics.json; no splits if it has none that can be read."""
    try:
        metrics = json.loads((bundle / "metrics.json").read_text())
        metrics["splits"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"splits": {}}
    return metrics


def sort_by_validation(bundles: list[Path]) -> list[Path]:
    """Bundles by their mean Dice on validation images with a lesion, best first; then by name.

    Of several data sets, on those that all networks were validated on. A network that answers to
    what a person points at is left out: it stands beside the others, not among them.
    """
    interactive_model = find_interactive_bundle(bundles[0].parent) if bundles else None
    bundles = [bundle for bundle in bundles if bundle != interactive_model]
    dice = {bundle: _validation_dice(bundle) for bundle in bundles}
    known = [set(own) for own in dice.values() if own]
    shared = set.intersection(*known) if known else set()

    def mean(bundle: Path) -> float:
        own = dice[bundle]
        names = shared & set(own) or own
        return sum(own[name] for name in names) / max(len(names), 1)

    return sorted(sorted(bundles), key=mean, reverse=True)


def _validation_dice(bundle: Path) -> dict[str, float]:
    """Mean Dice of validation images with a lesion by data set; empty if it cannot be read."""
    try:
        parts = group_by_dataset(metrics_of(bundle)["splits"]["validation"])
        return {
            name: float(part["postprocessed"]["lesion_images"]["dice"]["value"])
            for name, part in parts.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
