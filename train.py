"""Train, evaluate and publish the breast-ultrasound segmentation network.

    python train.py fit --data DIR [--model NAME] [--out weights/NAME] [--epochs N] [--resume]
    python train.py fit --data DIR --model efficientnet-unet --folds 5 [--resume]
    python train.py evaluate --weights weights/NAME --data DIR [--split test|validation|all]
    python train.py ablate --weights weights/NAME --data DIR
    python train.py compare --data DIR [--names NAME ...] [--size 128] [--epochs N] [--resume]
    python train.py push --weights weights/NAME --repo USER/NAME [--private] [--tag v1]
    python train.py deploy --repo USER/PAGE [--preload USER/NAME]
    python train.py examples --data DIR [--data DIR]
    python train.py cards

`--data phantom` uses generated cases, so every command runs with no dataset.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path

# Read when TensorFlow is imported; oneDNN's kernels more than halve a training step on a CPU.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from unet.config import PRECISIONS, RECIPES, TrainConfig
from unet.errors import UserError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = main.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train a network, evaluate it and write its bundle")
    fit.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; may be given several times",
    )  # fmt: skip
    fit.add_argument("--model", default="unet", choices=RECIPES, help="network (default: unet)")
    fit.add_argument("--out", type=Path, help="bundle folder (default: weights/MODEL)")
    fit.add_argument("--run-dir", type=Path, help="checkpoints and logs (default: runs/OUT's name)")
    fit.add_argument("--resume", action="store_true", help="continue the run in the run folder")
    fit.add_argument("--start", type=Path, metavar="DIR", help="bundle to start from (see --tune)")
    fit.add_argument("--push-to", metavar="USER/NAME", help="push the bundle to the Hub when done")
    fit.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs")
    fit.add_argument("--folds", type=int, help="cross-validate in so many folds, --keep last")
    fit.add_argument(
        "--leave-out", metavar="NAME", help="train without a data set or scanner, and score it"
    )
    sizes = {name: model.input_size for name, (model, _) in RECIPES.items()}
    fit.add_argument("--input-size", type=int, help=f"side of the input; {_defaults(sizes)}")
    for field in dataclasses.fields(TrainConfig):
        name = "--" + field.name.replace("_", "-")
        by_model = {model: getattr(config, field.name) for model, (_, config) in RECIPES.items()}
        help_text = _defaults(by_model)
        if isinstance(field.default, bool):
            fit.add_argument(name, action=argparse.BooleanOptionalAction, help=help_text)
        else:
            fit.add_argument(name, type=type(field.default), help=help_text)

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

    rules = commands.add_parser("rules", help="choose a bundle's rules anew, on several data sets")
    rules.add_argument("--weights", type=Path, required=True, help="bundle folder")
    rules.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="the data it was trained on, and others",
    )  # fmt: skip

    export = commands.add_parser("export", help="make the ONNX graph of a bundle that has none")
    export.add_argument("--weights", type=Path, required=True, help="bundle folder")

    push = commands.add_parser("push", help="upload a bundle to the Hugging Face Hub")
    push.add_argument("--weights", type=Path, required=True, help="bundle folder")
    push.add_argument("--repo", required=True, help="USER/NAME")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--tag", help="git tag for the commit, such as v1")

    ablate = commands.add_parser("ablate", help="measure what each part of a bundle's recipe gives")
    ablate.add_argument("--weights", type=Path, required=True, help="bundle folder")
    ablate.add_argument(
        "--data", type=Path, required=True, action="append", metavar="DIR",
        help="the data it was trained on; may be given several times",
    )  # fmt: skip
    ablate.add_argument("--run-dir", type=Path, default=Path("runs/ablation"))

    compare = commands.add_parser("compare", help="train and score networks side by side")
    compare.add_argument(
        "--data", required=True, action="append", metavar="DIR",
        help="a data set's folder, or 'phantom'; the first is trained on, others are only scored",
    )  # fmt: skip
    compare.add_argument("--names", nargs="+", metavar="NAME", help="networks (default: all)")
    compare.add_argument("--size", type=int, default=128, help="side of the input (default: 128)")
    compare.add_argument("--epochs", type=int, default=40, help="of the recipe (default: 40)")
    compare.add_argument("--seeds", type=int, default=3, help="trainings of each (default: 3)")
    compare.add_argument("--precision", default="float32", choices=PRECISIONS)
    compare.add_argument("--out", type=Path, default=Path("weights/comparison.json"))
    compare.add_argument("--run-dir", type=Path, default=Path("runs/comparison"))
    compare.add_argument("--resume", action="store_true", help="continue what is in the run folder")

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

    examples = commands.add_parser("examples", help="real examples for the page from your own data")
    examples.add_argument(
        "--data", type=Path, required=True, action="append", metavar="DIR",
        help="a data set's folder; may be given several times",
    )  # fmt: skip
    examples.add_argument("--weights", type=Path, default=Path("weights/efficientnet-unet"))
    examples.add_argument("--out", type=Path, default=Path("examples"))

    cards = commands.add_parser("cards", help="write model cards and the README's results anew")
    cards.add_argument("--readme", type=Path, default=Path("README.md"))
    return main


def _defaults(by_model: dict[str, object]) -> str:
    """The help's words on a setting's defaults: the first network's, and where others differ."""
    first = next(iter(by_model.values()))
    others = [f", {value} for {name}" for name, value in by_model.items() if value != first]
    return f"default: {first}{''.join(others)}"


def _fit(arguments: argparse.Namespace) -> None:
    from unet.training.workflow import cross_validate, fit, leave_out

    out = arguments.out or Path("weights") / arguments.model
    model, config = RECIPES[arguments.model]
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(config)}
    given = {name: value for name, value in given.items() if value is not None}
    size = model.input_size if arguments.input_size is None else arguments.input_size
    try:
        config = dataclasses.replace(config, **given)
        model = dataclasses.replace(model, name=out.name, input_size=size)
    except ValueError as error:
        raise UserError(error) from None
    scored = [
        name
        for name, value in (("--folds", arguments.folds), ("--leave-out", arguments.leave_out))
        if value is not None
    ]
    if len(scored) > 1:
        raise UserError("--folds and --leave-out are two ways of scoring: run fit once with each")
    if scored and (arguments.push_to or arguments.tensorboard):
        raise UserError(
            f"{scored[0]} trains networks to be scored, none to keep: leave out --push-to and "
            f"--tensorboard, or run fit without {scored[0]} as well"
        )
    if scored and arguments.start:
        raise UserError(f"{scored[0]} trains from the beginning: leave out --start")
    if arguments.push_to:
        from unet.inference.hub import check_name

        check_name(arguments.push_to)
    run_dir = arguments.run_dir or Path("runs") / out.name
    options = {"out": out, "run_dir": run_dir, "resume": arguments.resume}
    if arguments.folds is not None:
        cross_validate(
            arguments.data, arguments.model, model, config, folds=arguments.folds, **options
        )
        return
    if arguments.leave_out is not None:
        leave_out(
            arguments.data, arguments.model, model, config, left_out=arguments.leave_out, **options
        )
        return
    fit(
        arguments.data,
        arguments.model,
        model,
        config,
        start=arguments.start,
        tensorboard=arguments.tensorboard,
        **options,
    )
    if arguments.push_to:
        from unet.inference.hub import push

        print(push(out, arguments.push_to))


def _evaluate(arguments: argparse.Namespace) -> None:
    from unet.training.workflow import evaluate

    figures = arguments.figures or Path("runs") / arguments.weights.name / "figures"
    evaluate(arguments.weights, arguments.data, arguments.split, arguments.out, figures)


def _rules(arguments: argparse.Namespace) -> None:
    from unet.training.workflow import choose_rules

    figures = Path("runs") / arguments.weights.name / "figures"
    choose_rules(arguments.weights, arguments.data, figures)


def _export(arguments: argparse.Namespace) -> None:
    from unet.training.workflow import export

    export(arguments.weights)


def _push(arguments: argparse.Namespace) -> None:
    from unet.inference.hub import push

    options = {"private": arguments.private, "tag": arguments.tag}
    print(push(arguments.weights, arguments.repo, **options))


def _ablate(arguments: argparse.Namespace) -> None:
    from unet.training.ablation import ablate

    ablate(arguments.data, arguments.weights, arguments.run_dir)


def _compare(arguments: argparse.Namespace) -> None:
    from unet.training.comparison import NAMES, compare

    for name in ("size", "epochs", "seeds"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} must be at least 1. Received: {getattr(arguments, name)}")
    compare(
        arguments.data,
        arguments.names or list(NAMES),
        size=arguments.size,
        epochs=arguments.epochs,
        seeds=arguments.seeds,
        out=arguments.out,
        run_dir=arguments.run_dir,
        precision=arguments.precision,
        resume=arguments.resume,
    )


def _deploy(arguments: argparse.Namespace) -> None:
    from unet.publishing.space import deploy, page_files, shared_examples

    options = {"private": arguments.private, "preload": arguments.preload}
    local = Path("examples") if arguments.examples else None
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.kind == "static":
            from unet.inference.hub import check_name
            from unet.page.site import build_site

            check_name(arguments.repo)  # before anything is built
            folder = Path(temporary) / "site"
            build_site(_shipped(), folder, examples=local)
            paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
            options["files"] = {path.relative_to(folder).as_posix(): path for path in paths}
        elif local:
            options["files"] = page_files() | shared_examples(local, Path(temporary))
        print(deploy(arguments.repo, arguments.kind, **options))


def _site(arguments: argparse.Namespace) -> None:
    from unet.page.site import build_site

    build_site(
        arguments.weights or _shipped(), arguments.out,
        single_file=arguments.single_file, examples=arguments.examples,
    )  # fmt: skip
    print(f"wrote {arguments.out}")


def _shipped() -> list[Path]:
    """The bundles in `weights/`, the best on validation first."""
    from unet.inference.bundle import bundles_in
    from unet.publishing.readme import best_first

    bundles = best_first(bundles_in(Path("weights")))
    if not bundles:
        raise UserError("weights/ holds no bundle. Run train.py fit first.")
    return bundles


def _examples(arguments: argparse.Namespace) -> None:
    from unet.evaluation.real_examples import fill_examples

    chosen = fill_examples(arguments.data, arguments.weights, arguments.out)
    print(f"{len(chosen)} test cases in {arguments.out}: {', '.join(chosen)}")


def _cards(arguments: argparse.Namespace) -> None:
    from unet.publishing.readme import write_cards

    write_cards(arguments.readme, Path("weights"))


COMMANDS = {
    "fit": _fit,
    "evaluate": _evaluate,
    "rules": _rules,
    "export": _export,
    "push": _push,
    "ablate": _ablate,
    "compare": _compare,
    "deploy": _deploy,
    "site": _site,
    "examples": _examples,
    "cards": _cards,
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 when done, 1 after a sentence that says what to mend."""
    arguments = parser().parse_args(argv)
    try:
        COMMANDS[arguments.command](arguments)
    except (UserError, OSError) as error:
        print(f"train.py {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hint = "; add --resume to continue from the last whole epoch"
        print(
            "\nstopped" + (hint if arguments.command in ("fit", "compare") else ""), file=sys.stderr
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
