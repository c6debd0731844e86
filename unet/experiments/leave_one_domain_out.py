"""Leave one domain out: train without a data set or a scanner, and score it."""

from __future__ import annotations

from pathlib import Path

from unet.config import Recipe, to_dict
from unet.data.cases import DatasetError
from unet.data.loading import data_folders, load_datasets, sources_of
from unet.evaluation.report import results_text
from unet.experiments.artifacts import check_results_fit
from unet.experiments.experiment import Executor, Experiment, SerialExecutor, results_of, run
from unet.experiments.mining import read_candidates
from unet.experiments.recipes import command_of
from unet.experiments.run_store import CALIBRATED, RunStore
from unet.experiments.splitters import EXTERNAL, leave_one_domain_out
from unet.inference.bundle import WEIGHTS, read_info
from unet.results import Results, Run


def leave_out(
    data: list[str],
    name: str,
    recipe: Recipe,
    *,
    domains: list[str],
    out: Path,
    run_dir: Path,
    init_from: Path | None = None,
    resume: bool = False,
    candidates: Path | None = None,
    executor: Executor = SerialExecutor(),
) -> None:
    """Train without each of some data sets or scanners and score it; adds to leave_out.json.

    Each network, calibrated on what is left, stays as a bundle in its run folder: to start an
    interactive one from, and to look at.

    Args:
        domains: Names of data sets or scanners; case, spaces and hyphens do not matter.
        out: As in `unet.experiments.cross_validation.cross_validate`.
        init_from: A bundle to start from, which has not seen what is left out either.
        executor: Runs the trainings.
        data, name, recipe, run_dir, resume, candidates: As in `cross_validate`.

    Raises:
        DatasetError: There is no such data set or scanner, nothing would be left to train on, or
            `out` holds a network, or results, of another recipe.
        UserError: `init_from` holds another kind of network, or one that has seen what is left out.
    """
    path = out / "leave_out.json"
    with data_folders(data) as folders:
        dataset = load_datasets(folders, recipe.model.input_size)
        names = [source["name"] for source in sources_of(dataset.cases)]
        command = command_of(names, name, recipe) + " --init-from DIR" * bool(init_from)
        command += " --candidates FILE" * bool(candidates) + executor.options
        command += " --leave-out-domain NAME"
        mined = read_candidates(candidates)
        facts = {
            "candidates": mined and mined.sha256,
            "init_from": init_from and read_info(init_from).sha256[WEIGHTS],
        }
        check_results_fit(out, names, recipe)
        experiment = Experiment(
            "leave-one-domain-out",
            {name: recipe},
            leave_one_domain_out(domains, recipe.train),
            scored=(EXTERNAL,),
            init_from=init_from,
            facts={"command": command},
            candidates=mined,
        )
        before = _earlier(
            path, Results("", command, names, {name: to_dict(recipe)}, [], facts=facts)
        )
        store = RunStore(run_dir, resume=resume)
        scored = run(experiment, dataset, store, executor)
    results = results_of(experiment, dataset, command, scored, facts=facts)
    now = {one.split for one in results.runs}
    results.runs[:0] = [one for one in before if one.split not in now]
    results.write(path)
    print(results_text({one.split: one.parts[EXTERNAL] for one in results.runs}))
    print(f"wrote {path}; the networks: {run_dir}/*/{CALIBRATED}")


def _earlier(path: Path, now: Results) -> list[Run]:
    """The runs already in leave_out.json; DatasetError if they are of other settings than `now`."""
    before = Results.read(path)
    if before is None:
        return []
    settings = [(one.command, one.datasets, one.recipes, one.facts) for one in (before, now)]
    if settings[0] != settings[1]:
        raise DatasetError(
            f"{path} holds results of other settings ({before.command}), which are not mixed. Give "
            "--out another folder."
        )
    return before.runs
