from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.conftest import TINY
from unet.config import RECIPES, ModelConfig
from unet.networks import build_network
from unet.networks.fast_batchnorm import FusedBatchNormalization
from unet.networks.unet import build as build_unet

PARAMETERS = {  # name: config, parameters in all
    "paper": (ModelConfig(), 7_771_297),
    "tiny": (TINY, 7_717),
    "efficientnet": (RECIPES["efficientnet-unet"].model, 5_330_961),
}


@pytest.fixture(scope="module")
def paper() -> keras.Model:
    return build_unet(ModelConfig())


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameter_count_is_pinned(name):
    config, parameters = PARAMETERS[name]
    assert build_network(config).count_params() == parameters


def test_the_papers_sizes_and_filters_level_by_level(paper):
    shapes = {
        "encoder_1_pool": (128, 128, 32),
        "encoder_2_pool": (64, 64, 64),
        "encoder_3_pool": (32, 32, 128),
        "encoder_4_pool": (16, 16, 256),
        "bottleneck_relu_2": (16, 16, 512),
        "decoder_4_upsample": (32, 32, 256),
        "decoder_4_concat": (32, 32, 512),
        "decoder_1_concat": (256, 256, 64),
        "decoder_1_relu_2": (256, 256, 32),
        "probability": (256, 256, 1),
    }
    for name, shape in shapes.items():
        assert tuple(paper.get_layer(name).output.shape[1:]) == shape


def test_a_block_is_conv_norm_relu_dropout_conv_norm_relu(paper):
    names = [layer.name for layer in paper.layers if layer.name.startswith("encoder_2")]
    parts = ("conv_1", "norm_1", "relu_1", "dropout", "conv_2", "norm_2", "relu_2", "pool")
    assert names == [f"encoder_2_{part}" for part in parts]


def test_the_papers_dropout_rates(paper):
    rates = {
        layer.name: layer.rate for layer in paper.layers if isinstance(layer, keras.layers.Dropout)
    }
    assert [rates[f"encoder_{i}_dropout"] for i in (1, 2, 3, 4)] == [0.1, 0.1, 0.2, 0.2]
    assert [rates[f"decoder_{i}_dropout"] for i in (4, 3, 2, 1)] == [0.2, 0.2, 0.1, 0.1]


def test_only_built_in_layers_are_used(paper):
    assert {type(layer).__module__.split(".")[0] for layer in paper.layers} == {"keras"}


def test_the_efficientnets_sizes_level_by_level():
    network = build_network(replace(RECIPES["efficientnet-unet"].model, input_size=96))
    shapes = {
        "stem_relu": (48, 48, 32),
        "encoder_1_1_project_norm": (48, 48, 16),
        "encoder_2_2_add": (24, 24, 24),
        "encoder_3_3_add": (12, 12, 48),
        "encoder_5_4_add": (6, 6, 120),
        "encoder_7_1_project_norm": (3, 3, 352),
        "decoder_4_concat": (6, 6, 352 + 120),
        "decoder_1_concat": (48, 48, 48 + 16),
        "decoder_1_relu_2": (48, 48, 32),
        "probability": (96, 96, 1),
    }
    for name, shape in shapes.items():
        assert tuple(network.get_layer(name).output.shape[1:]) == shape
    assert {type(layer).__module__.split(".")[0] for layer in network.layers} == {"keras"}


def test_the_fused_normalisation_trains_as_the_built_in_one():
    batch = np.random.default_rng(0).normal(3, 2, (4, 16, 16, 3)).astype("float32")
    built_in, fused = keras.layers.BatchNormalization(), FusedBatchNormalization()
    np.testing.assert_allclose(
        fused(batch, training=True), built_in(batch, training=True), atol=2e-5
    )
    np.testing.assert_allclose(fused.moving_mean, built_in.moving_mean, rtol=1e-5)
    unbiased = 1024 / 1023  # the kernel's moving variance
    np.testing.assert_allclose(
        fused.moving_variance - 0.99, (built_in.moving_variance - 0.99) * unbiased, rtol=1e-4
    )
    np.testing.assert_allclose(fused(batch), built_in(batch), rtol=1e-3)


def test_a_network_that_cannot_be_built_as_asked_is_refused():
    with pytest.raises(ValueError, match=r"multiple of 16.* Received: 250"):
        build_network(ModelConfig(input_size=250))
    efficient = RECIPES["efficientnet-unet"].model
    with pytest.raises(ValueError, match=r"multiple of 32"):
        build_network(replace(efficient, input_size=112))
    with pytest.raises(ValueError, match="has 4 blocks"):
        build_network(replace(efficient, filters=(8, 8), dropout=(0.1, 0.1)))
