"""Train, evaluate and publish the breast-ultrasound segmentation network.

    python train.py fit --data DIR [--model NAME] [--out weights/NAME] [--epochs N] [--resume]
    python train.py evaluate --weights weights/NAME --data DIR [--split test|validation|all]

`--data phantom` uses generated cases, so every command runs with no dataset.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

# Faster on every CPU measured, and read when TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from unet.config import ModelConfig, TrainConfig


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = main.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train a network, evaluate it and write its bundle")
    fit.add_argument("--data", required=True, help="the BUSI folder, or 'phantom'")
    fit.add_argument("--model", default="unet", choices=["unet"], help="network (default: unet)")
    fit.add_argument("--out", type=Path, help="bundle folder (default: weights/MODEL)")
    fit.add_argument("--run-dir", type=Path, help="checkpoints and logs (default: runs/OUT's name)")
    fit.add_argument("--resume", action="store_true", help="continue the run in the run folder")
    fit.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs")
    for field in dataclasses.fields(TrainConfig):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            fit.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            fit.add_argument(
                name,
                type=type(field.default),
                default=field.default,
                help=f"default: {field.default}",
            )
    return main


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    from unet.workflow import fit

    config = TrainConfig(
        **{f.name: getattr(arguments, f.name) for f in dataclasses.fields(TrainConfig)}
    )
    out = arguments.out or Path("weights") / arguments.model
    fit(
        arguments.data,
        ModelConfig(name=arguments.model),
        config,
        out=out,
        run_dir=arguments.run_dir or Path("runs") / out.name,
        resume=arguments.resume,
        tensorboard=arguments.tensorboard,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
