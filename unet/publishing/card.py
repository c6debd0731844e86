"""The model card, generated from a bundle's own numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from unet.files import atomic_write
from unet.inference.bundle import BundleInfo, read_info
from unet.publishing.interactive import interactive_section
from unet.publishing.sections import (
    PHANTOM,
    data_section,
    network_section,
    rules_in_words,
    use_section,
)
from unet.publishing.tables import (
    ablation_tables,
    confidence_table,
    cross_validation_table,
    data_options,
    leave_out_table,
    paper_table,
    split_table,
)
from unet.results import Results, group_by_dataset, held_out

NOTICE = (
    "A research demonstration, not a medical device. It must not be used for diagnosis, "
    "screening or treatment decisions."
)
EXTERNAL = "test split, a data set it was not trained on"


def card_of(bundle: Path) -> str:
    """The README.md of a bundle, made of its other files."""
    return model_card(read_info(bundle), **_numbers(bundle))


def description_of(bundle: Path) -> str:
    """Text of the card without metadata, pictures and notes on use."""
    info, numbers = read_info(bundle), _numbers(bundle)
    if numbers["metrics"] is None:
        return network_section(info, pictures=False)
    return "\n\n".join(_description(info, **numbers, pictures=False))


def pointing_of(interactive_model: Path) -> str:
    """Interactive results as text without a picture; empty if not measured."""
    clicks = _numbers(interactive_model)["clicks"]
    return (
        ""
        if clicks is None
        else interactive_section(interactive_model.name, clicks, pictures=False)
    )


def _numbers(bundle: Path) -> dict[str, Any]:
    """Contents of the result files by name; None for a missing one."""
    paths = {name: bundle / f"{name}.json" for name in ("metrics", "clicks")}
    found = {n: json.loads(p.read_text()) if p.exists() else None for n, p in paths.items()}
    names = ("cross_validation", "leave_out", "ablation")
    return found | {name: Results.read(bundle / f"{name}.json") for name in names}


def write_card(bundle: Path) -> None:
    """The bundle's README.md."""
    atomic_write(bundle / "README.md", card_of(bundle))


def model_card(
    info: BundleInfo,
    metrics: dict[str, Any],
    cross_validation: Results | None = None,
    leave_out: Results | None = None,
    ablation: Results | None = None,
    clicks: dict[str, Any] | None = None,
) -> str:
    """The bundle's README.md: metadata for the Hub, then text and tables.

    Args:
        info: What `unet.json` says.
        metrics, cross_validation, leave_out, ablation, clicks: What the files of these names say;
            all but the first may be missing.
    """
    sections = [
        f"---\n{_metadata(info, metrics)}\n---",
        f"# {info.model.name}: lesion segmentation in breast ultrasound\n\n**{NOTICE}**",
        *_description(info, metrics, cross_validation, leave_out, ablation, clicks, pictures=True),
        use_section(info),
    ]
    return "\n\n".join(sections) + "\n"


def _description(
    info: BundleInfo,
    metrics: dict[str, Any],
    cross_validation: Results | None,
    leave_out: Results | None,
    ablation: Results | None,
    clicks: dict[str, Any] | None,
    *,
    pictures: bool,
) -> list[str]:
    return [
        network_section(info, pictures=pictures),
        *(
            []
            if clicks is None
            else [interactive_section(info.model.name, clicks, pictures=pictures)]
        ),
        _results(info, metrics, pictures=pictures),
        *_validation_of_the_recipe(info, cross_validation, leave_out, ablation),
        data_section(info),
    ]


def _metadata(info: BundleInfo, metrics: dict[str, Any]) -> str:
    results = []
    known = info.datasets != [PHANTOM]
    for data, test in held_out(metrics).items() if known else ():
        for name, value in _headline(test).items():
            results.append(
                EvalResult(
                    task_type="image-segmentation",
                    task_name="Lesion segmentation",
                    dataset_type=data.lower().replace(" ", ""),
                    dataset_name=f"{data}, grouped test split",
                    metric_type=name.lower().replace(" ", "_").replace(",", ""),
                    metric_name=name,
                    metric_value=round(value["value"], 4),
                )
            )
    data = ModelCardData(
        model_name=info.model.name,
        library_name="keras",
        pipeline_tag="image-segmentation",
        tags=["medical", "ultrasound", "breast", "u-net", "segmentation"],
        license="mit",
        eval_results=results or None,
    )
    return data.to_yaml()


def _headline(split: dict[str, Any]) -> dict[str, dict[str, float]]:
    final = split["postprocessed"]
    values = {"Dice, all images": final["all_images"]["dice"]}
    if "lesion_images" in final:
        values["Dice, lesion images"] = final["lesion_images"]["dice"]
        values["IoU, lesion images"] = final["lesion_images"]["iou"]
    values["Pixel accuracy"] = final["pooled"]["accuracy"]
    return values


def _results(info: BundleInfo, metrics: dict[str, Any], *, pictures: bool) -> str:
    rules = info.postprocessing
    chosen_on = " + ".join(info.training["rules_chosen_on"])
    how = f"Chosen on validation cases of {chosen_on}, where rules may leave at most 3 % of "
    how += "any set's lesions without a mask, or no more than the map leaves without any rule"
    parts = ["## Results"]
    if info.model.interactive:
        parts.append("Without any prompt. On the page another network answers where nobody points.")
    names = {"test": "test split", "external": EXTERNAL, "validation": "validation split"}
    if "external" in info.split:
        names["external"] = f"scored by a network that was trained {info.training['split_name']}"
    for split, name in names.items():
        for dataset, summary in group_by_dataset(
            metrics["splits"].get(split, {"datasets": []})
        ).items():
            parts.append(split_table(f"{dataset}, {name}", {info.model.name: summary}))
    if "test" in metrics["splits"]:
        parts.append(paper_table({info.model.name: metrics}))
    parts.append(
        f"{how}: {rules_in_words(rules)}. "
        "Scores are at each image's own size. Two empty masks count as 1. Brackets: 95 % intervals "
        "by bootstrap over near-duplicate groups."
    )
    for split in ("test", "validation"):
        if "by_confidence" in metrics["splits"].get(split, {}):
            parts.append(confidence_table(split, metrics["splits"][split]["by_confidence"]))
    if pictures and "validation" in metrics["splits"]:
        parts.append("![Threshold sweep](plots/threshold_sweep_validation.png)")
        parts.append("![Missed lesions and masked normals](plots/operating_curve_validation.png)")
        parts.append("![Calibration](plots/calibration_validation.png)")
    data = dict.fromkeys(d for split in metrics["splits"].values() for d in group_by_dataset(split))
    parts.append(
        "These numbers come from `metrics.json`, made by "
        f"`python train.py evaluate --weights weights/{info.model.name} {data_options(data)} "
        f"--split all` at commit {_commits(metrics)}."
    )
    return "\n\n".join(parts)


def _commits(metrics: dict[str, Any]) -> str:
    """The commit of each split's evaluation; one for all where they agree."""
    made = {name: split["made_by"]["commit"] for name, split in metrics["splits"].items()}
    if len(set(made.values())) == 1:
        return f"`{next(iter(made.values()))}`"
    return ", ".join(f"`{commit}` ({name})" for name, commit in made.items())


def _validation_of_the_recipe(
    info: BundleInfo,
    cross_validation: Results | None,
    leave_out: Results | None,
    ablation: Results | None,
) -> list[str]:
    parts = []
    if cross_validation:
        parts.append(
            "## Cross-validation\n\n"
            f"Networks trained {training_difference(cross_validation, info)}; near-duplicates "
            "share a fold, post-processing is chosen on cases of the other folds.\n\n"
            + cross_validation_table(cross_validation)
            + f"\n\n`{cross_validation.command}` made "
            "`cross_validation.json` and `.csv`, from which this comes."
        )
    if leave_out:
        parts.append(f"## {external_validation(leave_out, info)}")
    if ablation:
        parts.append(
            f"## What each part gives\n\n{ablation_tables(ablation)}\n\n"
            f"`{ablation.command}` made `ablation.json`, from which this comes."
        )
    return parts


BOUNDS = (
    "One thing was not chosen on the others: the highest gate on presence (0.04 for these "
    "networks, 0.02 from now on) and the lowest threshold (0.25) that rules may take were set "
    "after looking at BUSI and BUS-BRA left out, so these scores are a little better than those of "
    "a data set that nobody has looked at."
)
"""Note on constants of `unet.evaluation.threshold_selection` chosen on external data."""


def external_validation(leave_out: Results, info: BundleInfo) -> str:
    """External validation: a heading without its marks, and a text."""
    return (
        "On what was never seen\n\nA data set or scanner is left out, a network trained "
        f"{training_difference(leave_out, info)} on the others' training cases, its rules chosen "
        "on their validation cases, and what was left out (but for its test cases) is scored. "
        f"{BOUNDS}\n\n{leave_out_table(leave_out)}\n\n{_no_gate(leave_out)}"
        f"`{leave_out.command}` made `leave_out.json`, from which this comes."
    )


def _no_gate(leave_out: Results) -> str:
    """Without which sets no gate was chosen, so that normal images get masks; else empty."""
    names = [
        run.split
        for run in leave_out.runs
        if "normal_images_with_mask" in run.parts["external"]["postprocessed"]
        and not run.rules["min_presence"] + run.rules["min_peak"]
    ]
    if not names:
        return ""
    return (
        f"Of what was trained {' and '.join(names)} no gate was chosen (none can be where there "
        "are no normal images).\n\n"
    )


def training_difference(found: Results, info: BundleInfo) -> str:
    """Difference between the training behind results and the bundle's."""
    size, epochs = found.recipe["model"]["input_size"], found.recipe["train"]["epochs"]
    if (size, epochs) == (info.model.input_size, info.training["config"]["epochs"]):
        return "with the same recipe"
    return f"with the same recipe but smaller (at {size}×{size}, {epochs} epochs)"
