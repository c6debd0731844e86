"""An image analysed: what the page keeps of it, and what people take home."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.images.phantom import SPACING_MM, make_phantom
from unet.images.reading import ImageError, Picture, read_image
from unet.inference import findings
from unet.inference.postprocessing import PostProcessing, closed_gate, quantise, segment
from unet.page.exports import Result

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

PHANTOMS = (("benign", 1), ("malignant", 2), ("benign", 5), ("normal", 1))


@dataclass(frozen=True)
class Analysed:
    """An image with its probability, kept on the server for the visitor's session.

    Attributes:
        id: Names this analysis.
        series: The same for all frames of a clip, and for an image with and without its truth.
        picture: The image.
        p8: uint8 `(H, W)`, the probability times 255.
        u8: uint8 `(H, W)`, the uncertainty times 255; None where the network gives none.
        confidence: "low", "medium" or "high"; None where the network gives none.
        familiar: Whether it looks like the network's training images; None if unknown.
        presence: How likely there is a lesion at all, in [0, 1]; None if unknown.
        generated: Whether it is one of the page's own phantoms.
        rules: The network's post-processing.
        network: The network's name and version.
        seconds: Time the network took.
        truth: bool `(H, W)`, if given.
    """

    id: str
    series: str
    picture: Picture
    p8: np.ndarray
    u8: np.ndarray | None
    confidence: str | None
    familiar: bool | None
    presence: float | None
    generated: bool
    rules: PostProcessing
    network: str
    seconds: float
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Example:
    """An image the page offers, with its truth if that is known."""

    picture: Picture
    caption: str
    truth: np.ndarray | None = None


def analyse(
    segmenter: Segmenter,
    picture: Picture,
    truth: np.ndarray | None = None,
    series: str | None = None,
    *,
    generated: bool = False,
) -> Analysed:
    """Run the network on an image; a new series begins unless one is given.

    Of a picture unlike the network's training images it is not sure, whatever it says; only a
    `generated` one is known to be a phantom, and is not held to that.
    """
    started = time.perf_counter()
    found = segmenter.examine(picture.pixels)
    seconds = time.perf_counter() - started
    familiar = None if generated else found.familiar
    u8 = None if found.uncertainty is None else quantise(found.uncertainty)
    name = secrets.token_hex(8)
    network = f"{segmenter.name} {segmenter.version}".strip()
    rules = segmenter.postprocessing
    return Analysed(
        name,
        series or name,
        picture,
        quantise(found.probability),
        u8,
        "low" if found.confidence and familiar is False else found.confidence,
        familiar,
        found.presence,
        generated,
        rules,
        network,
        seconds,
        truth,
    )


def result_at(analysed: Analysed, threshold: float | None = None) -> Result:
    """Mask and findings at a threshold in [0, 1]; the network's own if None.

    Raises:
        ValueError: The threshold lies outside [0, 1].
    """
    threshold = analysed.rules.threshold if threshold is None else threshold
    mask = segment(analysed.p8, analysed.rules, threshold, analysed.presence)
    regions = findings.find_regions(mask, analysed.p8, analysed.picture.spacing_mm)
    confidence = analysed.confidence
    if analysed.familiar is not False:  # the word is of the answer at the network's own threshold
        own = segment(analysed.p8, analysed.rules, presence=analysed.presence)
        confidence = confidence if own.any() == mask.any() else None
    return Result(
        analysed.picture.pixels,
        mask,
        regions,
        threshold,
        analysed.network,
        confidence,
        analysed.familiar,
        analysed.presence,
        closed_gate(analysed.p8, analysed.rules, analysed.presence),
    )


def read_truth(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """A ground-truth mask of that shape `(H, W)` from an image file: bool, true above mid-grey.

    Raises:
        ImageError: Unreadable, or of another size.
    """
    pixels = read_image(path)
    mask = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 127
    if mask.shape != shape:
        raise ImageError(
            f"The mask is {mask.shape[1]} × {mask.shape[0]} pixels, the image {shape[1]} × "
            f"{shape[0]}. Choose the mask that belongs to this image."
        )
    return mask


def example_images(folder: Path) -> list[Example]:
    """Generated phantoms, then the images in a local folder, if there is one."""
    examples = []
    for kind, seed in PHANTOMS:
        phantom = make_phantom(seed, kind)
        picture = Picture(phantom.image, (SPACING_MM, SPACING_MM))
        examples.append(Example(picture, kind, phantom.mask))
    for path in sorted(folder.glob("*")):
        try:
            examples.append(Example(Picture(read_image(path)), path.stem))
        except ImageError as error:
            print(f"{folder.name}/{error}")
    return examples
