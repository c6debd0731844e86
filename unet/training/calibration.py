"""Calibration of a trained network: lesion classifier, OOD detector, confidence."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from sklearn.covariance import shrunk_covariance
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unet.config import ModelConfig, Recipe
from unet.core.image import with_empty_prompts
from unet.core.mask import PostProcessing
from unet.data.augmentation import STRONG
from unet.data.pipeline import augmented
from unet.evaluation.case_scores import CasePrediction
from unet.inference.confidence import Confidence
from unet.inference.keras_export import runner_of, with_features
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.ood_detector import OODDetector
from unet.inference.prediction import ModelId
from unet.inference.segmenter import Segmenter
from unet.networks import architecture
from unet.training.trainer import TrainingSet, TrainResult

LOW_SHARE, MEDIUM_SHARE = 0.15, 0.4
"""Shares of the validation images with a mask, those whose views agree least, that get "low" and at
most "medium"."""
WRONG_LOW = 0.8
"""Share of the validation lesions without a mask whose answer is to be of "low" confidence."""
PENALTY = 1e-3
"""Weight of the squared coefficients of standardised features beside the mean loss."""
MAX_STEPS = 5000
SHRINKAGE = 0.1
"""Weight of a multiple of the identity in the covariance."""
HELD_OUT_SHARE = 0.99
"""Share of the held-out images within the limit of what is familiar."""
BATCH = 16
UNSEEN = 1_000_000
"""Added to the seed of augmentation, so that these are not the pictures of training."""


def fit_ood_detector(
    network: keras.Model,
    model_config: ModelConfig,
    train_images: np.ndarray,
    validation_images: np.ndarray,
    seed: int,
) -> OODDetector:
    """Fit the OOD detector on the training images' early features.

    Images are taken as they are and as strong augmentation makes them, so that another scanner's
    picture is no surprise; the limit is set on validation images treated in the same way.

    Args:
        train_images, validation_images: float32 `(N, S, S, 1)` in [0, 1].
        seed: Seeds the augmentation.
    """
    layer = architecture(model_config).familiarity_layer(model_config)

    def features(images: np.ndarray) -> np.ndarray:
        changed, _ = augment_images(images, np.zeros(images.shape, bool), UNSEEN + seed)
        return pooled_features(network, [layer], np.concatenate([images, changed]))

    return fit_feature_gaussian(layer, features(train_images), features(validation_images))


def fit_feature_gaussian(layer: str, known: np.ndarray, held_out: np.ndarray) -> OODDetector:
    """Learn from the features of training images `(N, D)` and of held-out ones `(M, D)`."""
    mean = known.mean(axis=0)
    covariance = shrunk_covariance(np.cov(known, rowvar=False), shrinkage=SHRINKAGE)
    precision = np.linalg.inv(covariance)
    fitted = OODDetector(layer, mean.astype(np.float32), precision.astype(np.float32), np.inf)
    distances = [fitted.distance(features) for features in held_out]
    limit = float(np.quantile(distances, HELD_OUT_SHARE))
    return replace(fitted, limit=round(limit, 3))


def fit_lesion_classifier(
    network: keras.Model, model_config: ModelConfig, examples: TrainingSet, seed: int
) -> LesionClassifier | None:
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
    versions += [augment_images(images, masks, UNSEEN + seed + number) for number in (0, 1)]
    features = [pooled_features(network, layers, version) for version, _ in versions]
    present = [version.any(axis=(1, 2, 3)) for _, version in versions]
    return fit_lesion_regression(tuple(layers), np.concatenate(features), np.concatenate(present))


def fit_lesion_regression(
    layers: tuple[str, ...], features: np.ndarray, present: np.ndarray
) -> LesionClassifier | None:
    """Learn from features `(N, D)` and from whether there is a lesion, bool `(N,)`.

    Both answers weigh the same, however many images there are of each. None where all are alike.

    Raises:
        RuntimeError: The regression did not converge.
    """
    if present.all() or not present.any():
        return None
    scaler = StandardScaler().fit(features)
    strength = 1 / (PENALTY * len(features))  # of the data, in scikit-learn's terms
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_STEPS)
    regression.fit(scaler.transform(features), present)
    if regression.n_iter_[0] >= MAX_STEPS:
        raise RuntimeError(f"presence: no convergence within {MAX_STEPS} steps")
    weights = regression.coef_[0] / scaler.scale_
    bias = regression.intercept_[0] - weights @ scaler.mean_
    return LesionClassifier(layers, weights.astype(np.float32), float(bias))


def uncalibrated_segmenter(
    trained: TrainResult, recipe: Recipe, examples: TrainingSet
) -> Segmenter:
    """The network with its presence, learnt on these images if not before, to choose rules with."""
    model, presence = recipe.model, trained.presence
    if presence is None:
        presence = fit_lesion_classifier(trained.network, model, examples, recipe.train.seed)
    return Segmenter(
        runner_of(trained.network, presence.layers if presence else ()),
        model.input_size,
        ModelId(model.name),
        PostProcessing(),
        inference=recipe.inference,
        presence=presence,
        interactive=model.interactive,
    )


def augment_images(
    images: np.ndarray, masks: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
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
    inputs = with_empty_prompts(images, network.input_shape[-1])
    outputs = with_features(network, layers).predict(inputs, batch_size=BATCH, verbose=0)
    return np.concatenate([outputs[name] for name in layers], axis=1)


def fit_confidence_thresholds(
    maps: list[CasePrediction], rules: PostProcessing
) -> Confidence | None:
    """Limits that give the least agreeing validation masks "low" and "medium".

    And "low" to at least `WRONG_LOW` of the lesions without a mask, where the network tells how
    likely a lesion is.
    """
    found = [m.mask(rules).any() for m in maps]
    agreements = [m.prediction.agreement for m, has in zip(maps, found) if has]
    if not agreements or None in agreements:
        return None
    low, high = np.quantile(agreements, [LOW_SHARE, MEDIUM_SHARE])
    wrong = [m.prediction.presence for m, has in zip(maps, found) if m.truth.any() and not has]
    none = 1.0
    if wrong and None not in wrong:
        spared = int(len(wrong) * (1 - WRONG_LOW) + 1e-9)  # so many may be thought sure
        none = np.floor(100 * sorted(wrong)[spared]) / 100
    return Confidence(round(float(low), 3), round(float(high), 3), float(none))
