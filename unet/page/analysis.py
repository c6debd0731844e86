"""An image analysed: what the page keeps of it, and what people take home."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from unet.inference.prediction import Prediction, Segmentation
from unet.io.examples import Example, read_examples, read_truth
from unet.io.images import Picture
from unet.page import metrics

if TYPE_CHECKING:
    from unet.core.prompts import Prompts
    from unet.inference.segmenter import Segmenter

PHANTOMS = Path(__file__).parent / "phantoms"
"""Made once by `python -m tests.make_phantoms`; made at every start they would cost a second."""

Drawn = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
"""Who drew a mask, in DICOM's words: the network, a person after the network, or a person alone."""


@dataclass(frozen=True)
class Analysis:
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
        clip_path: The file that a frame of a clip was read from; None for other pictures.
        prompts: What a person has pointed at, whose answer this is; None where nobody has.
    """

    id: str
    series: str
    picture: Picture
    prediction: Prediction
    seconds: float
    generated: bool = False
    truth: np.ndarray | None = None
    truth_path: str | None = None
    clip_path: str | None = None
    prompts: Prompts | None = None

    def segment(
        self,
        threshold: float | None = None,
        *,
        edited: np.ndarray | None = None,
        calibrated_mm: tuple[float, float] | None = None,
    ) -> Segmentation:
        """Mask and findings at a threshold in [0, 1]; the network's own if None.

        Args:
            threshold: From which probability on a pixel counts as lesion.
            edited: bool `(H, W)`, the mask as a person has corrected it.
            calibrated_mm: Height and width of a pixel in millimetres as a person has measured
                them out; they go before the picture's own.
        """
        with metrics.step("answer"):
            answer = self.prediction.segment(threshold, calibrated_mm or self.picture.spacing_mm)
        answer = replace(answer, calibrated=calibrated_mm is not None)
        return answer if edited is None else answer.with_manual_mask(edited)


def analyse(
    segmenter: Segmenter,
    picture: Picture,
    truth: np.ndarray | None = None,
    series: str | None = None,
    *,
    generated: bool = False,
    clip_path: str | None = None,
) -> Analysis:
    """Run the network on an image; a new series begins unless one is given.

    A `generated` picture is known to be a phantom, and is not called unfamiliar.
    """
    started = time.perf_counter()
    with metrics.step("network"):
        prediction = segmenter.analyze(picture.pixels)
    seconds = time.perf_counter() - started
    if generated:
        prediction = replace(prediction, familiar=None)
    name = secrets.token_hex(8)
    return Analysis(
        name, series or name, picture, prediction, seconds, generated, truth, clip_path=clip_path
    )


def pointed(segmenter: Segmenter, analysed: Analysis, prompts: Prompts) -> Analysis:
    """Analyse the same picture with prompts by the interactive network.

    Whether the picture looks familiar is for the network to say that saw it without.
    """
    started = time.perf_counter()
    with metrics.step("network"):
        prediction = segmenter.analyze(analysed.picture.pixels, prompts)
    return replace(
        analysed,
        id=secrets.token_hex(8),
        prediction=replace(prediction, familiar=analysed.prediction.familiar),
        seconds=time.perf_counter() - started,
        prompts=prompts,
    )


def again(segmenter: Segmenter, analysed: Analysis) -> Analysis:
    """Analyse the same picture by another network; the truth stays."""
    anew = analyse(segmenter, analysed.picture, analysed.truth, generated=analysed.generated)
    return replace(
        anew,
        series=analysed.series,
        truth_path=analysed.truth_path,
        clip_path=analysed.clip_path,
    )


def with_truth(analysed: Analysis, path: str | None) -> Analysis:
    """Attach the ground truth of a file, or none; a picture keeps its own truth.

    Raises:
        ImageError: As `read_truth`.
    """
    if path == analysed.truth_path:
        return analysed
    truth = None if path is None else read_truth(path, analysed.prediction.probability_u8.shape)
    return replace(analysed, id=secrets.token_hex(8), truth=truth, truth_path=path)


def example_images(folder: Path) -> list[Example]:
    """The images in a local folder, if there is one, then the phantoms."""
    phantoms = [replace(example, generated=True) for example in read_examples(PHANTOMS)]
    return read_examples(folder) + phantoms
