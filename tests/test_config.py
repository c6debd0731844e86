import json

import pytest

from unet.config import ModelConfig, TrainConfig, from_dict, to_dict


@pytest.mark.parametrize("config", [ModelConfig(), TrainConfig(epochs=3, augmentation="none")])
def test_a_config_survives_json(config):
    assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config


def test_absent_fields_take_their_defaults():
    assert from_dict(ModelConfig, {"input_size": 128}) == ModelConfig(input_size=128)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValueError, match=r"unknown field\(s\) depth; known: name, encoder"):
        from_dict(ModelConfig, {"depth": 4})


@pytest.mark.parametrize(
    "values",
    [{"input_size": "256"}, {"input_size": True}, {"filters": 32}, {"filters": [32, "64"]}, []],
)
def test_a_value_of_another_type_is_refused(values):
    with pytest.raises(ValueError, match=r"Received"):
        from_dict(ModelConfig, values)


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"precision": "int8"},
        {"test_fraction": 1.0},
        {"batch_size": -1},
        {"loss": "focal"},
        {"checkpoint": "first"},
        {"augmentation": "wild"},
        {"seed": -1},
        {"split_seed": -1},
        {"warmup_epochs": -3},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
    ],
)
def test_a_recipe_that_cannot_run_is_refused(values):
    with pytest.raises(ValueError, match=f"TrainConfig: {next(iter(values))}"):
        TrainConfig(**values)


def test_an_encoder_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="encoder must be one of plain, efficientnet-lite2"):
        ModelConfig(encoder="vgg")
