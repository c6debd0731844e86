"""The relatives of the paper's network: what they cost, and that each trains, saves and exports."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.conftest import TINY
from unet.config import RECIPES, ModelConfig
from unet.inference.keras_export import export_onnx
from unet.networks import architecture, build_network, sentence
from unet.networks.fixed_filters import AROUND
from unet.networks.macs import multiply_adds
from unet.training.losses import compile_arguments

pytestmark = pytest.mark.slow

COST = {  # name: parameters in all, multiply-adds of an image of 128×128
    "unet": (7_771_297, 3_008_364_544),
    "unet-deep": (31_117_985, 3_721_396_224),
    "unet-wide": (17_473_777, 6_764_888_064),
    "unet-5x5": (20_321_953, 8_117_026_816),
    "unet-strided": (8_555_137, 3_159_359_488),
    "unet-regularised": (7_771_297, 3_008_364_544),
    "unet-balanced": (7_771_297, 3_008_364_544),
    "unet-edges": (7_771_634, 3_013_885_952),
    "unet-edges-texture": (7_772_010, 3_019_915_264),
    "attention-unet": (8_029_796, 3_046_170_624),
    "residual-unet": (8_113_601, 3_176_660_992),
    "convmixer-unet": (3_228_833, 2_327_805_952),
    "paspp-unet": (5_946_657, 2_892_406_784),
    "convmixformer-unet": (8_396_321, 2_992_537_600),
    "efficientnet-unet": (5_330_961, 431_427_328),
    "tiny": (122_089, 144_441_344),
    "guided-unet": (5_338_881, 439_316_224),
}
# One small network of each kind of layers; the others differ in numbers alone.
KINDS = [
    "unet-strided", "unet-edges-texture", "attention-unet", "residual-unet", "convmixer-unet",
    "paspp-unet", "convmixformer-unet",
]  # fmt: skip


def small(name: str) -> ModelConfig:
    """That network with a few filters, at 32×32."""
    shape = {n: getattr(TINY, n) for n in ("input_size", "filters", "dropout")}
    return replace(RECIPES[name].model, **shape, bottleneck_filters=16)


@pytest.mark.parametrize("name", RECIPES)
def test_what_it_costs_is_pinned(name):
    network = build_network(replace(RECIPES[name].model, input_size=128))
    assert (network.count_params(), multiply_adds(network)) == COST[name]


def test_multiply_adds_counted_by_hand():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 3, padding="same")(inputs)  # 16 places × 3·3·2·3
    x = keras.layers.DepthwiseConv2D(3, padding="same", strides=2)(x)  # 4 × 3·3·3
    x = keras.layers.Conv2DTranspose(5, 2, strides=2)(x)  # 4 × 2·2·3·5
    x = keras.layers.Reshape((16, 5))(x)
    x = keras.layers.MultiHeadAttention(2, 3)(x, x)  # 16 × 4·(5·2·3) + 16·16·2·(3 + 3)
    x = keras.layers.Dense(1)(x)  # 16 × 5
    by_hand = 16 * 54 + 4 * 27 + 4 * 60 + 16 * 120 + 256 * 12 + 16 * 5
    assert multiply_adds(keras.Model(inputs, x)) == by_hand


@pytest.mark.parametrize("name", KINDS)
def test_it_trains_a_step_saves_loads_and_exports(name, tmp_path):
    config = small(name)
    keras.utils.set_random_seed(1)
    network = build_network(config)
    assert {type(layer).__module__.split(".")[0] for layer in network.layers} == {"keras"}
    before = [weight.numpy() for weight in network.trainable_variables]
    random = np.random.default_rng(0)
    images = random.random((2, 32, 32, 1), np.float32).round(4)
    masks = (random.random((2, 32, 32, 1)) > 0.7).astype(np.float32)
    trainer = keras.Model(network.input, network.output)  # so that what is saved is not compiled
    how = compile_arguments("cross_entropy_dice") | {"run_eagerly": True}
    trainer.compile(keras.optimizers.AdamW(1e-2), **how)
    loss = trainer.train_on_batch(images, masks)[0]
    assert np.isfinite(loss)
    changed = [
        bool((weight.numpy() != then).any())
        for weight, then in zip(network.trainable_variables, before)
    ]
    # A bias before a normalisation, or of attention's keys, has no gradient but rounding's.
    assert sum(changed) >= 0.9 * len(changed)

    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again(images), network(images))
    module = architecture(config)
    layers = [module.familiarity_layer(config), *module.presence_layers(config)]
    export_onnx(network, layers)  # which compares the graph's answers with Keras'


@pytest.mark.parametrize("name", ["unet", *KINDS])
def test_output_is_a_probability_of_the_inputs_size(name):
    output = build_network(small(name))(np.zeros((1, 32, 32, 1), np.float32))
    assert output.shape == (1, 32, 32, 1)
    assert 0 <= output.numpy().min() <= output.numpy().max() <= 1


def channel(name: str, image: np.ndarray) -> np.ndarray:
    """What the layer of that name makes of an image float32 `(S, S)`, float32 `(S, S)`."""
    network = build_network(small("unet-edges-texture"))
    part = keras.Model(network.input, network.get_layer(name).output)
    return part(image[None, :, :, None]).numpy()[0, :, :, 0]


def test_texture_is_the_local_binary_pattern():
    image = np.random.default_rng(3).random((32, 32)).astype(np.float32).round(4)
    image[5:9, 11:20] = 0.3  # equal neighbours set their bits
    shrink_and_pad = np.pad(image, 1)
    code = np.zeros((32, 32), int)
    for bit, (row, column) in enumerate(AROUND):
        neighbour = shrink_and_pad[1 + row : 33 + row, 1 + column : 33 + column]
        code += (neighbour >= image) << bit
    np.testing.assert_allclose(channel("texture", image) * 255, code, atol=1e-3)


def test_edges_are_where_grey_changes_and_as_strong_as_it_does():
    image = np.full((32, 32), 0.5, np.float32)
    image += 0.01 * np.arange(32, dtype=np.float32)  # brighter to the right, 0.01 a pixel
    found = channel("edges", image)
    np.testing.assert_allclose(found[4:-4, 4:-4], 0.01, atol=1e-5)
    assert np.abs(channel("edges", image.T.copy()) - found.T).max() < 1e-5


def test_the_fixed_convolutions_are_not_trained():
    network = build_network(small("unet-edges-texture"))
    names = {weight.path for weight in network.trainable_variables}
    assert not [name for name in names if name.startswith(("edges", "texture"))]


def test_attention_weighs_all_skips_but_the_first():
    network = build_network(small("attention-unet"))
    names = {layer.name for layer in network.layers}
    assert "gate_2_multiply" in names
    assert not {name for name in names if name.startswith("gate_1")}


def test_what_a_network_is_said_to_be_names_its_departures():
    assert sentence(ModelConfig()).endswith("Toronto Metropolitan University.")
    assert sentence(RECIPES["unet-5x5"].model).endswith("This one has 5×5 kernels.")
    assert "edges and texture beside" in sentence(RECIPES["unet-edges-texture"].model)
    assert "This one has 5 levels." in sentence(RECIPES["unet-deep"].model)


def test_settings_that_a_network_does_not_have_are_refused():
    efficient = RECIPES["efficientnet-unet"].model
    for change in ({"kernel": 5}, {"strided": True}, {"channels": ("grey", "edges")}):
        with pytest.raises(ValueError, match="has its own kernels and strides"):
            build_network(replace(efficient, **change))
    for channels in (("edges",), ("grey", "texture", "edges"), ("grey", "colour"), ()):
        with pytest.raises(ValueError, match="channels must be grey"):
            ModelConfig(channels=channels)
    with pytest.raises(ValueError, match="kernel must be odd"):
        ModelConfig(kernel=4)
