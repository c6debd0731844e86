"""Hard negatives: regions that a network takes for a lesion in images it has not seen.

Networks of folds, or of data sets left out, find them in the cases they were scored on; a training
shows windows about them (`TrainConfig.windows`), so that a second look learns to deny.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet.core.windows import Candidates, find_candidates
from unet.data.cases import Case
from unet.data.loading import data_folders, load_datasets
from unet.errors import UserError
from unet.evaluation.case_scores import predict_case
from unet.experiments.splitters import EXTERNAL, OUT_OF_FOLD, Split
from unet.files import atomic_write
from unet.inference.bundle import WEIGHTS, read_info
from unet.inference.segmenter import Segmenter
from unet.progress import Progress
from unet.training.initial_weights import seen_case_ids

THRESHOLD = 0.2
"""Probability from which a pixel is in a candidate: below any threshold that is chosen, so that
what nearly was marked is learnt too."""
MOST = 3
"""Candidates of an image."""
OVERLAP = 0.1
"""Share of a candidate that may be lesion, where it is still a false one."""
SCORED = (OUT_OF_FOLD, EXTERNAL)
"""Parts of a bundle's split that its network has not seen, and that may be trained on."""
LEARNT = ("train", "validation")


@dataclass(frozen=True)
class MinedCandidates:
    """False candidates, and what the networks that found them had seen.

    Attributes:
        sha256: Of the file that they come from.
        networks: For each network the ids of the cases it was trained or calibrated on, and the
            candidates it found.
    """

    sha256: str
    networks: list[tuple[set[str], Candidates]]

    def unseen_by(self, split: Split) -> Candidates:
        """Those of networks that have seen none of the cases that a split's training is scored on.

        Where a region lies in an image may tell of what its finder was trained on.
        """
        scored = {i for part, ids in split.items() if part not in LEARNT for i in ids}
        found: Candidates = {}
        for seen, candidates in self.networks:
            if not seen & scored:
                found |= candidates
        if self.networks and not found:
            print("no candidates: every network that found some has seen cases to be scored")
        return found


def mine_candidates(weights: list[Path], data: list[str], out: Path) -> None:
    """Write the bounds of false candidates, and what each network had seen.

    Args:
        weights: Bundles of networks that were scored out of fold or on a data set left out.
        data: Folders of the data sets, or "phantom".
        out: The JSON file: for each network the ids that it has seen, and for each case that it
            was scored on the bounds (left, top, right, bottom in pixels of its image) of at most
            `MOST` regions that hardly overlap a lesion.

    Raises:
        UserError: A bundle has no such part, or none of its cases is there.
    """
    networks = []
    with data_folders(data) as folders:
        for bundle in weights:
            info = read_info(bundle)
            ids = {i for part in SCORED for i in info.split.get(part, ())}
            dataset = load_datasets(folders, info.model.input_size)
            cases = [case for case in dataset.cases if case.id in ids]
            if not cases:
                raise UserError(
                    f"{bundle}: {', '.join(data)} holds none of the cases that its network was "
                    "scored on. Give a network of fit --folds or --leave-out-domain and its data"
                )
            found = _false_candidates(Segmenter.load(bundle), cases)
            seen = sorted(seen_case_ids(info))
            networks.append({"sha256": info.sha256[WEIGHTS], "seen": seen, "candidates": found})
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, json.dumps({"networks": networks}, indent=1) + "\n")
    count = sum(len(regions) for one in networks for regions in one["candidates"].values())
    cases = sum(len(one["candidates"]) for one in networks)
    print(f"wrote {out}: {count} false candidates in {cases} cases")


def _false_candidates(segmenter: Segmenter, cases: list[Case]) -> Candidates:
    """Bounds of the regions in each case that hardly overlap a lesion."""
    progress, found = Progress(len(cases), "cases"), {}
    for case in cases:
        m = predict_case(segmenter, case)
        probability = m.prediction.probability_u8 / np.float32(255)
        found[case.id] = [
            [float(side) for side in bounds]
            for bounds, pixels in find_candidates(probability, THRESHOLD, MOST)
            if m.truth[pixels].mean() < OVERLAP
        ]
        progress.add()
    return found


def read_candidates(path: Path | None) -> MinedCandidates | None:
    """What `mine_candidates` wrote; None for no file.

    Raises:
        UserError: The file holds something else.
    """
    if path is None:
        return None
    content = path.read_bytes()
    try:
        networks = [
            (
                set(one["seen"]),
                {
                    case_id: [[float(left), float(top), float(right), float(bottom)]
                              for left, top, right, bottom in regions]
                    for case_id, regions in one["candidates"].items()
                },
            )
            for one in json.loads(content)["networks"]
        ]  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: expected what train.py mine writes. Received: {error}") from None
    return MinedCandidates(hashlib.sha256(content).hexdigest(), networks)
