"""`train.py segment`: list, segment what is not finished, write down, tell."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from unet.bulk.inputs import Item, list_inputs, root_of
from unet.bulk.local import Finished, segment_locally
from unet.bulk.results import ResultsStore
from unet.bulk.worker import WRITING, Job
from unet.config import to_dict
from unet.errors import UserError
from unet.files import atomic_write
from unet.inference.bundle import SERVED_FILES, WEIGHTS, verify
from unet.inference.onnx_model import GRAPH, usable_cores
from unet.progress import Progress
from unet.provenance import git_commit

RULES = ("inference", "postprocessing", "confidence", "presence", "familiarity")
"""Keys of `unet.json` that decide how a map becomes an answer."""


def segment_all(
    data: Path, weights: Path, out: Path, *, workers: int | None = None, ray: str | None = None
) -> dict[str, int]:
    """Segment a folder's or manifest's files that `out` does not have yet.

    Writes `out/results.csv` and `results.parquet` (a row a frame, see `unet.bulk.worker.COLUMNS`),
    `out/masks/` and `out/run.json`. Stopped or killed, the same command goes on; files that gave
    an error are tried again, and rows and masks of files that are no longer listed are removed.

    Args:
        data, out: See `unet.bulk.inputs.list_inputs`.
        weights: The bundle.
        workers: Processes; one a core if None.
        ray: A Ray cluster's address, or "local"; processes of this machine if None.

    Returns:
        How many files and rows there are now, and how many rows tell of an error.

    Raises:
        UserError: No data, no whole bundle, `out` holds results of another network or data, or
            masks cannot be written there.
    """
    root = root_of(data)
    if data.is_dir() and os.path.realpath(out) == os.path.realpath(data):
        raise UserError(f"{out}: the results' folder must be another than the data's")
    if workers is not None and workers < 1:
        raise UserError(f"--workers must be at least 1. Received: {workers}")
    info = verify(weights, SERVED_FILES)
    count = workers or usable_cores()
    threads = 1 if ray else max(1, usable_cores() // count)
    job = Job(root, out.absolute(), weights.absolute(), threads)
    sha256 = info.sha256[WEIGHTS]
    rules = rules_sha256(weights)
    settings = {
        "data": str(data.absolute()), "network": f"{info.model.name} {sha256}", "rules": rules,
    }  # fmt: skip
    with ResultsStore(out, settings) as ledger:
        ledger.forget_errors()
        shutil.rmtree(out / WRITING, ignore_errors=True)  # what a killed run was writing
        count_left = sum(not ledger.has(item) for item in list_inputs(data, out))
        todo = _unfinished(root, list_inputs(data, out), ledger)
        if ray:
            from unet.bulk.ray import segment_with_ray

            batches = segment_with_ray(job, todo, ray, workers)
        else:
            batches = segment_locally(job, todo, count)
        _write_down(batches, ledger, count_left)
        shutil.rmtree(out / WRITING, ignore_errors=True)
        ledger.forget_unlisted(out)
        written = ledger.write_results()
        counts = ledger.counts()
        about = {
            "network": info.model.name, "network_sha256": sha256, "rules_sha256": rules,
            "postprocessing": to_dict(info.postprocessing), "commit": git_commit(),
        }  # fmt: skip
        about |= counts | {"fingerprint": ledger.fingerprint()}
    atomic_write(out / "run.json", json.dumps(about, indent=1) + "\n")
    print(
        f"{counts['files']} files, {counts['rows']} rows, {counts['errors']} of them errors: wrote "
        + " and ".join(str(path) for path in written)
    )
    if len(written) == 1:
        print("no Parquet: it takes pyarrow, see requirements-cluster.txt")
    return counts


def rules_sha256(weights: Path) -> str:
    """Hash everything that turns an image into an answer: the ONNX graph and the rules."""
    said = json.loads((weights / "unet.json").read_text())
    parts = [said.get(name) for name in RULES] + [said["sha256"].get(GRAPH)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _unfinished(root: Path, items: Iterator[Item], ledger: ResultsStore) -> Iterator[Item]:
    """The items that the ledger does not have; asked as late as can be."""
    for item in items:
        ledger.mark_listed(item, is_folder=(root / item.path).is_dir())
        if not ledger.has(item):
            yield item


def _write_down(batches: Iterator[Finished], ledger: ResultsStore, files: int) -> None:
    """Store batches as they come, and print progress."""
    progress, images = Progress(files, "files"), 0
    for items, rows in batches:
        ledger.add(items, rows)
        images += len(rows)
        progress.add(len(items))
    if images:
        seconds = progress.seconds
        print(f"{images} images in {seconds:.1f} s, {images / seconds:.1f} a second", flush=True)
