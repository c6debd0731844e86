"""What the command line does: data → training → evaluation → bundle."""

from __future__ import annotations

from pathlib import Path

from unet.config import ModelConfig, TrainConfig
from unet.dataset import load_dataset, split_cases
from unet.training import train


def fit(
    data: str,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    out: Path,
    run_dir: Path,
    resume: bool,
    tensorboard: bool,
) -> None:
    """Train a network on the cases below `data` and keep its run in `run_dir`."""
    dataset = load_dataset(data, model_config.input_size)
    split = split_cases(
        dataset.cases,
        test=config.test_fraction,
        validation=config.validation_fraction,
        seed=config.split_seed,
    )
    for name, indices in split.items():
        print(f"{name}: {len(indices)} cases")
    arrays = {
        name: (dataset.images[indices], dataset.masks[indices]) for name, indices in split.items()
    }
    train(
        model_config,
        config,
        arrays["train"],
        arrays["validation"],
        run_dir,
        resume=resume,
        tensorboard=tensorboard,
    )
