"""Writes an evaluation's files: metrics.json, cases.csv, and figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from unet.data.cases import Case, read_grey
from unet.errors import UserError
from unet.evaluation import plots
from unet.evaluation.calibration import calibration_curve
from unet.evaluation.case_scores import (
    PAPER_TABLE_1,
    CasePrediction,
    CaseScore,
    case_row,
    predict_case,
    score_case,
    sweep,
)
from unet.evaluation.summary import dice_by_confidence, summarise
from unet.evaluation.threshold_selection import operating_curve
from unet.files import atomic_write, rows_to_csv
from unet.inference.segmenter import Segmenter
from unet.progress import Progress
from unet.provenance import git_commit
from unet.results import group_by_dataset

EXAMPLES = 8
"""Cases shown in a figure of examples."""
WORST = 10
"""Cases shown in a figure of failures."""


def evaluate_splits(
    segmenter: Segmenter,
    cases_by_split: dict[str, list[Case]],
    folder: Path,
    figures: Path,
    curated: set[str],
    fingerprints: dict[str, str],
) -> dict[str, Any]:
    """Evaluate some splits and write what was found.

    Rows and summaries of other splits that `folder` already holds stay as they are. Each split's
    summary says in `made_by` which weights, data and commit it came from.

    Args:
        segmenter: The network.
        cases_by_split: Cases of each split to evaluate.
        folder: Gets metrics.json, cases.csv and figures made of numbers alone.
        figures: Gets the figures that show the data set's images.
        curated: Ids of the cases that the Curated BUSI list keeps; these are summarised apart.
        fingerprints: Of each split's data.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: `folder` holds results of another network, or of other data under a split's name.
    """
    metrics = _read_metrics(folder)
    sha256 = segmenter.network.sha256
    _check_same(folder, metrics, sha256, fingerprints)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {row["id"]: row for row in _read_rows(folder)}
    for split, cases in cases_by_split.items():
        results, maps = [], []
        progress = Progress(len(cases), f"{split} cases")
        for case in cases:
            maps.append(predict_case(segmenter, case))
            results.append(score_case(maps[-1], split, segmenter.postprocessing))
            progress.add()
        rows |= {result.id: case_row(result) for result in results}
        summary = _summary(segmenter, results, maps, curated)
        summary["made_by"] = {
            "weights": sha256,
            "data": fingerprints[split],
            "commit": git_commit(),
        }
        metrics["splits"][split] = summary
        plots.calibration(
            summary["calibration"],
            f"Calibration, {split}",
            folder / "plots" / f"calibration_{split}.png",
        )
        plots.operating_curves(
            summary["operating_curve"],
            f"Missed lesions against masked normals, {split}",
            folder / "plots" / f"operating_curve_{split}.png",
        )
        plots.threshold_sweep(
            metrics["splits"][split]["sweep"],
            segmenter.threshold,
            f"Threshold sweep, {split}",
            folder / "plots" / f"threshold_sweep_{split}.png",
        )
        _case_figures(segmenter, results, maps, split, figures)
    cases = rows_to_csv([rows[key] for key in sorted(rows)])
    atomic_write(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    atomic_write(folder / "cases.csv", cases)
    return metrics


def results_text(splits: dict[str, dict[str, Any]]) -> str:
    """A table for the terminal, a line a split: Dice, missed lesions, false positives, IoU.

    Args:
        splits: Summaries as metrics.json holds them, by name.
    """
    lines = [("split", "images", "Dice, lesions", "missed", "false positives", "IoU, pooled")]
    for name, summary in splits.items():
        found = summary["postprocessed"]
        lesion = found.get("lesion_images", {}).get("dice")
        lines.append(
            (
                name, str(summary["cases"]), "–" if lesion is None else f"{lesion['value']:.3f}",
                _count(found.get("lesion_images_without_mask")),
                _count(found.get("normal_images_with_mask")),
                f"{found['pooled']['iou']['value']:.3f}",
            )
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def _count(share: dict[str, Any] | None) -> str:
    return f"{share['count']} of {share['of']}" if share else "–"


def _summary(
    segmenter: Segmenter, results: list[CaseScore], maps: list[CasePrediction], curated: set[str]
) -> dict[str, Any]:
    """All that is said of a split, and of each of its data sets."""
    summary = summarise(results)
    summary["sweep"] = sweep(maps, segmenter.postprocessing)
    summary["operating_curve"] = operating_curve(results, segmenter.threshold)
    summary["calibration"] = calibration_curve(maps)
    if segmenter.confidence:
        summary["by_confidence"] = dice_by_confidence(results)
    for name, part in group_by_dataset(summary).items():
        part["calibration"] = calibration_curve([m for m in maps if m.case.dataset == name])
        kept = [r for r in results if r.id in curated and r.dataset == name]
        if kept:
            part["curated"] = summarise(kept)
    return summary


def _check_same(
    folder: Path, metrics: dict[str, Any], sha256: str, fingerprints: dict[str, str]
) -> None:
    """Raise UserError where results would be mixed with others in one file."""
    for name, summary in metrics["splits"].items():
        made_by = summary["made_by"]
        other = "another network" if made_by["weights"] != sha256 else None
        if name in fingerprints and made_by["data"] != fingerprints[name]:
            other = f"other data as {name!r}"
        if other:
            raise UserError(
                f"{folder} holds results of {other}, and results are not mixed. Give --out "
                "another folder."
            )


def _case_figures(
    segmenter: Segmenter,
    results: list[CaseScore],
    maps: list[CasePrediction],
    split: str,
    figures: Path,
) -> None:
    """Predictions beside truth (evenly over the ranking by Dice) and the worst failures."""
    paired = sorted(
        zip(results, maps), key=lambda pair: pair[0].scores["postprocessed"].confusion.dice
    )
    count = min(EXAMPLES, len(paired))
    spread = [paired[round(i * (len(paired) - 1) / max(count - 1, 1))] for i in range(count)]
    over = sorted(paired, key=lambda pair: -pair[0].scores["postprocessed"].confusion.false_positive
                  / pair[1].truth.size)  # fmt: skip
    for name, title, chosen in (
        ("predictions", "from the worst to the best Dice", spread),
        ("worst", "lowest Dice", paired[:WORST]),
        ("over_segmentation", "largest over-segmentation", over[:count]),
    ):
        examples = [_example(segmenter, result, m) for result, m in chosen]
        plots.predictions(examples, f"{split}: {title}", figures / f"{name}_{split}.png")


def _example(segmenter: Segmenter, result: CaseScore, m: CasePrediction) -> dict[str, Any]:
    counts = result.scores["postprocessed"].confusion
    return {
        "image": read_grey(m.case),
        "truth": m.truth,
        "mask": m.mask(segmenter.postprocessing),
        "probability_u8": m.prediction.probability_u8,
        "caption": f"{m.case.id.split('/')[-1]}  Dice {counts.dice:.2f}  {result.diagnosis}",
    }


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if path.exists():
        return json.loads(path.read_text())
    return {"paper_table_1": PAPER_TABLE_1, "splits": {}}


def _read_rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "cases.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
