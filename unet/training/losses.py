"""Loss and training metrics for Keras, in `keras.ops` only."""

from __future__ import annotations

import keras
from keras import ops


def dice(y_true, y_pred):
    """Dice coefficient of each image at threshold 0.5; two empty masks count as 1.

    Given to `compile` as a metric it is averaged over images, not over batches.

    Args:
        y_true: `(B, S, S, 1)`, 0 or 1.
        y_pred: float `(B, S, S, 1)` in [0, 1].

    Returns:
        float32 `(B,)` in [0, 1].
    """
    truth = ops.cast(y_true, "float32")
    mask = ops.cast(y_pred >= 0.5, "float32")
    overlap = ops.sum(truth * mask, axis=(1, 2, 3))  # (B,)
    total = ops.sum(truth, axis=(1, 2, 3)) + ops.sum(mask, axis=(1, 2, 3))  # (B,)
    return ops.where(total > 0, 2 * overlap / ops.maximum(total, 1.0), 1.0)


def cross_entropy(y_true, y_pred):
    """Mean binary cross-entropy of each image, the paper's loss.

    Args:
        y_true: `(B, S, S, 1)`, 0 or 1.
        y_pred: float `(B, S, S, 1)` in [0, 1].

    Returns:
        float32 `(B,)`, at least 0.
    """
    truth = ops.cast(y_true, "float32")
    return ops.mean(keras.losses.binary_crossentropy(truth, y_pred), axis=(1, 2))


def cross_entropy_dice(y_true, y_pred):
    """Mean binary cross-entropy plus soft Dice loss (Milletari et al., *V-Net*, 3DV 2016).

    Without a lesion there is no overlap to ask for, and cross-entropy alone counts: a Dice term
    would be steepest where next to nothing is marked, and teach the network to mark exactly
    nothing wherever it doubts.

    Args:
        y_true: `(B, S, S, 1)`, 0 or 1.
        y_pred: float `(B, S, S, 1)` in [0, 1].

    Returns:
        float32 `(B,)`, at least 0.
    """
    truth = ops.cast(y_true, "float32")
    overlap = ops.sum(truth * y_pred, axis=(1, 2, 3))  # (B,)
    total = ops.sum(truth, axis=(1, 2, 3)) + ops.sum(y_pred, axis=(1, 2, 3))  # (B,)
    soft_dice = 1.0 - 2 * overlap / ops.maximum(total, 1.0)
    has_lesion = ops.max(truth, axis=(1, 2, 3))  # 0 or 1
    return cross_entropy(y_true, y_pred) + has_lesion * soft_dice


PRESENCE_WEIGHT = 0.3
"""Weight of the presence loss beside the segmentation loss."""


def compile_arguments(loss: str = "cross_entropy", presence: bool = False) -> dict:
    """The loss of that name (the paper's by default) and the curves of the paper's figures 4 to 6.

    `iou` is over the pixels of all images at threshold 0.5 (of a network with prompts in training,
    its mean over batches); `dice` is what the best epoch is chosen by.

    Args:
        loss: One of `unet.config.LOSSES`.
        presence: Whether the network has the output "presence" beside "probability".
    """
    function = {"cross_entropy": cross_entropy, "cross_entropy_dice": cross_entropy_dice}[loss]
    metrics = [
        keras.metrics.BinaryAccuracy(name="accuracy"),
        keras.metrics.BinaryIoU(target_class_ids=[1], threshold=0.5, name="iou"),
        keras.metrics.MeanMetricWrapper(dice, name="dice"),
    ]
    if not presence:
        return {"loss": function, "metrics": metrics}
    return {
        "loss": {"probability": function, "presence": keras.losses.BinaryCrossentropy()},
        "loss_weights": {"probability": 1.0, "presence": PRESENCE_WEIGHT},
        "metrics": {"probability": metrics, "presence": [keras.metrics.AUC(name="auc")]},
    }
