"""Sections of the model card that hold no scores: the network, its data, its use."""

from __future__ import annotations

from typing import Any

from unet.config import InferenceConfig
from unet.core.mask import PostProcessing
from unet.inference.bundle import BundleInfo
from unet.networks import architecture, sentence

PHANTOM = "phantom"
PUBLISHED = {"BUS-BRA": 1875, "BUS-UCLM": 683, "BrEaST": 256}
"""Images of a published data set of which a folder may hold a part."""


def network_section(info: BundleInfo, *, pictures: bool) -> str:
    """Describe the network and its training; `pictures` adds its learning curves."""
    t = info.training
    size = f"Input: {info.model.input_size}×{info.model.input_size} grey in [0, 1]; output: the "
    size += "lesion probability of each pixel."
    module = architecture(info.model)
    what, start = f"{sentence(info.model)} {size}", module.START
    if views := _other_views(info.inference):
        *others, last = ["the image", *views]
        what += f" The project averages it over {', '.join(others)} and {last}."
    if t["config"]["pretrained"]:
        start = module.PRETRAINED
    if begun := t.get("start"):
        start = f"Started from the weights of {begun['name']} (sha256 `{begun['sha256'][:12]}…`)."
    paragraphs = [
        "## The network",
        f"{what} {start} {_recipe(t)}",
        f"```\n{t['command']}\n```",
        f"Trained from commit `{info.commit}`{_code(t)}; "
        + ", ".join(f"{name} {version}" for name, version in info.versions.items())
        + ".",
    ]
    if pictures:
        paragraphs.append("![Learning curves](plots/learning_curves.png)")
    return "\n\n".join(paragraphs)


def _code(training: dict[str, Any]) -> str:
    """A clause where the code of the training is in no commit of the project's history."""
    return (
        ""
        if training.get("reproducible", True)
        else (
            " (the project's history does not hold this code, so the training cannot be repeated "
            "exactly)"
        )
    )


def _other_views(inference: InferenceConfig) -> list[str]:
    """The views that are averaged beside the image itself."""
    views = ["its mirror image"] if inference.flip else []
    return views + [
        f"the image at {scale:.0%} of its size on black" for scale in inference.scales[1:]
    ]


def _recipe(training: dict[str, Any]) -> str:
    config = training["config"]
    decay = config["weight_decay"]
    optimizer = f"AdamW (weight decay {decay})" if decay else "Adam"
    epochs = f"{training['epochs_run']} of at most {config['epochs']} epochs, of which epoch "
    epochs += f"{training['best_epoch']} (best mean Dice on validation) was kept"
    if config["checkpoint"] == "last":
        epochs = f"{training['epochs_run']} epochs, of which the last was kept"
    changes = "no augmentation"
    if config["augmentation"] != "none":
        changes = "flips, small warps and grey-value changes"
    if config["augmentation"] == "strong":
        changes = "flips, wide warps, gain, gamma, contrast, speckle and loss of resolution"
    if config["patches"]:
        changes += "; beside whole images patches with and without the lesion, and images with the "
        changes += "lesion painted over; the Dice loss counts where there is a lesion alone"
    loss = "Binary cross-entropy"
    if config["loss"] == "cross_entropy_dice":
        loss += " plus soft Dice loss"
    return (
        f"{loss}; {optimizer} with linear warm-up and cosine decay from {config['learning_rate']}, "
        f"batch {config['batch_size']}, {epochs}; {changes}; computed in {config['precision']}."
    )


def rules_in_words(rules: PostProcessing) -> str:
    """Describe the post-processing in words."""
    words = [f"threshold {rules.threshold}"]
    if rules.min_area:
        words.append(f"regions below {rules.min_area:.2%} of the image dropped")
    if rules.min_peak:
        words.append(f"no mask where the peak probability stays under {rules.min_peak}")
    if rules.min_presence:
        words.append(f"no mask where a lesion at all is less likely than {rules.min_presence}")
        words.append(f"but from {rules.unsure_presence} on called unsure and outlined dashed")
    return ", ".join(words)


def data_section(info: BundleInfo) -> str:
    """Describe the training data, its licences and its limits."""
    sizes = ", ".join(f"{len(ids)} {name}" for name, ids in info.split.items())
    if info.datasets == [PHANTOM]:
        return (
            "## Data and limits\n\nTrained on generated phantoms to try the commands out. "
            f"It knows no real ultrasound. Images: {sizes}."
        )
    sources = info.training["sources"]
    listed = "\n".join(
        f"* {s['name']}: {s['citation']} Licence: {s['licence']}."
        + (f" Here: {part}." if (part := part_of_published(s["name"], info)) else "")
        for s in sources
    )
    parts = ["## Data and limits", f"{listed}\n\nImages: {sizes}."]
    if "BUSI" in info.datasets:
        parts.append(
            "BUSI holds many images more than once (Pawłowska et al., PMC10293973) and some with "
            "contradicting labels (benign (433) is malignant (145); benign (437) is normal (34)), "
            "and names no patients: images of one patient that look different may lie on two sides "
            "of the split. About half of them carry calipers or text."
        )
    parts.append(
        "Images of one patient, where patients are known, and near-duplicates by perceptual hash "
        f"stay on one side of the split. {_hospitals(len(sources))}: expect worse elsewhere."
    )
    return "\n\n".join(parts)


def part_of_published(dataset: str, info: BundleInfo) -> str:
    """Number of images of a published data set that a bundle knows, if not all."""
    known = sum(name.startswith(f"{dataset}/") for ids in info.split.values() for name in ids)
    published = PUBLISHED.get(dataset, known)
    return f"{known:,} of its {published:,} images" if known != published else ""


def _hospitals(count: int) -> str:
    return "One hospital" if count == 1 else f"{count} hospitals"


def use_section(info: BundleInfo) -> str:
    """Describe how to run the network with this project and without it."""
    name, size = info.model.name, info.model.input_size
    pointing, channels = "", 1
    page = "`UNET_REPO=USER/NAME python app.py`"
    if info.model.interactive:
        channels = 3
        page = "keep it in `weights/` beside another network, which answers where nobody points"
        pointing = """
from unet.core.prompts import Prompts

click = Prompts(positive=(((210.0, 130.0),),))  # x and y in pixels of the image
mask = segmenter.analyze(Image.open("ultrasound.png"), click).segment().mask
"""
    return f"""## Use

With this project, from its folder:

```python
from PIL import Image
from unet import Segmenter

segmenter = Segmenter.load("weights/{name}")
mask = segmenter.segment(Image.open("ultrasound.png"))  # bool (H, W), the image's own size
{pointing}```

From the Hub, with this project or with Keras alone (`USER/NAME` is this repository):

```python
segmenter = Segmenter.from_hub("USER/NAME")

import keras

network = keras.saving.load_model("hf://USER/NAME")
probability = network(batch)  # float32 (B, {size}, {size}, {channels}) to (B, {size}, {size}, 1)
```

As a page, with this project: {page}.
"""
