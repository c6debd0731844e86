"""The command line of `train.py`: its verbs and their options, a function a verb."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from unet.config import CHOICES, PRECISIONS, RECIPES, TINY, TrainConfig


def add_verbs(main: argparse.ArgumentParser) -> None:
    """Give a parser all verbs; the one that is chosen is its `command`."""
    commands = main.add_subparsers(dest="command", required=True)
    for add in (
        _fit,
        _evaluate,
        _mine,
        _calibrate,
        _export,
        _push,
        _ablate,
        _compare,
        _evaluate_interactive,
        _segment,
        _deploy,
        _site,
        _examples,
        _report,
    ):
        add(commands)


def _fit(commands) -> None:
    fit = commands.add_parser("fit", help="train a network, evaluate it and write its bundle")
    fit.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; may be given several times",
    )  # fmt: skip
    fit.add_argument("--model", default="unet", choices=RECIPES, help="network (default: unet)")
    fit.add_argument(
        "--tiny", dest="model", action="store_const", const=TINY,
        help="short for --model tiny: a small network that trains in a minute, to try things out",
    )  # fmt: skip
    fit.add_argument(
        "--out", type=Path,
        help="bundle folder, such as weights/NAME (default: runs/MODEL/bundle)",
    )  # fmt: skip
    fit.add_argument(
        "--replace", action="store_true", help="replace another network's bundle in --out"
    )
    fit.add_argument(
        "--allow-dirty", action="store_true",
        help="train from code that is not committed; the model card says so",
    )  # fmt: skip
    fit.add_argument("--run-dir", type=Path, help="checkpoints and logs (default: runs/NAME)")
    fit.add_argument("--resume", action="store_true", help="continue the run in the run folder")
    fit.add_argument("--init-from", type=Path, metavar="DIR", help="bundle to start from")
    fit.add_argument(
        "--candidates", type=Path, metavar="FILE",
        help="false candidates that train.py mine found, shown as hard negatives (with --windows)",
    )  # fmt: skip
    fit.add_argument("--push-to", metavar="USER/NAME", help="push the bundle to the Hub when done")
    fit.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs")
    fit.add_argument("--folds", type=int, help="cross-validate in so many folds")
    _add_ray(fit)
    _add_processes(fit)
    fit.add_argument(
        "--leave-out-domain",
        nargs="+",
        metavar="NAME",
        help="train without each of these data sets or scanners, and score it",
    )
    sizes = {name: recipe.model.input_size for name, recipe in RECIPES.items()}
    fit.add_argument("--input-size", type=int, help=f"side of the input; {_defaults(sizes)}")
    for field in dataclasses.fields(TrainConfig):
        name = "--" + field.name.replace("_", "-")
        by_model = {model: getattr(r.train, field.name) for model, r in RECIPES.items()}
        help_text = _defaults(by_model)
        if isinstance(field.default, bool):
            fit.add_argument(name, action=argparse.BooleanOptionalAction, help=help_text)
        else:
            fit.add_argument(
                name, type=type(field.default), choices=CHOICES.get(field.name), help=help_text
            )


def _evaluate(commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a bundle and draw its figures")
    evaluate.add_argument("--weights", type=Path, required=True, help="bundle folder")
    evaluate.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; may be given several times",
    )  # fmt: skip
    evaluate.add_argument(
        "--split", default="test", choices=["test", "validation", "train", "all"],
        help="cases of the bundle's split (default: test)",
    )  # fmt: skip
    evaluate.add_argument("--out", type=Path, help="folder for results (default: the bundle)")
    evaluate.add_argument(
        "--figures", type=Path, help="folder for pictures of cases (default: runs/NAME/figures)"
    )


def _mine(commands) -> None:
    mine = commands.add_parser(
        "mine", help="find false candidates in images that a network has not seen"
    )
    mine.add_argument(
        "--weights", type=Path, required=True, action="append", metavar="DIR",
        help="a network that fit --folds or --leave-out-domain left in its run folder, asked about "
        "the cases it was scored on; may be given several times",
    )  # fmt: skip
    mine.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; may be given several times",
    )  # fmt: skip
    mine.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON by case id")


def _calibrate(commands) -> None:
    rules = commands.add_parser(
        "calibrate",
        help="choose a bundle's threshold and post-processing again, on several data sets",
    )
    rules.add_argument("--weights", type=Path, required=True, help="bundle folder")
    rules.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="the data it was trained on, and others",
    )  # fmt: skip
    rules.add_argument(
        "--scales", type=float, nargs="+", metavar="SHARE",
        help="sizes at which the image is shown and averaged, the first 1, such as 1 0.85 "
        "(default: as before); folds and leave-one-out are made of the recipe's scales alone",
    )  # fmt: skip


def _export(commands) -> None:
    export = commands.add_parser("export", help="make the ONNX graph of a bundle that has none")
    export.add_argument("--weights", type=Path, required=True, help="bundle folder")


def _push(commands) -> None:
    push = commands.add_parser("push", help="upload a bundle to the Hugging Face Hub")
    push.add_argument("--weights", type=Path, required=True, help="bundle folder")
    push.add_argument("--repo", required=True, help="USER/NAME")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--tag", help="git tag for the commit, such as v1")


def _ablate(commands) -> None:
    ablate = commands.add_parser("ablate", help="measure what each part of a bundle's recipe gives")
    ablate.add_argument("--weights", type=Path, required=True, help="bundle folder")
    ablate.add_argument(
        "--data", type=Path, required=True, action="append", metavar="DIR",
        help="the data it was trained on; may be given several times",
    )  # fmt: skip
    ablate.add_argument("--run-dir", type=Path, default=Path("runs/ablation"))
    ablate.add_argument(
        "--leave-out-domain", metavar="NAME",
        help="train without a data set or scanner, and score on it instead of on validation",
    )  # fmt: skip
    _add_ray(ablate)


def _compare(commands) -> None:
    compare = commands.add_parser("compare", help="train and score networks side by side")
    compare.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; the first is trained on, the others are external",
    )  # fmt: skip
    compare.add_argument("--models", nargs="+", metavar="NAME", help="networks (default: all)")
    compare.add_argument(
        "--input-size", type=int, default=128, help="side of the input (default: 128)"
    )
    compare.add_argument("--epochs", type=int, default=25, help="of the recipe (default: 25)")
    compare.add_argument("--seeds", type=int, default=2, help="trainings of each (default: 2)")
    compare.add_argument("--precision", default="float32", choices=PRECISIONS)
    compare.add_argument("--out", type=Path, default=Path("weights/comparison.json"))
    compare.add_argument("--run-dir", type=Path, default=Path("runs/comparison"))
    compare.add_argument("--resume", action="store_true", help="continue what is in the run folder")
    _add_ray(compare)


def _evaluate_interactive(commands) -> None:
    clicks = commands.add_parser(
        "evaluate-interactive", help="score a bundle after simulated clicks on each lesion"
    )
    clicks.add_argument("--weights", type=Path, default=Path("weights/guided-unet"))
    clicks.add_argument(
        "--baseline", type=Path, default=Path("weights/efficientnet-unet"), metavar="DIR",
        help="bundle of the network that answers before anyone clicks",
    )  # fmt: skip
    clicks.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; may be given several times",
    )  # fmt: skip
    clicks.add_argument(
        "--split", default="validation", choices=["test", "validation", "external"],
        help="external: of a network that fit --leave-out-domain made (default: validation)",
    )  # fmt: skip
    clicks.add_argument(
        "--out", type=Path, metavar="DIR", help="bundle that gets the results (default: --weights)"
    )
    clicks.add_argument("--clicks", type=int, default=3, help="of a person (default: 3)")
    clicks.add_argument("--simulations", type=int, default=10, help="at each lesion (default: 10)")


def _segment(commands) -> None:
    segment = commands.add_parser("segment", help="segment a folder of any size; goes on if rerun")
    segment.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER|MANIFEST",
        help="folder of images and DICOM files, or a text or CSV file of paths",
    )  # fmt: skip
    segment.add_argument("--out", type=Path, required=True, help="folder for masks and results")
    segment.add_argument("--weights", type=Path, default=Path("weights/efficientnet-unet"))
    segment.add_argument("--workers", type=int, metavar="N", help="(default: one a core)")
    _add_ray(segment)


def _deploy(commands) -> None:
    deploy = commands.add_parser("deploy", help="put the page on a Hugging Face Space")
    deploy.add_argument("--repo", required=True, help="the Space, USER/NAME")
    deploy.add_argument(
        "--kind", default="static", choices=["static", "gradio", "zerogpu"],
        help="static: no server, free for everyone (default); gradio, zerogpu: with a server",
    )  # fmt: skip
    deploy.add_argument("--private", action="store_true", help="make a new Space private")
    deploy.add_argument(
        "--examples", action="store_true",
        help="take along those in examples/ whose licence lets others have them",
    )  # fmt: skip
    deploy.add_argument("--preload", metavar="USER/NAME", help="model repository to run on")


def _site(commands) -> None:
    site = commands.add_parser("site", help="build the page that needs no server (needs Node)")
    site.add_argument("--out", type=Path, required=True, help="folder, or NAME.html")
    site.add_argument(
        "--weights", type=Path, action="append", metavar="DIR",
        help="bundle folder; may be given several times (default: those in weights/)",
    )  # fmt: skip
    site.add_argument(
        "--examples", type=Path, metavar="DIR",
        help="offer the images there whose licence lets others have them beside the phantoms",
    )  # fmt: skip
    site.add_argument(
        "--single-file", action="store_true", help="one HTML file that opens from a disk"
    )


def _examples(commands) -> None:
    examples = commands.add_parser("examples", help="real examples for the page from your own data")
    examples.add_argument(
        "--data", type=Path, required=True, action="append", metavar="DIR",
        help="a data set's folder; may be given several times",
    )  # fmt: skip
    examples.add_argument("--weights", type=Path, default=Path("weights/efficientnet-unet"))
    examples.add_argument("--out", type=Path, default=Path("examples"))


def _report(commands) -> None:
    report = commands.add_parser(
        "report", help="write the model cards, the results page and the README's table"
    )
    report.add_argument("--readme", type=Path, default=Path("README.md"))
    report.add_argument("--results", type=Path, default=Path("docs/results.md"))


def _add_ray(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--ray", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto, or local to start one"
    )


def _add_processes(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--backend", default="tensorflow", choices=["tensorflow", "jax"],
        help="what Keras trains on (default: tensorflow)",
    )  # fmt: skip
    verb.add_argument(
        "--processes", type=int, default=1, metavar="N",
        help="train one network in so many processes together (needs --backend jax)",
    )  # fmt: skip
    verb.add_argument(
        "--coordinator", metavar="HOST:PORT",
        help="where process 0 waits for the others, if they are on other machines",
    )  # fmt: skip
    verb.add_argument(
        "--rank", type=int, metavar="K", help="the process that this machine runs, from 0"
    )


def _defaults(by_model: dict[str, object]) -> str:
    """The help's words on a setting's defaults: the first network's, and where others differ."""
    first = next(iter(by_model.values()))
    others = [f", {value} for {name}" for name, value in by_model.items() if value != first]
    return f"default: {first}{''.join(others)}"
