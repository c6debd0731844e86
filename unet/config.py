"""Settings of a network and of its training, as frozen dataclasses with JSON both ways."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

C = TypeVar("C")

ENCODERS = (
    "plain", "efficientnet-lite2", "attention", "residual", "convmixer", "paspp", "convmixformer"
)  # fmt: skip
CHANNELS = ("grey", "edges", "texture")
LOSSES = ("cross_entropy", "cross_entropy_dice")
PRECISIONS = ("float32", "mixed_bfloat16")
CHECKPOINTS = ("best", "last")
TRAINABLE = ("all", "encoder", "decoder")
AUGMENTATIONS = ("none", "mild", "strong")
MAX_WEIGHTS = 50_000_000  # of one convolution in each block
MAX_INPUT_SIZE, MAX_FILTERS, MAX_KERNEL, MAX_BLOCKS = 2048, 4096, 15, 10
"""Far above every network here; what is beyond them came from a damaged file."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network.

    The defaults are the network of Cheng, Illanko and Khan, *Image Segmentation of Breast Cancer
    Ultrasounds using U-Net Architecture*. The paper states no dropout for the bottleneck; 0.3
    continues its rising series.

    Attributes:
        name: The network's name, and that of its folder in `weights/`.
        encoder: One of `ENCODERS`: "plain" for the paper's network, else what sets the network
            apart from it: a published encoder, or another kind of block, skip or bottleneck.
        input_size: Height and width of the square input in pixels; a multiple of the factor by
            which the encoder shrinks it.
        filters: Filters of each plain encoder block, from full resolution down; the decoder
            mirrors them. With a published encoder those of the decoder, from half resolution down.
        dropout: Dropout rates that go with `filters`.
        bottleneck_filters: Filters of the block between a plain encoder and the decoder.
        bottleneck_dropout: Dropout rate of that block.
        kernel: Side of the plain blocks' kernels in pixels, odd.
        strided: Whether convolutions with stride 2 halve the size, in place of pooling.
        channels: Some of `CHANNELS`, "grey" first: what the network computes of the grey image
            before its first block.
        interactive: Whether the network also gets prompts, as two maps beside the grey image:
            "lesion here" and "not here".
    """

    name: str = "unet"
    encoder: str = "plain"
    input_size: int = 256
    filters: tuple[int, ...] = (32, 64, 128, 256)
    dropout: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    bottleneck_filters: int = 512
    bottleneck_dropout: float = 0.3
    kernel: int = 3
    strided: bool = False
    channels: tuple[str, ...] = ("grey",)
    interactive: bool = False

    def __post_init__(self) -> None:
        if len(self.filters) != len(self.dropout) or not self.filters:
            raise ValueError(
                "ModelConfig: filters and dropout need one entry for each encoder block. "
                f"Received: filters={self.filters}, dropout={self.dropout}"
            )
        self._check_numbers()
        if self.encoder not in ENCODERS:
            raise ValueError(
                f"ModelConfig: encoder must be one of {', '.join(ENCODERS)}. "
                f"Received: {self.encoder!r}"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"ModelConfig: kernel must be odd. Received: {self.kernel}")
        # In the order of CHANNELS and each once, so that one network has one description.
        if self.channels[:1] != ("grey",) or self.channels != tuple(
            name for name in CHANNELS if name in self.channels
        ):
            raise ValueError(
                f"ModelConfig: channels must be grey, or it and some of {', '.join(CHANNELS[1:])} "
                f"in this order. Received: {self.channels}"
            )
        if self.interactive and self.encoder != "efficientnet-lite2":
            raise ValueError(
                "ModelConfig: only the encoder efficientnet-lite2 takes prompts. "
                f"Received: interactive=True, encoder={self.encoder!r}"
            )

    def _check_numbers(self) -> None:
        """Raise ValueError for numbers that no machine here would hold a network of."""
        rates = (*self.dropout, self.bottleneck_dropout)
        filters = (*self.filters, self.bottleneck_filters)
        for name, values, least, most in (
            ("input_size", [self.input_size], 1, MAX_INPUT_SIZE),
            ("filters and bottleneck_filters", filters, 0, MAX_FILTERS),
            ("dropout", rates, 0, 0.99),
            ("kernel", [self.kernel], 1, MAX_KERNEL),
        ):
            if not all(least <= value <= most for value in values) or len(values) > MAX_BLOCKS + 1:
                raise ValueError(
                    f"ModelConfig: {name} must lie between {least} and {most}, for at most "
                    f"{MAX_BLOCKS} blocks. Received: {list(values)!r:.80}"
                )
        if self.kernel**2 * sum(count**2 for count in filters) > MAX_WEIGHTS:
            raise ValueError(
                "ModelConfig: kernel and filters ask for more weights than any network here has. "
                f"Received: kernel={self.kernel}, filters={filters!r:.80}"
            )


@dataclass(frozen=True)
class InferenceConfig:
    """Settings of inference: the averaged views of an image, and a second look.

    Attributes:
        flip: Whether its mirror image is one of them.
        scales: Sizes at which the image is shown, as shares of the input's side, in the middle of
            black; the first is 1. Lesions of another hospital stand larger or smaller on the
            picture than those trained on.
        second_look: Weight, in [0, 1), of a second answer for the window about the largest
            candidate, which is shown to the network at its full input size; 0 for none.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    second_look: float = 0.0

    def __post_init__(self) -> None:
        if self.scales[:1] != (1.0,) or not all(0.5 <= scale < 1 for scale in self.scales[1:]):
            raise ValueError(
                "InferenceConfig: scales must be 1 and others of at least 0.5 and below 1. "
                f"Received: {self.scales}"
            )
        if not 0 <= self.second_look < 1:
            raise ValueError(
                "InferenceConfig: second_look must be at least 0 and below 1. "
                f"Received: {self.second_look}"
            )

    @property
    def views(self) -> int:
        """Number of averaged views of an image."""
        return self.flip + len(self.scales)


CHOICES = {
    "precision": PRECISIONS,
    "loss": LOSSES,
    "checkpoint": CHECKPOINTS,
    "trainable": TRAINABLE,
    "augmentation": AUGMENTATIONS,
}
"""Values of the fields of `TrainConfig` that take one of several names."""


@dataclass(frozen=True)
class TrainConfig:
    """Training settings. The paper states the loss and the split; the rest is our choice.

    Attributes:
        epochs: Passes over the training cases; the learning rate falls to zero over them.
        batch_size: Images a step.
        learning_rate: Peak rate of AdamW, after `warmup_epochs` of linear rise, before the cosine.
        warmup_epochs: Epochs of linear warm-up.
        weight_decay: Of AdamW, times the rate; at 0 it is Adam.
        loss: One of `LOSSES`.
        pretrained: Whether a published encoder starts from its ImageNet weights.
        trainable: The layers that are trained, one of `TRAINABLE`: "all", "encoder" or "decoder".
            The rest keeps its weights (Amiri, Brooks and Rivaz, IEEE TUFFC 2020).
        augmentation: One of `AUGMENTATIONS`: "none", "mild" (flips, affine maps, grey values), or
            "strong" (the same as widely as scanners differ).
        patches: Whether patches with and without lesions are shown beside whole images.
        windows: Whether windows about lesions, and about the false candidates that a network finds
            where these are given, are shown beside whole images.
        normal_oversampling: How often a normal image is shown for each time one with a lesion is.
        dataset_oversampling: How often the images of a small data set are shown at most for each
            time those of the largest are; see `unet.training.sampling`.
        presence_head: Whether a second output learns if there is a lesion at all.
        checkpoint: The epoch that is kept: the "best" by mean Dice on validation, or the "last".
        patience: Epochs without a better validation score after which training stops, where the
            best is kept.
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
    weight_decay: float = 0.0
    loss: str = "cross_entropy"
    pretrained: bool = False
    trainable: str = "all"
    augmentation: str = "mild"
    patches: bool = False
    windows: bool = False
    normal_oversampling: int = 1
    dataset_oversampling: int = 1
    presence_head: bool = False
    checkpoint: str = "best"
    patience: int = 25
    precision: str = "float32"
    seed: int = 0
    split_seed: int = 0
    test_fraction: float = 0.1
    validation_fraction: float = 0.2

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "patience",
            "normal_oversampling",
            "dataset_oversampling",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"TrainConfig: {name} must be at least 1. Received: {getattr(self, name)}"
                )
        for name in ("warmup_epochs", "seed", "split_seed", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"TrainConfig: {name} must be at least 0. Received: {getattr(self, name)}"
                )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"TrainConfig: learning_rate must be above 0. Received: {self.learning_rate}"
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"TrainConfig: {name} must be {' or '.join(map(repr, known))}. "
                    f"Received: {getattr(self, name)!r}"
                )
        for name in ("test_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"TrainConfig: {name} must lie between 0 and 1. Received: {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Recipe:
    """A network with the settings of its training and of its inference."""

    model: ModelConfig
    train: TrainConfig
    inference: InferenceConfig = InferenceConfig()


TINY = "tiny"
"""Name of a recipe that trains on phantoms in a minute: to try the commands, not to be used."""
EFFICIENTNET_UNET = ModelConfig(
    name="efficientnet-unet",
    encoder="efficientnet-lite2",
    input_size=160,
    filters=(32, 48, 64, 128),
    dropout=(0.0, 0.0, 0.1, 0.1),
    bottleneck_filters=0,
    bottleneck_dropout=0.0,
)
EFFICIENTNET_TRAINING = TrainConfig(
    epochs=12,
    batch_size=16,
    weight_decay=0.01,
    loss="cross_entropy_dice",
    pretrained=True,
    augmentation="strong",
    patches=True,
    normal_oversampling=2,
    presence_head=True,
    checkpoint="last",
)

RECIPES = {
    "unet": Recipe(ModelConfig(), TrainConfig()),
    # The paper's network changed in one thing each, as its "next steps" and sources name them.
    "unet-deep": Recipe(
        ModelConfig(
            name="unet-deep",
            filters=(32, 64, 128, 256, 512),
            dropout=(0.1, 0.1, 0.2, 0.2, 0.3),
            bottleneck_filters=1024,
        ),
        TrainConfig(),
    ),
    "unet-wide": Recipe(
        ModelConfig(name="unet-wide", filters=(48, 96, 192, 384), bottleneck_filters=768),
        TrainConfig(),
    ),
    "unet-5x5": Recipe(ModelConfig(name="unet-5x5", kernel=5), TrainConfig()),
    "unet-strided": Recipe(ModelConfig(name="unet-strided", strided=True), TrainConfig()),
    "unet-regularised": Recipe(
        ModelConfig(name="unet-regularised", dropout=(0.2, 0.2, 0.3, 0.3), bottleneck_dropout=0.5),
        TrainConfig(weight_decay=0.05),
    ),
    "unet-balanced": Recipe(ModelConfig(name="unet-balanced"), TrainConfig(normal_oversampling=3)),
    "unet-edges": Recipe(ModelConfig(name="unet-edges", channels=("grey", "edges")), TrainConfig()),
    "unet-edges-texture": Recipe(
        ModelConfig(name="unet-edges-texture", channels=("grey", "edges", "texture")),
        TrainConfig(),
    ),
    "attention-unet": Recipe(
        ModelConfig(name="attention-unet", encoder="attention"), TrainConfig()
    ),
    "residual-unet": Recipe(
        ModelConfig(name="residual-unet", encoder="residual"),
        TrainConfig(weight_decay=0.01),
    ),
    "convmixer-unet": Recipe(
        ModelConfig(name="convmixer-unet", encoder="convmixer"), TrainConfig()
    ),
    "paspp-unet": Recipe(ModelConfig(name="paspp-unet", encoder="paspp"), TrainConfig()),
    "convmixformer-unet": Recipe(
        ModelConfig(name="convmixformer-unet", encoder="convmixformer"),
        TrainConfig(),
    ),
    "efficientnet-unet": Recipe(
        EFFICIENTNET_UNET, EFFICIENTNET_TRAINING, InferenceConfig(flip=True, scales=(1.0, 0.85))
    ),
    TINY: Recipe(
        ModelConfig(
            name=TINY,
            input_size=64,
            filters=(8, 16, 32),
            dropout=(0.0, 0.0, 0.0),
            bottleneck_filters=64,
            bottleneck_dropout=0.0,
        ),
        TrainConfig(
            epochs=10,
            batch_size=8,
            learning_rate=3e-3,
            loss="cross_entropy_dice",
            checkpoint="last",
        ),
    ),
    "guided-unet": Recipe(
        replace(
            EFFICIENTNET_UNET,
            name="guided-unet",
            interactive=True,
            input_size=128,
        ),
        replace(EFFICIENTNET_TRAINING, epochs=8),
        InferenceConfig(flip=True),
    ),
}
"""Networks by name, each with the settings it is trained with unless others are given."""


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
