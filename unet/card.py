"""The model card, generated from a bundle's own numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from unet.bundle import BundleInfo
from unet.postprocessing import PostProcessing

NOTICE = (
    "A research demonstration, not a medical device. It must not be used for diagnosis, "
    "screening or treatment decisions."
)
CITATION = (
    "Al-Dhabyani W, Gomaa M, Khaled H, Fahmy A. Dataset of breast ultrasound images. "
    "Data in Brief 28 (2020) 104863."
)
PAPER = (
    "Cheng, Illanko, Khan. Image Segmentation of Breast Cancer Ultrasounds using U-Net "
    "Architecture. Toronto Metropolitan University."
)


def model_card(info: BundleInfo, metrics: dict[str, Any]) -> str:
    """The bundle's README.md: metadata for the Hub, then text and tables.

    Args:
        info: What `unet.json` says.
        metrics: What `metrics.json` says.
    """
    sections = [
        f"---\n{_metadata(info, metrics)}\n---",
        f"# {info.model.name}: lesion segmentation in breast ultrasound\n\n**{NOTICE}**",
        _network(info),
        _results(info, metrics),
        _data(info),
        _use(info),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(info: BundleInfo, metrics: dict[str, Any]) -> str:
    results = []
    test = metrics["splits"].get("test")
    if test and info.training["data"] == "BUSI":
        for name, value in _headline(test).items():
            results.append(
                EvalResult(
                    task_type="image-segmentation",
                    task_name="Lesion segmentation",
                    dataset_type="busi",
                    dataset_name="BUSI, grouped test split",
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
    final = split["final"]
    values = {"Dice, all images": final["all_images"]["dice"]}
    if "lesion_images" in final:
        values["Dice, lesion images"] = final["lesion_images"]["dice"]
        values["IoU, lesion images"] = final["lesion_images"]["iou"]
    values["Pixel accuracy"] = final["pooled"]["accuracy"]
    return values


def _network(info: BundleInfo) -> str:
    t = info.training
    config = t["config"]
    paragraphs = [
        "## The network",
        f"The U-Net of: {PAPER} Input: {info.model.input_size}×{info.model.input_size} grey in "
        "[0, 1]; output: the lesion probability of each pixel. Binary cross-entropy, as in the "
        "paper. The paper names no optimizer, batch size or epochs; these are this project's: "
        f"Adam with linear warm-up and cosine decay from {config['learning_rate']}, batch "
        f"{config['batch_size']}, {t['epochs_run']} of at most {config['epochs']} epochs, of which "
        f"epoch {t['best_epoch']} (best mean Dice on validation) was kept; "
        + (
            "flips, small warps and grey-value changes; "
            if config["augment"]
            else "no augmentation; "
        )
        + f"computed in {config['precision']}.",
        f"```\n{t['command']}\n```",
        f"Commit `{info.commit}`; "
        + ", ".join(f"{name} {version}" for name, version in info.versions.items())
        + ".",
        "![Learning curves](plots/learning_curves.png)",
    ]
    return "\n\n".join(paragraphs)


def _results(info: BundleInfo, metrics: dict[str, Any]) -> str:
    rules = info.postprocessing
    parts = ["## Results"]
    for split in ("test", "validation"):
        if split in metrics["splits"]:
            parts.append(_split_table(split, metrics["splits"][split]))
    if "test" in metrics["splits"]:
        parts.append(_paper_table(metrics))
    parts.append(
        f"Chosen on validation, on the mean Dice of all images: {_rules(rules)}. "
        "Scores are at each image's own size. Two empty masks count as 1. Brackets: 95 % intervals "
        "by bootstrap over near-duplicate groups."
    )
    if "validation" in metrics["splits"]:
        parts.append("![Threshold sweep](plots/threshold_sweep_validation.png)")
    parts.append("Every number here comes from `metrics.json`, made by `python train.py evaluate`.")
    return "\n\n".join(parts)


def _rules(rules: PostProcessing) -> str:
    words = [f"threshold {rules.threshold}"]
    if rules.min_area:
        words.append(f"regions below {rules.min_area:.2%} of the image dropped")
    if rules.min_peak:
        words.append(f"no mask where the peak probability stays under {rules.min_peak}")
    return ", ".join(words)


def readme_results(metrics: dict[str, Any]) -> str:
    """The results as the project's README shows them, between its two marks."""
    return f"{_split_table('test', metrics['splits']['test'])}\n\n{_paper_table(metrics)}"


def update_readme(text: str, results: str) -> str:
    """README text with everything between the two marks replaced by `results`.

    Raises:
        ValueError: The marks are not there.
    """
    start, end = text.find("<!-- results:"), text.find("<!-- end of results -->")
    if not 0 <= start < end:
        raise ValueError("expected the marks '<!-- results:' and '<!-- end of results -->'")
    first_line = text[start : text.index("\n", start)]
    return f"{text[:start]}{first_line}\n\n{results}\n\n{text[end:]}"


def _split_table(name: str, split: dict[str, Any]) -> str:
    final = split["final"]
    rows = [("Dice, all images", final["all_images"]["dice"])]
    if "lesion_images" in final:
        lesion = final["lesion_images"]
        rows += [
            ("Dice, lesion images", lesion["dice"]),
            ("IoU, lesion images", lesion["iou"]),
            ("Precision, lesion images", lesion["precision"]),
            ("Recall, lesion images", lesion["recall"]),
            ("95 % Hausdorff distance, pixels", lesion["hausdorff_95_px"]),
        ]
    rows += [
        ("Dice, pooled over pixels", final["pooled"]["dice"]),
        ("Pixel accuracy", final["pooled"]["accuracy"]),
    ]
    for label, summary in split["by_class"].items():
        if "lesion_images" in summary:
            rows.append((f"Dice, {label}", summary["lesion_images"]["dice"]))
    if "normal_images_with_mask" in final:
        share = final["normal_images_with_mask"]
        rows.append((f"Normal images given a mask ({share['count']} of {share['of']})", share))
    lines = [f"| {name} split, {split['cases']} images | |", "|---|---|"]
    lines += [f"| {label} | {interval(value)} |" for label, value in rows]
    return "\n".join(lines)


def _paper_table(metrics: dict[str, Any]) -> str:
    paper, ours = metrics["paper_table_1"], metrics["splits"]["test"]["network_size"]
    lines = [
        "Beside the paper's Table I, read as it was made: at the network's size, threshold 0.5, no "
        "post-processing. The paper does not define its IoU and splits at random, so "
        "near-duplicates may lie on both sides; here none do.",
        "",
        "| test split | paper | here |",
        "|---|---|---|",
        f"| Loss | {paper['loss']} | {interval(ours['cross_entropy'])} |",
        f"| Pixel accuracy | {paper['accuracy']} | {interval(ours['pooled']['accuracy'])} |",
        f"| IoU, pooled over pixels | {paper['iou']} | {interval(ours['pooled']['iou'])} |",
        f"| IoU, mean of all images | {paper['iou']} | {interval(ours['all_images']['iou'])} |",
    ]
    if "lesion_images" in ours:
        lines.append(
            f"| IoU, mean of lesion images | {paper['iou']} "
            f"| {interval(ours['lesion_images']['iou'])} |"
        )
    return "\n".join(lines)


def interval(value: dict[str, float | None]) -> str:
    """A value with its interval: "0.701 [0.650–0.748]", or "undefined"."""
    if value["value"] is None:
        return "undefined"
    digits = 3 if abs(value["value"]) < 10 else 1
    return f"{value['value']:.{digits}f} [{value['low']:.{digits}f}–{value['high']:.{digits}f}]"


def _data(info: BundleInfo) -> str:
    sizes = ", ".join(f"{len(ids)} {name}" for name, ids in info.split.items())
    if info.training["data"] != "BUSI":
        return (
            "## Data and limits\n\nTrained on generated phantoms to try the commands out. "
            f"It knows no real ultrasound. Images: {sizes}."
        )
    return (
        f"## Data and limits\n\nBUSI ({CITATION}): {sizes}. BUSI holds many images more than once "
        "(Pawłowska et al., PMC10293973) and some with contradicting labels, and names no "
        "patients. Near-duplicates by perceptual hash stay on one side of the split; images of "
        "one patient that look different may not. About half the images carry calipers or text. "
        "One hospital, two scanners: expect worse elsewhere."
    )


def _use(info: BundleInfo) -> str:
    name = info.model.name
    return f"""## Use

With this project, from its folder:

```python
from PIL import Image
from unet import Segmenter

segmenter = Segmenter.load("weights/{name}")
mask = segmenter.segment(Image.open("ultrasound.png"))  # bool (H, W), the image's own size
```

From the Hub, with this project or with Keras alone (`USER/NAME` is this repository):

```python
segmenter = Segmenter.from_hub("USER/NAME")

import keras

network = keras.saving.load_model("hf://USER/NAME")
probability = network(batch)  # float32 (B, {info.model.input_size}, {info.model.input_size}, 1)
```

As a page, with this project: `UNET_REPO=USER/NAME python app.py`.
"""


if __name__ == "__main__":  # python -m unet.card README.md weights/unet
    readme, bundle = (Path(argument) for argument in sys.argv[1:])
    numbers = json.loads((bundle / "metrics.json").read_text())
    readme.write_text(update_readme(readme.read_text(), readme_results(numbers)))
