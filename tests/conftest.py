"""Fixtures: generated cases on disk, and a tiny network trained end to end on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import pytest

from tests import hub_server
from tests.hub_server import WRITER, Hub
from unet.config import RECIPES, ModelConfig, Recipe, TrainConfig
from unet.core.mask import PostProcessing
from unet.data.phantom import write_dataset
from unet.inference.prediction import ModelId, Prediction

TINY = ModelConfig(
    name="tiny",
    input_size=32,
    filters=(4, 8),
    dropout=(0.1, 0.1),
    bottleneck_filters=16,
    bottleneck_dropout=0.1,
)
"""A network of the same shape that trains in seconds."""

QUICK = TrainConfig(epochs=3, batch_size=4, warmup_epochs=1, test_fraction=0.25)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_npm"):
        from tests.browser.site import npm_answers

        if not npm_answers():
            pytest.skip("needs npm and its registry")


PHANTOM_TRAINING = {
    "sources": [{"name": "phantom", "citation": "", "licence": ""}],
    "rules_chosen_on": ["phantom"],
    "split_name": "holdout",
}
"""The least that a bundle says of its training."""


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 18 cases in BUSI's layout."""
    return write_dataset(tmp_path_factory.mktemp("phantoms"), 18, seed=1)


def predicted(
    probability_u8: np.ndarray, rules: PostProcessing | None = None, **facts
) -> Prediction:
    """A prediction of a network that says nothing else, unless `facts` are given."""
    nothing = dict.fromkeys(("disagreement_u8", "agreement", "presence", "familiar"))
    rules = rules or PostProcessing()
    facts = nothing | facts
    return Prediction(probability_u8, postprocessing=rules, network=ModelId("net"), **facts)


@pytest.fixture(scope="session")
def tiny_bundle(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that `fit` writes for the tiny network."""
    from unet.experiments.fit import fit
    from unet.publishing.card import write_card

    folder = tmp_path_factory.mktemp("fit")
    fit([str(phantoms)], "unet", Recipe(TINY, QUICK), out=folder / "tiny", run_dir=folder / "run")
    write_card(folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="session")
def tiny_guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small network that takes prompts; it has learnt nothing."""
    import keras

    from unet.inference.keras_export import write_bundle
    from unet.networks import build_network

    keras.utils.set_random_seed(0)
    model = replace(RECIPES["guided-unet"].model, input_size=32)
    folder = tmp_path_factory.mktemp("guide") / model.name
    folder.mkdir()
    nothing = dict.fromkeys(("familiarity", "presence", "confidence", "commit"))
    split = {name: [] for name in ("test", "validation", "train")}
    write_bundle(folder, build_network(model), model=model,
                 inference=RECIPES["guided-unet"].inference, postprocessing=PostProcessing(),
                 training=PHANTOM_TRAINING, split=split, **nothing)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def tiny_segmenter(tiny_bundle: Path):
    from unet import Segmenter

    return Segmenter.load(tiny_bundle)


@pytest.fixture
def hub() -> Iterator[tuple[str, Hub]]:
    with hub_server.running() as running:
        yield running


@pytest.fixture
def environment(hub, tmp_path) -> dict[str, str]:
    """For programs that talk to the stand-in with a clean cache; endpoints are read at import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "UNET_"))}
    return kept | {
        "HF_ENDPOINT": hub[0],
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": WRITER,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
