"""The networks, one file an architecture, as Keras functional models of built-in layers.

An architecture's module says all there is to say of it: `build`, `check`, the layers whose features
are read (`familiarity_layer`, `presence_layers`), and what its card tells (`SENTENCE`, `START`,
`PRETRAINED`: None where there are no published weights to start from).
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from unet.config import ModelConfig

if TYPE_CHECKING:
    import keras

ARCHITECTURES = {
    "plain": "unet",
    "efficientnet-lite2": "efficientnet_unet",
    "attention": "relatives.attention_unet",
    "residual": "relatives.residual_unet",
    "convmixer": "relatives.convmixer_unet",
    "paspp": "relatives.paspp_unet",
    "convmixformer": "relatives.convmixformer_unet",
}
"""Module of each encoder."""


def architecture(config: ModelConfig) -> ModuleType:
    """The module of the network that `config` describes."""
    return import_module(f"unet.networks.{ARCHITECTURES[config.encoder]}")


PROMPT_MAPS = '"lesion here" and "not here"'


def sentence(config: ModelConfig) -> str:
    """Describe the network for people: its module's sentence, and its own changes."""
    paper = ModelConfig()
    told = {
        f"{config.kernel}×{config.kernel} kernels": config.kernel != paper.kernel,
        "convolutions with stride 2 in place of pooling": config.strided,
        f"{' and '.join(config.channels[1:])} beside the grey image": config.channels[1:],
        f"two maps of prompts ({PROMPT_MAPS}) beside the grey image": config.interactive,
    }
    if config.encoder == "plain":
        told |= {
            f"{len(config.filters)} levels": len(config.filters) != len(paper.filters),
            f"{config.filters[0]} filters at the first level": config.filters[0]
            != paper.filters[0],
            "other rates of dropout": config.dropout[: len(paper.dropout)] != paper.dropout,
        }
    changes = [what for what, so in told.items() if so]
    also = f" This one has {', '.join(changes)}." if changes else ""
    return architecture(config).SENTENCE + also


def build_network(
    config: ModelConfig, batch_normalization: type[keras.layers.Layer] | None = None
) -> keras.Model:
    """Build the network that `config` describes; ValueError where it cannot be built so.

    Args:
        config: The network.
        batch_normalization: The class for the normalisation layers; Keras' own if None. Training
            passes a faster one with the same weights; whatever is saved is built with Keras' own.
    """
    module = architecture(config)
    module.check(config)
    return module.build(config, batch_normalization)
