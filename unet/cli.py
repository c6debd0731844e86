"""The command line: every verb parses its options and delegates.

    python train.py fit --data DIR [--model NAME] [--out weights/NAME] [--epochs N] [--resume]
    python train.py fit --data DIR --folds 5 | --leave-out-domain NAME [--resume] [--ray ADDRESS]
    python train.py fit --data DIR --backend jax --processes 2 [--coordinator HOST:PORT --rank K]
    python train.py evaluate --weights weights/NAME --data DIR [--split test|validation|all]
    python train.py mine --weights DIR [--weights DIR] --data DIR --out FILE
    python train.py calibrate --weights weights/NAME --data DIR
    python train.py evaluate-interactive --data DIR [--split validation] [--simulations N]
    python train.py ablate --weights weights/NAME --data DIR [--ray ADDRESS]
    python train.py compare --data DIR [--models NAME ...] [--input-size 128] [--resume]
    python train.py report
    python train.py segment --data FOLDER|MANIFEST --out FOLDER [--workers N] [--ray ADDRESS]
    python train.py push --weights weights/NAME --repo USER/NAME [--private] [--tag v1]
    python train.py deploy --repo USER/PAGE [--kind gradio [--preload USER/NAME]]
    python train.py site --out FOLDER
    python train.py examples --data DIR

`--data phantom` uses generated cases: `fit`, `evaluate`, `calibrate`, `compare` and
`evaluate-interactive` run without a data set.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Read when TensorFlow is imported; oneDNN's kernels more than halve a training step on a CPU.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unet.cli_options import add_verbs
from unet.config import RECIPES, TrainConfig
from unet.errors import UserError

if TYPE_CHECKING:
    from unet.experiments.experiment import Executor
    from unet.training.jax_processes import Processes


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(
        description="Train, evaluate and publish breast-ultrasound segmentation networks."
    )
    add_verbs(main)
    return main


def _fit(arguments: argparse.Namespace) -> None:
    from unet.experiments.cross_validation import cross_validate
    from unet.experiments.experiment import RayExecutor, SerialExecutor
    from unet.experiments.fit import fit
    from unet.experiments.leave_one_domain_out import leave_out
    from unet.inference.bundle import BUNDLE, bundle_name

    scored = [
        name
        for name, value in (
            ("--folds", arguments.folds),
            ("--leave-out-domain", arguments.leave_out_domain),
        )
        if value is not None
    ]
    name = bundle_name(arguments.out) if arguments.out else arguments.model
    out = arguments.out or Path("runs") / name / ("results" if scored else BUNDLE)
    recipe = RECIPES[arguments.model]
    given = {
        field.name: getattr(arguments, field.name) for field in dataclasses.fields(TrainConfig)
    }
    given = {name: value for name, value in given.items() if value is not None}
    shape = {} if arguments.input_size is None else {"input_size": arguments.input_size}
    try:
        recipe = dataclasses.replace(
            recipe,
            model=dataclasses.replace(recipe.model, name=name, **shape),
            train=dataclasses.replace(recipe.train, **given),
        )
    except ValueError as error:
        raise UserError(error) from None
    if arguments.candidates and not recipe.train.windows:
        raise UserError("--candidates are shown as windows: add --windows, or leave them out")
    if len(scored) > 1:
        raise UserError(
            "--folds and --leave-out-domain are two ways of scoring: run fit once with each"
        )
    if scored and (arguments.push_to or arguments.tensorboard):
        raise UserError(
            f"{scored[0]} trains networks to be scored, none to keep: leave out --push-to and "
            f"--tensorboard, or run fit without {scored[0]} as well"
        )
    if arguments.folds is not None and arguments.init_from:
        raise UserError("--folds trains from the beginning: leave out --init-from")
    if arguments.ray and not scored:
        raise UserError(
            "--ray trains several networks side by side: give --folds or --leave-out-domain too"
        )
    among = _processes(arguments)
    if among and arguments.ray:
        raise UserError("a cluster trains on TensorFlow: leave out --backend jax, or --ray")
    if scored and among and among.coordinator:
        raise UserError(
            f"{scored[0]} trains on this machine alone: leave out --coordinator and --rank"
        )
    if arguments.push_to:
        from unet.inference.hub import check_name

        check_name(arguments.push_to)
    run_dir = arguments.run_dir or Path("runs") / _run_name(name, arguments)
    words = (arguments.data, arguments.model, recipe)
    options = {"out": out, "run_dir": run_dir, "resume": arguments.resume}
    options["candidates"] = arguments.candidates
    options["executor"] = (
        RayExecutor(arguments.ray)
        if arguments.ray
        else SerialExecutor(among, arguments.tensorboard)
    )
    if arguments.folds is not None:
        cross_validate(*words, folds=arguments.folds, **options)
    elif arguments.leave_out_domain is not None:
        domains = {"domains": arguments.leave_out_domain, "init_from": arguments.init_from}
        leave_out(*words, **domains, **options)
    else:
        options |= {"init_from": arguments.init_from, "replace": arguments.replace}
        fit(*words, allow_dirty=arguments.allow_dirty, **options)
    _write_card(out)
    if arguments.push_to and (among is None or among.writes):
        from unet.inference.hub import push

        print(push(out, arguments.push_to))


def _run_name(name: str, arguments: argparse.Namespace) -> str:
    """Name of the run folder: a network that is only scored has another than one that is kept."""
    if arguments.folds is not None:
        return f"{name}-folds"
    return f"{name}-leave-out" if arguments.leave_out_domain is not None else name


def _write_card(folder: Path) -> None:
    """Write the model card of a bundle that has scores; else nothing."""
    from unet.publishing.card import write_card

    if (folder / "unet.json").exists() and (folder / "metrics.json").exists():
        write_card(folder)


def _processes(arguments: argparse.Namespace) -> Processes | None:
    """The processes that train; None for this one alone."""
    from unet.training.jax_processes import Processes

    asked = Processes(arguments.processes, arguments.coordinator, arguments.rank)
    if arguments.backend == "jax":
        return asked
    if asked != Processes():
        raise UserError("--processes, --coordinator and --rank need --backend jax")
    return None


def _evaluate(arguments: argparse.Namespace) -> None:
    from unet.experiments.evaluate import evaluate
    from unet.inference.bundle import bundle_name

    figures = arguments.figures or Path("runs") / bundle_name(arguments.weights) / "figures"
    evaluate(arguments.weights, arguments.data, arguments.split, arguments.out, figures)
    folder = arguments.out or arguments.weights
    _write_card(folder)
    print(f"results: {folder}/metrics.json, cases.csv and plots/; pictures of cases: {figures}")


def _mine(arguments: argparse.Namespace) -> None:
    from unet.experiments.mining import mine_candidates

    mine_candidates(arguments.weights, arguments.data, arguments.out)


def _calibrate(arguments: argparse.Namespace) -> None:
    from unet.experiments.evaluate import calibrate
    from unet.inference.bundle import bundle_name

    figures = Path("runs") / bundle_name(arguments.weights) / "figures"
    calibrate(arguments.weights, arguments.data, figures, arguments.scales)
    _write_card(arguments.weights)
    print(f"wrote {arguments.weights}; pictures of cases: {figures}")


def _export(arguments: argparse.Namespace) -> None:
    from unet.experiments.evaluate import export

    export(arguments.weights)


def _push(arguments: argparse.Namespace) -> None:
    from unet.inference.hub import push

    options = {"private": arguments.private, "tag": arguments.tag}
    print(push(arguments.weights, arguments.repo, **options))


def _ablate(arguments: argparse.Namespace) -> None:
    from unet.experiments.ablation import ablate

    ablate(
        arguments.data,
        arguments.weights,
        arguments.run_dir,
        arguments.leave_out_domain,
        _executor(arguments),
    )
    _write_card(arguments.weights)


def _evaluate_interactive(arguments: argparse.Namespace) -> None:
    from unet.experiments.interactive import evaluate_interactive

    _check_positive(arguments, "clicks", "simulations")
    evaluate_interactive(
        arguments.weights, arguments.baseline, arguments.data, arguments.split,
        arguments.clicks, arguments.simulations, arguments.out,
    )  # fmt: skip
    _write_card(arguments.out or arguments.weights)


def _compare(arguments: argparse.Namespace) -> None:
    from unet.experiments.architecture_comparison import NAMES, compare

    _check_positive(arguments, "input_size", "epochs", "seeds")
    compare(
        arguments.data,
        arguments.models or list(NAMES),
        size=arguments.input_size,
        epochs=arguments.epochs,
        seeds=arguments.seeds,
        out=arguments.out,
        run_dir=arguments.run_dir,
        precision=arguments.precision,
        resume=arguments.resume,
        executor=_executor(arguments),
    )


def _executor(arguments: argparse.Namespace) -> Executor:
    """A cluster, or this process."""
    from unet.experiments.experiment import RayExecutor, SerialExecutor

    return RayExecutor(arguments.ray) if arguments.ray else SerialExecutor()


def _check_positive(arguments: argparse.Namespace, *names: str) -> None:
    for name in names:
        if (value := getattr(arguments, name)) < 1:
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be at least 1. Received: {value}")


def _segment(arguments: argparse.Namespace) -> None:
    from unet.bulk.run import segment_all

    options = {"workers": arguments.workers, "ray": arguments.ray}
    segment_all(arguments.data, arguments.weights, arguments.out, **options)


def _deploy(arguments: argparse.Namespace) -> None:
    from unet.publishing.space import check_preload, deploy, page_files, shared_examples

    options = {"private": arguments.private, "preload": arguments.preload}
    local = Path("examples") if arguments.examples else None
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.kind == "static":
            from unet.inference.bundle import find_interactive_bundle
            from unet.inference.hub import check_name
            from unet.page.site import build_site

            check_name(arguments.repo)  # before anything is built
            check_preload(arguments.kind, arguments.preload)
            folder = Path(temporary) / "site"
            build_site(
                _shipped(),
                folder,
                interactive_model=find_interactive_bundle(Path("weights")),
                examples=local,
            )
            paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
            options["files"] = {path.relative_to(folder).as_posix(): path for path in paths}
        elif local:
            options["files"] = page_files() | shared_examples(local, Path(temporary))
        print(deploy(arguments.repo, arguments.kind, **options))


def _site(arguments: argparse.Namespace) -> None:
    from unet.inference.bundle import find_interactive_bundle
    from unet.page.site import build_site

    build_site(
        arguments.weights or _shipped(), arguments.out,
        interactive_model=find_interactive_bundle(Path("weights")),
        single_file=arguments.single_file, examples=arguments.examples,
    )  # fmt: skip
    print(f"wrote {arguments.out}")


def _shipped() -> list[Path]:
    """The bundles in `weights/`, the best on validation first."""
    from unet.inference.bundle import list_bundles
    from unet.publishing.report import sort_by_validation

    bundles = sort_by_validation(list_bundles(Path("weights")))
    if not bundles:
        raise UserError("weights/ holds no bundle. Run train.py fit first.")
    return bundles


def _examples(arguments: argparse.Namespace) -> None:
    from unet.data.example_export import export_examples

    chosen = export_examples(arguments.data, arguments.weights, arguments.out)
    print(f"{len(chosen)} test cases in {arguments.out}: {', '.join(chosen)}")


def _report(arguments: argparse.Namespace) -> None:
    from unet.publishing.report import write_report

    write_report(arguments.readme, arguments.results, Path("weights"))


COMMANDS = {
    "fit": _fit,
    "evaluate": _evaluate,
    "mine": _mine,
    "calibrate": _calibrate,
    "export": _export,
    "push": _push,
    "ablate": _ablate,
    "compare": _compare,
    "segment": _segment,
    "deploy": _deploy,
    "site": _site,
    "evaluate-interactive": _evaluate_interactive,
    "examples": _examples,
    "report": _report,
}

GOING_ON = {
    **dict.fromkeys(("fit", "compare"), "; add --resume to continue from the last whole epoch"),
    "segment": "; the same command goes on",
}
"""Advice after an interrupted command."""


KERAS_VERBS = ("fit", "mine", "calibrate", "export", "ablate", "compare")


def import_keras() -> None:
    """Import Keras with its backend; what they log of missing GPU drivers is not printed.

    Native code writes it, past any setting, straight to the file descriptor of standard error.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            import keras

            keras.backend.backend()
            # It warns of functions that are traced for several networks, as is meant here.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 when done, 1 after a sentence that says what to mend."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.command in KERAS_VERBS and "keras" not in sys.modules:
            import_keras()
        COMMANDS[arguments.command](arguments)
    except (UserError, OSError) as error:
        print(f"train.py {arguments.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "unet":
            raise
        print(
            f"train.py {arguments.command}: {error.name} is not installed. Run: pip install -r "
            "requirements-train.txt",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nstopped" + GOING_ON.get(arguments.command, ""), file=sys.stderr)
        return 130
    return 0
