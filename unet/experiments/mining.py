"""Hard negatives: regions that a network takes for a lesion in images it has not seen.

Networks of folds, or of data sets left out, find them in the cases they were scored on; a training
shows windows about them (`TrainConfig.windows`), so that a second look learns to deny.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from unet.core.windows import find_candidates
from unet.data.cases import read_mask
from unet.data.loading import data_folders, load_datasets
from unet.errors import UserError
from unet.evaluation.case_scores import predict_case
from unet.files import atomic_write
from unet.inference.bundle import read_info
from unet.inference.segmenter import Segmenter
from unet.progress import Progress
from unet.training.sampling import Candidates

THRESHOLD = 0.2
"""Probability from which a pixel is in a candidate: below any threshold that is chosen, so that
what nearly was marked is learnt too."""
MOST = 3
"""Candidates of an image."""
OVERLAP = 0.1
"""Share of a candidate that may be lesion, where it is still a false one."""
SCORED = ("out_of_fold", "external")
"""Parts of a bundle's split that its network has not seen, and that may be trained on."""


def mine_candidates(weights: list[Path], data: list[str], out: Path) -> None:
    """Write the bounds of false candidates by case id.

    Args:
        weights: Bundles of networks that were scored out of fold or on a data set left out.
        data: Folders of the data sets, or "phantom".
        out: The JSON file: for each case the bounds (left, top, right, bottom in pixels of its
            image) of at most `MOST` regions that hardly overlap a lesion.

    Raises:
        UserError: A bundle has no such part, or none of its cases is there.
    """
    found: Candidates = {}
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
            segmenter = Segmenter.load(bundle)
            progress = Progress(len(cases), "cases")
            for case in cases:
                m = predict_case(segmenter, case)
                probability = m.prediction.probability_u8 / np.float32(255)
                truth = read_mask(case)
                found[case.id] = [
                    [float(side) for side in bounds]
                    for bounds, pixels in find_candidates(probability, THRESHOLD, MOST)
                    if truth[pixels].mean() < OVERLAP
                ]
                progress.add()
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, json.dumps(found, indent=1, sort_keys=True) + "\n")
    count = sum(map(len, found.values()))
    print(f"wrote {out}: {count} false candidates in {len(found)} cases")


def read_candidates(path: Path | None) -> Candidates | None:
    """What `mine_candidates` wrote; None for no file.

    Raises:
        UserError: The file holds something else.
    """
    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
        return {
            case_id: [[float(left), float(top), float(right), float(bottom)]
                      for left, top, right, bottom in regions]
            for case_id, regions in found.items()
        }  # fmt: skip
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: expected what train.py mine writes. Received: {error}") from None
