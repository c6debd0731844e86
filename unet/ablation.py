"""What each part of the second network's recipe gives, on the validation split.

    python -m unet.ablation --data DIR --weights weights/NAME [--run-dir runs/ablation]

Parts of the training are left out one at a time, in trainings of their own that are smaller than
the shipped network's (`SIZE`, `EPOCHS`) and may be stopped and continued. Parts of what happens
after the network are left out of the shipped bundle. Writes ablation.json to the bundle.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from unet.annotations import annotation_layers
from unet.bundle import BundleInfo, load_network, verify
from unet.config import TrainConfig, from_dict, to_dict
from unet.dataset import Case, load_dataset
from unet.evaluation import Map, choose_postprocessing
from unet.files import write_whole
from unet.metrics import Confusion, ratio_interval
from unet.postprocessing import PostProcessing, quantise, segment
from unet.training import train

SIZE, EPOCHS = 128, 20
TRAININGS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "encoder from random weights": {"pretrained": False},
    "small augmentation only": {"strong": False, "annotations": False},
    "no annotations drawn": {"annotations": False},
    "cross-entropy without Dice": {"loss": "cross_entropy"},
}


@dataclasses.dataclass(frozen=True)
class Validation:
    """The validation cases at a network's size.

    Attributes:
        cases: N cases.
        images: float32 `(N, S, S, 1)` in [0, 1].
        masks: bool `(N, S, S, 1)`.
    """

    cases: list[Case]
    images: np.ndarray
    masks: np.ndarray

    def maps(self, network: keras.Model, *, flip: bool = True, annotated: bool = False):
        """The network's maps, at its own size."""
        images = draw_over(self.images) if annotated else self.images
        squares = network.predict(images, batch_size=16, verbose=0)[..., 0]  # (N, S, S)
        if flip:
            mirrored = network.predict(images[:, :, ::-1], batch_size=16, verbose=0)[..., 0]
            squares = (squares + mirrored[:, :, ::-1]) / 2
        return [
            Map(case, square, quantise(square), mask[..., 0], 0.0)
            for case, square, mask in zip(self.cases, squares, self.masks)
        ]

    def scores(self, maps: list[Map], rules: PostProcessing) -> np.ndarray:
        """Dice of each case's final mask: float `(N,)`."""
        return np.array([Confusion.of(segment(m.p8, rules), m.truth).dice for m in maps])

    def summary(self, dice: np.ndarray, base: np.ndarray | None) -> dict[str, Any]:
        """Mean Dice, and its difference to the whole's, each with a 95 % interval."""
        groups = np.array([case.group for case in self.cases])
        lesion = self.masks.any(axis=(1, 2, 3))

        def mean(values: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
            return ratio_interval(values[chosen], np.ones(chosen.sum()), groups[chosen])

        every = np.ones(len(dice), bool)
        result = {"dice_all": mean(dice, every), "dice_lesion": mean(dice, lesion)}
        if base is not None:
            result["difference_all"] = mean(dice - base, every)
            result["difference_lesion"] = mean(dice - base, lesion)
        return result


def draw_over(images: np.ndarray) -> np.ndarray:
    """The images with calipers and text drawn over each, others than training drew."""
    layers = annotation_layers(images.shape[1], seed=1_000_003, count=len(images))[..., None]
    return np.where(layers > 0, layers / np.float32(255), images).astype(np.float32)


def ablate_training(
    data: Path, info: BundleInfo, run_dir: Path, size: int = SIZE, epochs: int = EPOCHS
) -> list[dict[str, Any]]:
    """Train with each part left out and score on validation; a row a training."""
    recipe = from_dict(TrainConfig, info.training["config"])
    dataset = load_dataset(data, size)
    place = {case.id: i for i, case in enumerate(dataset.cases)}
    chosen = {name: [place[case_id] for case_id in ids] for name, ids in info.split.items()}
    arrays = {n: (dataset.images[i], dataset.masks[i]) for n, i in chosen.items()}
    validation = Validation([dataset.cases[i] for i in chosen["validation"]], *arrays["validation"])
    model = dataclasses.replace(info.model, input_size=size)
    rows, base = [], {}
    for number, (name, changes) in enumerate(TRAININGS.items()):
        print(f"\n{name}", flush=True)
        network, _ = train(
            model,
            dataclasses.replace(recipe, epochs=epochs, **changes),
            arrays["train"],
            None,
            run_dir / str(number),
            resume=True,
        )
        maps = validation.maps(network)
        rules = choose_postprocessing(maps)
        dice = {
            "as_they_are": validation.scores(maps, rules),
            "annotated": validation.scores(validation.maps(network, annotated=True), rules),
        }
        rows.append(
            {"what": name, "changes": changes}
            | {key: validation.summary(values, base.get(key)) for key, values in dice.items()}
        )
        base = base or dice
        keras.backend.clear_session()
    return rows


def ablate_rules(data: Path, folder: Path, info: BundleInfo) -> list[dict[str, Any]]:
    """The shipped network with parts of what comes after it left out; a row each."""
    dataset = load_dataset(data, info.model.input_size)
    place = {case.id: i for i, case in enumerate(dataset.cases)}
    chosen = [place[case_id] for case_id in info.split["validation"]]
    validation = Validation(
        [dataset.cases[i] for i in chosen], dataset.images[chosen], dataset.masks[chosen]
    )
    network = load_network(folder, info)
    rules = info.postprocessing
    both, one = (validation.maps(network, flip=flip) for flip in (True, False))
    variants = {
        "the shipped network": (both, rules),
        "no flip averaging": (one, rules),
        "no gate on the peak": (both, dataclasses.replace(rules, min_peak=0.0)),
        "no smallest region": (both, dataclasses.replace(rules, min_area=0.0)),
        "threshold 0.5, no post-processing": (both, PostProcessing()),
    }
    rows, base = [], None
    normal = ~validation.masks.any(axis=(1, 2, 3))
    for name, (maps, variant) in variants.items():
        dice = validation.scores(maps, variant)
        given = int(np.sum([dice[i] < 1 for i in np.flatnonzero(normal)]))
        rows.append(
            {"what": name, "normal_with_mask": given, "normal": int(normal.sum())}
            | validation.summary(dice, base)
        )
        base = dice if base is None else base
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the BUSI folder")
    parser.add_argument("--weights", type=Path, required=True, help="bundle folder")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/ablation"))
    arguments = parser.parse_args()
    info = verify(arguments.weights)
    found = {
        "size": SIZE,
        "epochs": EPOCHS,
        "rules": to_dict(info.postprocessing),
        "after_the_network": ablate_rules(arguments.data, arguments.weights, info),
        "training": ablate_training(arguments.data, info, arguments.run_dir),
    }
    write_whole(arguments.weights / "ablation.json", json.dumps(found, indent=1) + "\n")
    print(f"wrote {arguments.weights}/ablation.json")


if __name__ == "__main__":
    main()
