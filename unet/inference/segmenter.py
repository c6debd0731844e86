"""`Segmenter`: an image in, its lesion probability and mask out, at the image's own size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unet.config import InferenceConfig
from unet.core.image import (
    crop_and_enlarge,
    resize_probability,
    shrink_and_pad,
    to_grey,
    to_input,
    with_empty_prompts,
)
from unet.core.mask import PostProcessing, quantise, to_level
from unet.core.prompts import (
    Prompts,
    crop_prompts,
    draw_prompts,
    keep_prompted_regions,
    zoom_window,
)
from unet.core.windows import Window, blend_window, second_window
from unet.inference.bundle import SERVED_FILES, WEIGHTS, BundleError, BundleInfo, verify
from unet.inference.confidence import Confidence, agreement, disagreement
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.onnx_model import (
    CHANNELS_WITH_PROMPTS,
    GRAPH,
    PROBABILITY,
    OnnxModel,
    OnnxModelError,
)
from unet.inference.ood_detector import OODDetector
from unet.inference.prediction import ModelId, Prediction

if TYPE_CHECKING:
    from PIL import Image

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Gives a network's outputs for a batch, as `unet.inference.onnx_model.OnnxModel` does."""


@dataclass(frozen=True)
class TTAOutput:
    """The network's outputs for an image and for the other views of it that are averaged.

    Attributes:
        probability: float32 `(V, S, S)` in [0, 1], none of them mirrored or smaller.
        familiar, presence: As in `unet.inference.prediction.Prediction`.
    """

    probability: np.ndarray
    familiar: bool | None
    presence: float | None


class Segmenter:
    """A trained network with its mapping from and to images and its post-processing.

    Safe to share between threads: one prediction runs at a time, on all cores.

    Attributes:
        network: Its name, the weights' sha256 and the revision.
        postprocessing: How its probability becomes a mask.
        presence: Tells whether there is a lesion at all; None if the network does not.
        confidence: Which agreement of views counts as high or low; None where there is one view.
        interactive: Whether the network is shown what a person points at.
    """

    def __init__(
        self,
        run: Run,
        size: int,
        network: ModelId,
        postprocessing: PostProcessing,
        *,
        inference: InferenceConfig = InferenceConfig(),
        familiarity: OODDetector | None = None,
        presence: LesionClassifier | None = None,
        confidence: Confidence | None = None,
        interactive: bool = False,
    ):
        """Wrap what runs a network whose input is of that size, and run it once.

        An image's probability is the mean of the outputs for the views that `inference` names. An
        `interactive` network is shown prompts beside the image.

        Raises:
            OnnxModelError: The network cannot be run, or gives something else than it should.
            ValueError: OODDetector or presence ask for features that the network does not give.
        """
        self.network = network
        self.postprocessing = postprocessing
        self.inference = inference
        self._familiarity = familiarity
        self.presence = presence
        # Of one view there is no agreement.
        self.confidence = confidence if inference.views > 1 else None
        self.interactive = interactive
        self._size = size
        self._lock = threading.Lock()
        self._run = run
        try:
            self.network_output(np.zeros((size, size), np.uint8))
        except KeyError as error:
            raise ValueError(f"the network has no output {error}") from None

    @classmethod
    def load(cls, folder: str | Path, revision: str | None = None) -> Segmenter:
        """Load a bundle directory, such as `weights/unet`.

        Args:
            folder: The bundle.
            revision: Commit on the Hub it was fetched at, to be named in what it says.

        Raises:
            unet.inference.bundle.BundleError: Not a whole, unaltered bundle.
        """
        info = verify(folder, SERVED_FILES)
        graph = load_onnx(folder, info)
        try:
            return cls(
                graph,
                graph.size,
                ModelId(info.model.name, info.sha256[WEIGHTS], revision),
                info.postprocessing,
                inference=info.inference,
                familiarity=info.familiarity,
                presence=info.presence,
                confidence=info.confidence,
                interactive=graph.interactive,
            )
        except OnnxModelError as error:
            raise BundleError(f"{folder}: {error}") from error
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"{folder}: familiarity or presence in unet.json does not fit the network: "
                f"{str(error)[:200]}"
            ) from error

    @classmethod
    def from_hub(cls, repo: str, revision: str | None = None) -> Segmenter:
        """Fetch a bundle from the Hugging Face Hub, verify it and load it.

        Args:
            repo: "USER/NAME".
            revision: Branch, tag or commit; the main branch if None. A full commit hash that was
                fetched before needs no network.

        Raises:
            unet.inference.hub.HubError: Not there or not reached; the message says what to do.
            unet.inference.bundle.BundleError: What came is not a whole bundle.
        """
        from unet.inference.hub import fetch

        return cls.load(*fetch(repo, revision))

    @property
    def name(self) -> str:
        """The network's name."""
        return self.network.name

    @property
    def threshold(self) -> float:
        """The probability from which a pixel counts as lesion, chosen on validation; in [0, 1]."""
        return self.postprocessing.threshold

    def predict_views(
        self, image: Image.Image | np.ndarray, prompts: Prompts | None = None
    ) -> TTAOutput:
        """Run the network on the image and on the other views of it that are averaged.

        A picture of one grey, such as a clip's black first frame, shows nothing, whatever the
        network makes of it.

        Raises:
            ValueError: There are prompts, and the network is not shown any.
        """
        if prompts and not self.interactive:
            raise ValueError(f"the network {self.name} takes no prompts")
        grey = to_grey(image)
        x = to_input(grey, self._size)  # (S, S, 1)
        if prompts:
            x = np.concatenate([x, draw_prompts(prompts, *grey.shape, self._size)], axis=2)
        views = self.predict_input_views(x)
        if grey.min() == grey.max():
            return replace(views, probability=np.zeros_like(views.probability), familiar=False)
        return views

    def predict_input_views(self, x: np.ndarray) -> TTAOutput:
        """Predict views of an input that is float32 `(S, S, 1)` in [0, 1] already.

        With maps of prompts beside it, it is `(S, S, 3)`.
        """
        batch = x[None]  # (1, S, S, C)
        if self.interactive:
            batch = with_empty_prompts(batch, CHANNELS_WITH_PROMPTS)
        image = batch[0]
        flip, scales = self.inference.flip, self.inference.scales[1:]
        if flip:
            batch = np.concatenate([batch, image[None, :, ::-1]])
        for scale in scales:
            batch = np.concatenate([batch, shrink_and_pad(image, scale)[None]])
        with self._lock:
            outputs = self._run(batch)
        probability = np.array(outputs[PROBABILITY][:, :, :, 0])  # (V, S, S)
        if flip:
            probability[1] = probability[1, :, ::-1].copy()
        for place, scale in enumerate(scales, start=1 + flip):
            probability[place] = crop_and_enlarge(probability[place], scale)
        familiar = presence = None
        if self._familiarity:
            familiar = self._familiarity.knows(outputs[self._familiarity.layer][0])
        if self.presence:
            features = np.concatenate([outputs[name] for name in self.presence.layers], axis=1)
            # A smaller view adds nothing to it, out of fold or with BUSI left out of the training.
            full_size = features[: 1 + flip]
            presence = self.presence.probability(full_size)
        return TTAOutput(probability, familiar, presence)

    def network_output(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """The probability at the network's own size: float32 `(S, S)` in [0, 1]."""
        return self.predict_views(image).probability.mean(axis=0)

    def analyze(
        self, image: Image.Image | np.ndarray, prompts: Prompts | None = None
    ) -> Prediction:
        """Everything the network says of an image, and of what a person points at in it.

        Args:
            image: See `predict`.
            prompts: In pixels of the image. A positive prompt disables the presence gate.

        Raises:
            ValueError: There are prompts, and the network is not shown any.
        """
        grey = to_grey(image)
        views = self.predict_views(grey, prompts)
        if not prompts:
            return self.predict_from(grey, views)
        prediction = self.prediction_of(views, *grey.shape)
        if not prompts.has_positive:
            return prediction
        window = zoom_window(prompts, *grey.shape)
        if window is not None:
            seen = self.predict_views(_cut(grey, window), crop_prompts(prompts, window))
            maps = _blended(grey.shape, views, seen, window, weight=0.5)
            prediction = replace(prediction, **_quantised(maps), agreement=None)
        least = max(1, to_level(self.postprocessing.threshold))
        prediction = replace(
            prediction,
            probability_u8=keep_prompted_regions(prediction.probability_u8, prompts, least),
        )
        return prediction.without_gates()

    def predict_from(self, grey: np.ndarray, views: TTAOutput) -> Prediction:
        """Build the prediction for a grey image uint8 `(H, W)` from the network's outputs for it.

        With a second look, where the network takes one.
        """
        prediction = self.prediction_of(views, *grey.shape)
        maps = self._second_look(grey, views, prediction.probability_u8)
        return prediction if maps is None else replace(prediction, **_quantised(maps))

    def _second_look(
        self, grey: np.ndarray, views: TTAOutput, probability_u8: np.ndarray
    ) -> Maps | None:
        """The maps with those of the window about the largest candidate; None where it has none."""
        weight = self.inference.second_look
        window = second_window(probability_u8) if weight else None
        if window is None:
            return None
        return _blended(grey.shape, views, self.predict_views(_cut(grey, window)), window, weight)

    def prediction_of(self, views: TTAOutput, height: int, width: int) -> Prediction:
        """Build the prediction for an image of that size in pixels from the network's outputs."""
        maps = views.probability
        several = len(maps) > 1
        return Prediction(
            quantise(resize_probability(maps.mean(axis=0), height, width)),
            quantise(resize_probability(disagreement(maps), height, width)) if several else None,
            agreement(maps) if several else None,
            views.presence,
            views.familiar,
            self.postprocessing,
            self.network,
            self.confidence,
        )

    def predict(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """The lesion probability of each pixel.

        Args:
            image: A PIL image, or a uint8 array `(H, W)` or `(H, W, 3)`.

        Returns:
            float32 `(H, W)` in [0, 1], the image's own size.

        Raises:
            TypeError, ValueError: Something else was given; see `unet.core.image.to_grey`.
        """
        grey = to_grey(image)
        views = self.predict_views(grey)
        probability = resize_probability(views.probability.mean(axis=0), *grey.shape)
        maps = self._second_look(grey, views, quantise(probability))
        return probability if maps is None else maps[0]

    def segment(
        self, image: Image.Image | np.ndarray, threshold: float | None = None
    ) -> np.ndarray:
        """The lesion mask: bool `(H, W)`, with the network's own post-processing.

        Args:
            image: See `predict`.
            threshold: In place of the network's own, in [0, 1].
        """
        return self.analyze(image).segment(threshold).mask


Maps = tuple[np.ndarray, np.ndarray | None]
"""Probability and disagreement of views, float32 `(H, W)` each; no disagreement of one view."""


def _cut(grey: np.ndarray, window: Window) -> np.ndarray:
    left, top, right, bottom = window
    return grey[top:bottom, left:right]


def _blended(
    shape: tuple[int, int], whole: TTAOutput, seen: TTAOutput, window: Window, weight: float
) -> Maps:
    """The maps of an image of that shape, blended with those of a window of it."""
    left, top, right, bottom = window

    def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        closer = resize_probability(second, bottom - top, right - left)
        return blend_window(resize_probability(first, *shape), closer, window, weight)

    first, second = whole.probability, seen.probability  # (V, S, S)
    apart = both(disagreement(first), disagreement(second)) if len(first) > 1 else None
    return both(first.mean(axis=0), second.mean(axis=0)), apart


def _quantised(maps: Maps) -> dict[str, np.ndarray | None]:
    probability, apart = maps
    return {
        "probability_u8": quantise(probability),
        "disagreement_u8": None if apart is None else quantise(apart),
    }


def load_onnx(folder: str | Path, info: BundleInfo) -> OnnxModel:
    """The bundle's graph.

    Raises:
        BundleError: The graph is not one to be run, or not of the network that `info` describes.
    """
    folder = Path(folder)
    try:
        graph = OnnxModel(folder / GRAPH)
    except OnnxModelError as error:
        raise BundleError(f"{folder}: {error}") from error
    if graph.size != info.model.input_size:
        raise BundleError(
            f"{folder}: {GRAPH} takes images of {graph.size} pixels, unet.json says "
            f"{info.model.input_size}. Fetch the bundle again."
        )
    return graph
