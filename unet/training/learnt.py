"""What a finished network learns about itself: presence, familiarity, limits of confidence."""

from __future__ import annotations

import keras
import numpy as np

from unet.config import ModelConfig
from unet.data.batches import STRONG, augmented
from unet.evaluation.scores import Map
from unet.inference.confidence import Confidence
from unet.inference.familiarity import Familiarity
from unet.inference.postprocessing import PostProcessing
from unet.inference.prediction import Network
from unet.inference.presence import Presence
from unet.inference.segmenter import Segmenter, with_features
from unet.networks import architecture
from unet.training.loop import Examples, Trained

LOW_SHARE, MEDIUM_SHARE = 0.15, 0.4
"""Shares of the validation images with a mask, those whose views agree least, that get "low" and at
most "medium"."""
BATCH = 16
UNSEEN = 1_000_000
"""Added to the seed of augmentation, so that these are not the pictures of training."""


def learn_familiarity(
    network: keras.Model,
    model_config: ModelConfig,
    train_images: np.ndarray,
    validation_images: np.ndarray,
    seed: int,
) -> Familiarity:
    """What the training images look like to the network's early features.

    Images are taken as they are and as strong augmentation makes them, so that another scanner's
    picture is no surprise; the limit is set on validation images treated in the same way.

    Args:
        train_images, validation_images: float32 `(N, S, S, 1)` in [0, 1].
        seed: Seeds the augmentation.
    """
    layer = architecture(model_config).familiarity_layer(model_config)

    def features(images: np.ndarray) -> np.ndarray:
        changed, _ = altered(images, np.zeros(images.shape, bool), UNSEEN + seed)
        return pooled_features(network, [layer], np.concatenate([images, changed]))

    return Familiarity.fit(layer, features(train_images), features(validation_images))


def learn_presence(
    network: keras.Model, model_config: ModelConfig, examples: Examples, seed: int
) -> Presence:
    """Tell images with a lesion from those without by the network's deep features.

    Learnt on the training images as they are, mirrored, and twice as strong augmentation makes
    them: the network knows the first two by heart.

    Args:
        examples: Images, their masks, and pieces of them, if any.
        seed: Seeds the augmentation.
    """
    images, masks = examples.images, examples.masks
    layers = architecture(model_config).presence_layers(model_config)
    versions = [(images, masks), (images[:, :, ::-1], masks)]
    versions += [altered(images, masks, UNSEEN + seed + number) for number in (0, 1)]
    features = [pooled_features(network, layers, version) for version, _ in versions]
    present = [version.any(axis=(1, 2, 3)) for _, version in versions]
    return Presence.fit(tuple(layers), np.concatenate(features), np.concatenate(present))


def segmenter_without_rules(
    trained: Trained, model_config: ModelConfig, examples: Examples, seed: int
) -> Segmenter:
    """The network with its presence, learnt on these images if not before, to choose rules with.

    Args:
        examples, seed: As in `learn_presence`.
    """
    presence = trained.presence
    if presence is None:
        presence = learn_presence(trained.network, model_config, examples, seed)
    return Segmenter(
        trained.network,
        Network(model_config.name),
        PostProcessing(),
        flip=model_config.flip_averaging,
        presence=presence,
    )


def altered(images: np.ndarray, masks: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images as another scanner might have made them, with their masks, in the same order.

    Args:
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`; a lesion may leave the picture.
        seed: The same seed gives the same pictures.
    """
    pairs = [
        augmented(image, mask.astype(np.float32), np.array([seed, number]), STRONG)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs]) > 0


def pooled_features(network: keras.Model, layers: list[str], images: np.ndarray) -> np.ndarray:
    """The layers' features averaged over each image and joined: float32 `(N, D)`."""
    outputs = with_features(network, layers).predict(images, batch_size=BATCH, verbose=0)
    return np.concatenate([outputs[name] for name in layers], axis=1)


def choose_confidence(maps: list[Map], rules: PostProcessing) -> Confidence | None:
    """Limits of agreement that give the least agreeing validation masks "low" and "medium"."""
    agreements = [m.prediction.agreement for m in maps if m.mask(rules).any()]
    if not agreements or None in agreements:
        return None
    low, high = np.quantile(agreements, [LOW_SHARE, MEDIUM_SHARE])
    return Confidence(round(float(low), 3), round(float(high), 3))
