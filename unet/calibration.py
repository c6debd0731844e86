"""What a finished network learns about itself: calibration, confidence, familiarity, presence."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from unet.confidence import Confidence
from unet.config import ModelConfig
from unet.efficientnet_unet import STAGES
from unet.evaluation import CaseResult, Map, final_mask
from unet.familiarity import Familiarity
from unet.inference import Segmenter, with_features
from unet.pipeline import strongly_augmented
from unet.postprocessing import PostProcessing
from unet.preprocessing import mask_to_input
from unet.presence import Presence

BINS = 10
LOW_SHARE, MEDIUM_SHARE = 0.15, 0.4
"""Shares of the validation images with a mask, those whose views agree least, that get "low" and at
most "medium"."""
BATCH = 16
UNSEEN = 1_000_000
"""Added to the seed of augmentation, so that these are not the pictures of training."""


def calibration_curve(maps: list[Map]) -> dict[str, Any]:
    """How often pixels of each probability are lesion, at the network's size.

    Returns:
        `bins`: for each tenth of [0, 1] that holds pixels their `share` of all pixels, mean
        `probability` and `frequency` of lesion; `expected_calibration_error`: the mean of
        |probability − frequency| weighted by share (Guo et al., *On Calibration of Modern Neural
        Networks*, ICML 2017).
    """
    count, total, lesion = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for m in maps:
        probability = m.square.ravel().astype(np.float64)
        truth = mask_to_input(m.truth, m.square.shape[0]).ravel()
        bins = np.minimum((probability * BINS).astype(int), BINS - 1)
        count += np.bincount(bins, minlength=BINS)
        total += np.bincount(bins, probability, BINS)
        lesion += np.bincount(bins, truth, BINS)
    used = count > 0
    share = count[used] / count.sum()
    probability, frequency = total[used] / count[used], lesion[used] / count[used]
    rows = zip(share.tolist(), probability.tolist(), frequency.tolist())
    names = ("share", "probability", "frequency")
    return {
        "bins": [dict(zip(names, row)) for row in rows],
        "expected_calibration_error": float(np.sum(share * np.abs(probability - frequency))),
    }


def choose_confidence(maps: list[Map], rules: PostProcessing) -> Confidence | None:
    """Limits of agreement that give the least agreeing validation masks "low" and "medium"."""
    agreements = [m.agreement for m in maps if final_mask(m, rules).any()]
    if not agreements or None in agreements:
        return None
    low, high = np.quantile(agreements, [LOW_SHARE, MEDIUM_SHARE])
    return Confidence(round(float(low), 3), round(float(high), 3))


def dice_by_confidence(results: list[CaseResult], confidence: Confidence) -> dict[str, Any]:
    """For each word: how many images, and their mean Dice."""
    dice: dict[str, list[float]] = {}
    for result in results:
        final = result.scores["final"].confusion
        found = final.true_positive + final.false_positive > 0
        word = confidence.word(result.agreement, result.peak, found)
        dice.setdefault(word, []).append(final.dice)
    return {word: {"images": len(d), "dice": float(np.mean(d))} for word, d in dice.items()}


def learn_familiarity(
    network: keras.Model,
    model_config: ModelConfig,
    train_images: np.ndarray,
    validation_images: np.ndarray,
    seed: int,
) -> Familiarity:
    """What the training images look like to the network's early features.

    Images are taken as they are and as `strongly_augmented` makes them, so that another scanner's
    picture is no surprise; the limit is set on validation images treated in the same way.

    Args:
        train_images, validation_images: float32 `(N, S, S, 1)` in [0, 1].
        seed: Seeds the augmentation.
    """
    layer = familiarity_layer(model_config)

    def features(images: np.ndarray) -> np.ndarray:
        changed, _ = altered(images, np.zeros(images.shape, bool), UNSEEN + seed)
        return pooled_features(network, [layer], np.concatenate([images, changed]))

    return Familiarity.fit(layer, features(train_images), features(validation_images))


def learn_presence(
    network: keras.Model,
    model_config: ModelConfig,
    images: np.ndarray,
    masks: np.ndarray,
    seed: int,
) -> Presence:
    """Tell images with a lesion from those without by the network's deep features.

    Learnt on the training images as they are, mirrored, and twice as `strongly_augmented` makes
    them: the network knows the first two by heart.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
        seed: Seeds the augmentation.
    """
    layers = presence_layers(model_config)
    versions = [(images, masks), (images[:, :, ::-1], masks)]
    versions += [altered(images, masks, UNSEEN + seed + number) for number in (0, 1)]
    features = [pooled_features(network, layers, version) for version, _ in versions]
    present = [version.any(axis=(1, 2, 3)) for _, version in versions]
    return Presence.fit(tuple(layers), np.concatenate(features), np.concatenate(present))


def segmenter_without_rules(
    network: keras.Model,
    model_config: ModelConfig,
    images: np.ndarray,
    masks: np.ndarray,
    seed: int,
) -> Segmenter:
    """The network with its presence learnt on these images, to choose its rules with.

    Args:
        images, masks, seed: As in `learn_presence`.
    """
    return Segmenter(
        network,
        model_config.name,
        PostProcessing(),
        flip=model_config.flip_averaging,
        presence=learn_presence(network, model_config, images, masks, seed),
    )


def altered(images: np.ndarray, masks: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images as another scanner might have made them, with their masks, in the same order.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`; a lesion may leave the picture.
        seed: The same seed gives the same pictures.
    """
    pairs = [
        strongly_augmented(image, mask.astype(np.float32), np.array([seed, number]))
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs]) > 0


def pooled_features(network: keras.Model, layers: list[str], images: np.ndarray) -> np.ndarray:
    """The layers' features averaged over each image and joined: float32 `(N, D)`."""
    outputs = with_features(network, layers).predict(images, batch_size=BATCH, verbose=0)
    return np.concatenate([outputs[name] for name in layers], axis=1)


def familiarity_layer(config: ModelConfig) -> str:
    """The layer whose features tell ultrasound from other pictures: texture, not yet lesions."""
    if config.encoder == "plain":
        return f"encoder_{min(len(config.filters), 3)}_relu_2"
    return _stage_output(3)


def presence_layers(config: ModelConfig) -> list[str]:
    """The layers whose features tell whether there is a lesion: the encoder's deepest."""
    if config.encoder == "plain":
        return ["bottleneck_relu_2"]
    return [_stage_output(5), _stage_output(7)]


def _stage_output(stage: int) -> str:
    repeats = STAGES[stage - 1][0]
    return f"encoder_{stage}_{repeats}_{'add' if repeats > 1 else 'project_norm'}"
