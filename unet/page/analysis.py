"""An image analysed: what the page keeps of it, and what people take home."""

from __future__ import annotations

import csv
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from unet.images.reading import ImageError, Picture, read_image
from unet.inference.prediction import Answer, Prediction

if TYPE_CHECKING:
    from unet.inference.segmenter import Segmenter

PHANTOMS = Path(__file__).parent / "phantoms"
"""Made once by `python -m tests.make_phantoms`; made at every start they would cost a second."""
MASK = "_mask"
LIST = "examples.csv"
COLUMNS = ("file", "caption", "spacing_mm", "source", "shared", "case")

Drawn = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
"""Who drew a mask, in DICOM's words: the network, a person after the network, or a person alone."""


@dataclass(frozen=True)
class Analysed:
    """An image with its probability, kept on the server for the visitor's session.

    Attributes:
        id: Names this analysis.
        series: The same for all frames of a clip, and for an image with and without its truth.
        picture: The image.
        prediction: What the network says of it.
        seconds: Time the network took.
        generated: Whether it is one of the page's own phantoms.
        truth: bool `(H, W)`, if given.
        truth_path: The file that the truth was read from; None for a picture's own.
    """

    id: str
    series: str
    picture: Picture
    prediction: Prediction
    seconds: float
    generated: bool = False
    truth: np.ndarray | None = None
    truth_path: str | None = None

    def answer(
        self,
        threshold: float | None = None,
        *,
        edited: np.ndarray | None = None,
        calibrated_mm: tuple[float, float] | None = None,
    ) -> Answer:
        """Mask and findings at a threshold in [0, 1]; the network's own if None.

        Args:
            threshold: From which probability on a pixel counts as lesion.
            edited: bool `(H, W)`, the mask as a person has corrected it.
            calibrated_mm: Height and width of a pixel in millimetres as a person has measured
                them out; they go before the picture's own.
        """
        answer = self.prediction.answer(threshold, calibrated_mm or self.picture.spacing_mm)
        answer = replace(answer, calibrated=calibrated_mm is not None)
        return answer if edited is None else answer.edited(edited)


@dataclass(frozen=True)
class Example:
    """An image the page offers.

    Attributes:
        picture: The image.
        caption: Under its thumbnail.
        truth: bool `(H, W)`, if known.
        source: Whose image it is, as its owners want to be named.
        shared: Whether its licence lets others have it, as on a page for everybody.
        generated: Whether it is a phantom of this project.
    """

    picture: Picture
    caption: str
    truth: np.ndarray | None = None
    source: str = ""
    shared: bool = False
    generated: bool = False


def analyse(
    segmenter: Segmenter,
    picture: Picture,
    truth: np.ndarray | None = None,
    series: str | None = None,
    *,
    generated: bool = False,
) -> Analysed:
    """Run the network on an image; a new series begins unless one is given.

    A `generated` picture is known to be a phantom, and is not called unfamiliar.
    """
    started = time.perf_counter()
    prediction = segmenter.examine(picture.pixels)
    seconds = time.perf_counter() - started
    if generated:
        prediction = replace(prediction, familiar=None)
    name = secrets.token_hex(8)
    return Analysed(name, series or name, picture, prediction, seconds, generated, truth)


def again(segmenter: Segmenter, analysed: Analysed) -> Analysed:
    """The same picture and truth, by another network."""
    anew = analyse(segmenter, analysed.picture, analysed.truth, generated=analysed.generated)
    return replace(anew, series=analysed.series, truth_path=analysed.truth_path)


def with_truth(analysed: Analysed, path: str | None) -> Analysed:
    """The same with the truth in a file, or with none; a picture keeps its own truth.

    Raises:
        ImageError: As `read_truth`.
    """
    if path == analysed.truth_path:
        return analysed
    truth = None if path is None else read_truth(path, analysed.prediction.p8.shape)
    return replace(analysed, id=secrets.token_hex(8), truth=truth, truth_path=path)


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
    """The images in a local folder, if there is one, then the phantoms."""
    phantoms = [replace(example, generated=True) for example in read_examples(PHANTOMS)]
    return read_examples(folder) + phantoms


def read_examples(folder: Path) -> list[Example]:
    """The images in a folder by name; what is none is told of and left out.

    `NAME_mask.png` is the truth of `NAME.png`. `examples.csv`, where there is one, gives the order
    and more of each, in columns: file, caption, spacing_mm (height and width of a pixel), source,
    shared ("yes" where others may have it) and case (of a data set).
    """
    rows = {}
    if (folder / LIST).exists():
        with (folder / LIST).open(newline="", encoding="utf-8") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
    paths = [path for path in sorted(folder.glob("*")) if not path.stem.endswith(MASK)]
    listed = [folder / Path(name).name for name in rows]
    examples = []
    for path in listed + [path for path in paths if path.name not in {LIST, *rows}]:
        row = rows.get(path.name, {})
        try:
            picture, truth = Picture(read_image(path)), None
            if spacing := row.get("spacing_mm"):
                picture = replace(picture, spacing_mm=(float(spacing), float(spacing)))
            mask = path.with_name(f"{path.stem}{MASK}.png")
            if mask.exists():
                truth = read_truth(mask, picture.pixels.shape[:2])
        except (ImageError, ValueError) as error:
            print(f"{folder.name}/{error}")
            continue
        caption = row.get("caption") or path.stem
        shared = row.get("shared") == "yes"
        examples.append(Example(picture, caption, truth, row.get("source") or "", shared))
    return examples
