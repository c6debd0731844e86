"""Settings of a network and of its training, as frozen dataclasses with JSON both ways."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, TypeVar

C = TypeVar("C")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network.

    The defaults are the network of Cheng, Illanko and Khan, *Image Segmentation of Breast Cancer
    Ultrasounds using U-Net Architecture*. The paper states no dropout for the bottleneck; 0.3
    continues its rising series.

    Attributes:
        name: The network's name, and that of its folder in `weights/`.
        input_size: Height and width of the square input in pixels; a multiple of
            2 ** len(filters).
        filters: Filters of each encoder block, from full resolution down; the decoder mirrors them.
        dropout: Dropout rate of each encoder block; the decoder mirrors them.
        bottleneck_filters: Filters of the block between encoder and decoder.
        bottleneck_dropout: Dropout rate of that block.
    """

    name: str = "unet"
    input_size: int = 256
    filters: tuple[int, ...] = (32, 64, 128, 256)
    dropout: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    bottleneck_filters: int = 512
    bottleneck_dropout: float = 0.3

    def __post_init__(self) -> None:
        if len(self.filters) != len(self.dropout) or not self.filters:
            raise ValueError(
                "ModelConfig: filters and dropout need one entry for each encoder block. "
                f"Received: filters={self.filters}, dropout={self.dropout}"
            )
        multiple = 2 ** len(self.filters)
        if self.input_size < multiple or self.input_size % multiple:
            raise ValueError(
                f"ModelConfig: input_size must be a multiple of {multiple}, so that the decoder "
                f"meets the skips. Received: {self.input_size}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. The paper states the loss and the split; the rest is our choice.

    Attributes:
        epochs: Passes over the training cases; the learning rate falls to zero over them.
        batch_size: Images a step.
        learning_rate: Peak rate of Adam, after `warmup_epochs` of linear rise, before the cosine.
        warmup_epochs: Epochs of linear warm-up.
        augment: Whether training images are flipped, warped and changed in grey values.
        patience: Epochs without a better validation score after which training stops.
        precision: Keras dtype policy in training, "float32" or "mixed_bfloat16". The weights are
            float32 either way.
        seed: Seeds weights, dropout, shuffling and augmentation.
        split_seed: Seeds the split into test, validation and train.
        test_fraction: Share of all cases held out for the final report.
        validation_fraction: Share of the other cases on which everything is chosen.
    """

    epochs: int = 60
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_epochs: int = 2
    augment: bool = True
    patience: int = 25
    precision: str = "float32"
    seed: int = 0
    split_seed: int = 0
    test_fraction: float = 0.1
    validation_fraction: float = 0.2

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"TrainConfig: {name} must be at least 1. Received: {getattr(self, name)}"
                )
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise ValueError(
                "TrainConfig: precision must be 'float32' or 'mixed_bfloat16'. "
                f"Received: {self.precision!r}"
            )
        for name in ("test_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"TrainConfig: {name} must lie between 0 and 1. Received: {getattr(self, name)}"
                )


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass instance as JSON-ready values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[C], values: dict[str, Any]) -> C:
    """Build dataclass `cls` from `to_dict`'s output; absent fields take their defaults.

    Raises:
        ValueError: A field is unknown or of another type than the default's.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__}: expected a JSON object. Received: {values!r:.80}")
    fields = {field.name: field.default for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(
            f"{cls.__name__}: unknown field(s) {', '.join(unknown)}; known: {', '.join(fields)}"
        )
    return cls(**{name: _checked(cls, name, fields[name], value) for name, value in values.items()})


def _checked(cls: type, name: str, default: Any, value: Any) -> Any:
    """`value` in the type of `default`, or a ValueError that names the field."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(_checked(cls, name, default[0], item) for item in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ValueError(
            f"{cls.__name__}: {name} must be like {default!r}. Received: {value!r:.80}"
        )
    return value
