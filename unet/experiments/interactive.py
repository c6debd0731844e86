"""Score an interactive network after simulated clicks, and write the results to its bundle."""

from __future__ import annotations

import json
from pathlib import Path

from unet.config import to_dict
from unet.data.loading import data_folders, load_datasets
from unet.errors import UserError
from unet.evaluation import plots
from unet.evaluation.interactive import interactive_summary
from unet.experiments.splitters import EXTERNAL
from unet.files import atomic_write
from unet.inference.bundle import WEIGHTS, read_info
from unet.inference.segmenter import Segmenter
from unet.provenance import git_commit
from unet.results import plot_path
from unet.training.initial_weights import seen_case_ids

CLICKS = "clicks.json"


def evaluate_interactive(
    weights: Path,
    beside: Path,
    data: list[str],
    split: str,
    clicks: int,
    people: int,
    out: Path | None = None,
) -> None:
    """Let simulated people click at the lesions of a split; writes `clicks.json`, plot and card.

    Args:
        weights: Bundle of the guided network.
        beside: Bundle of the network that answers before anyone clicks.
        data: Folders of data sets, or "phantom".
        split: Which of the guided bundle's cases.
        clicks, people: As in `interactive_summary`.
        out: Bundle that the results are written to; `weights` if None.

    Raises:
        UserError: The network takes no prompts or has no such split, none of its cases are there,
            or `beside` has seen it or is not the network that it started from.
    """
    info = read_info(weights)
    if not info.model.interactive:
        raise UserError(f"{weights} holds a network that takes no prompts")
    if split not in info.split:
        raise UserError(f"{weights} has no {split} split, only {', '.join(info.split)}")
    # What the rules were chosen on may be validation for both.
    known = read_info(beside)
    seen = set(known.split["train"]) if split == "validation" else seen_case_ids(known)
    if leaked := seen & set(info.split[split]):
        raise UserError(
            f"--baseline {beside} has seen {len(leaked)} of the {split} cases of {weights}"
        )
    begun = info.training.get("start", {}).get("sha256")
    if split == EXTERNAL and begun != known.sha256[WEIGHTS]:
        raise UserError(f"--baseline {beside} is not the network that {weights} started from")
    out = out or weights
    (out / "plots").mkdir(parents=True, exist_ok=True)  # before hours of measuring, not after
    with data_folders(data) as folders:
        dataset = load_datasets(folders, info.model.input_size)
        wanted = set(info.split[split])
        cases = [case for case in dataset.cases if case.id in wanted]
        if not cases:
            raise UserError(f"{', '.join(data)} holds none of the {split} cases of {weights}")
        alone, interactive_model = Segmenter.load(beside), Segmenter.load(weights)
        found = interactive_summary(alone, interactive_model, cases, clicks, people)
    path = out / CLICKS
    content = json.loads(path.read_text()) if path.exists() else {}
    of = info.training["split_name"] if split == EXTERNAL else split
    content[of] = {
        "split": split, "commit": git_commit(), "sha256": info.sha256[WEIGHTS],
        "people": people,
        "beside": {
            "name": alone.name, "sha256": alone.network.sha256,
            "views": alone.inference.views,
            "rules": to_dict(alone.postprocessing),
        },
        "datasets": found,
    }  # fmt: skip
    atomic_write(path, json.dumps(content, indent=1))
    plots.clicks(found, of, out / plot_path(of))
    print(json.dumps(found, indent=1))
    print(f"wrote {path}")
