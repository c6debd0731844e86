"""A trained network on disk: read, verify, replace.

A bundle holds Keras' own directory layout (`config.json`, `metadata.json`, `model.weights.h5`), so
people who have only Keras can load it; the same network as an ONNX graph, which is what this
project runs (`model.onnx`); and `unet.json`, which says the rest. No code that came from elsewhere
is deserialised.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from unet.config import InferenceConfig, ModelConfig, from_dict, to_dict
from unet.core.mask import PostProcessing
from unet.errors import UserError
from unet.files import atomic_write
from unet.inference.confidence import Confidence
from unet.inference.lesion_classifier import LesionClassifier
from unet.inference.onnx_model import GRAPH
from unet.inference.ood_detector import OODDetector

T = TypeVar("T")

SCHEMA = 2
WEIGHTS = "model.weights.h5"
MAX_INFO_BYTES = 50_000_000
"""Largest `unet.json` that is read: a hundred times one that lists several data sets."""
BUNDLE = "bundle"
"""Name of a bundle's folder in the run folder of its training."""
ASIDE = ".replaced"
"""Ending of the hidden folder that holds a bundle while another takes its place."""
KERAS_FILES = ("config.json", "metadata.json", WEIGHTS)
SERVED_FILES = (GRAPH,)
"""What the network is run from."""


class BundleError(UserError):
    """A folder that is not a whole, unaltered bundle; the message says what is wrong with it."""


@dataclass(frozen=True)
class BundleInfo:
    """Content of `unet.json`.

    Attributes:
        model: The network.
        inference: The views of an image that are averaged, and the second look.
        postprocessing: Threshold and rules, chosen on validation.
        training: Recipe and facts of the run, as JSON values.
        split: Case ids of "train", "validation" and "test"; in place of the last, of "external"
            where a domain was left out and of "out_of_fold" for a fold.
        familiarity: What the training images look like to the network; None if unknown.
        presence: Tells whether there is a lesion at all; None if the network does not.
        confidence: Which agreement between views counts as high or low; None if there is one view.
        commit: The project's git commit the run started from; None if unknown.
        versions: Versions of Python and the libraries.
        sha256: Hash of each file of the Keras layout, and of the ONNX graph.
    """

    model: ModelConfig
    postprocessing: PostProcessing
    training: dict[str, Any] = field(default_factory=dict)
    split: dict[str, list[str]] = field(default_factory=dict)
    familiarity: OODDetector | None = None
    presence: LesionClassifier | None = None
    confidence: Confidence | None = None
    commit: str | None = None
    inference: InferenceConfig = InferenceConfig()
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that it was trained on."""
        return [source["name"] for source in self.training["sources"]]

    @property
    def layers(self) -> list[str]:
        """The layers whose features are read."""
        layers = [self.familiarity.layer] if self.familiarity else []
        return layers + list(self.presence.layers if self.presence else ())


@contextmanager
def atomic_directory(folder: Path) -> Iterator[Path]:
    """An empty folder that takes `folder`'s place when all went well.

    Until then, and if anything fails, `folder` stays as it is. A process that is killed between the
    two renames leaves the old one aside, whence `recover` brings it back.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover(folder)
    aside = _aside(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        if folder.exists():
            os.replace(folder, aside)
        try:
            os.replace(new, folder)
        except BaseException:
            recover(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring back the folder that a killed `atomic_directory` left aside; remove an old one."""
    aside = _aside(folder)
    if aside.exists() and not folder.exists():
        os.replace(aside, folder)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{ASIDE}")


def bundle_name(folder: str | Path) -> str:
    """Name of a bundle by its folder: that of `runs/NAME/bundle` and of `weights/NAME` is NAME."""
    name = Path(folder).name
    if name.startswith(".") and name.endswith(ASIDE):
        name = name[1:].removesuffix(ASIDE)
    return Path(folder).absolute().parent.name if name == BUNDLE else name


def find_interactive_bundle(folder: Path) -> Path | None:
    """The bundle in a folder whose network is shown what a person points at; None if none is."""
    for bundle in list_bundles(folder):
        try:
            if read_info(bundle).model.interactive:
                return bundle
        except BundleError:  # whoever wants that one is told
            continue
    return None


def list_bundles(folder: Path) -> list[Path]:
    """List the bundles in a folder such as `weights/` by name; nothing is written.

    Where a save was killed between its two renames, the old bundle still lies aside: it is listed
    there, until the next save puts it back.
    """
    found = {path.parent.name: path.parent for path in folder.glob("[!.]*/unet.json")}
    for path in folder.glob(f".*{ASIDE}/unet.json"):
        found.setdefault(path.parent.name[1:].removesuffix(ASIDE), path.parent)
    return [found[name] for name in sorted(found)]


def write_info(folder: Path, info: BundleInfo) -> None:
    """Write `unet.json`."""
    values = {
        "schema": SCHEMA,
        "model": to_dict(info.model),
        "inference": to_dict(info.inference),
        "postprocessing": to_dict(info.postprocessing),
        "familiarity": info.familiarity and info.familiarity.to_dict(),
        "presence": info.presence and info.presence.to_dict(),
        "confidence": info.confidence and to_dict(info.confidence),
        "training": info.training,
        "commit": info.commit,
        "versions": info.versions,
        "sha256": info.sha256,
        "split": info.split,
    }
    atomic_write(folder / "unet.json", json.dumps(values, indent=1) + "\n")


def read_info(folder: str | Path) -> BundleInfo:
    """Read `unet.json`.

    Raises:
        BundleError: The folder or the file is missing, or the file is not of this schema.
    """
    folder = Path(folder)
    path = folder / "unet.json"
    if not path.is_file():
        known = [bundle.name for bundle in list_bundles(folder.parent)]
        raise BundleError(
            f"{folder} is not a bundle: it has no unet.json. "
            + (f"Bundles beside it: {', '.join(known)}." if known else "Run train.py fit first.")
        )
    if path.stat().st_size > MAX_INFO_BYTES:
        raise BundleError(f"{path} is larger than any unet.json. Fetch the bundle again.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        if values["schema"] != SCHEMA:
            raise BundleError(
                f"{path} has schema {values['schema']!r:.40}; this version reads {SCHEMA}. "
                "Update the project."
            )
        return BundleInfo(
            model=from_dict(ModelConfig, values["model"]),
            inference=from_dict(InferenceConfig, values["inference"]),
            postprocessing=from_dict(PostProcessing, values["postprocessing"]),
            training=dict(values["training"]),
            split={name: list(ids) for name, ids in values["split"].items()},
            familiarity=_optional(OODDetector.from_dict, values.get("familiarity")),
            presence=_optional(LesionClassifier.from_dict, values.get("presence")),
            confidence=_optional(partial(from_dict, Confidence), values.get("confidence")),
            commit=values["commit"],
            versions=dict(values["versions"]),
            sha256=_hashes_in(values),
        )
    except BundleError:
        raise
    except RecursionError:  # its own words are Python's
        raise BundleError(f"{path} is not a bundle's unet.json: it is nested too deeply.") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BundleError(f"{path} is not a bundle's unet.json: {error!r:.200}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _hashes_in(values: dict[str, Any]) -> dict[str, str]:
    """The table of hashes, which names at least the weights and the graph."""
    found = dict(values["sha256"])
    wrong = {WEIGHTS: "missing", GRAPH: "missing"} | found
    wrong = [name for name, value in wrong.items() if not re.fullmatch("[0-9a-f]{64}", str(value))]
    if wrong:
        raise ValueError(f"sha256 says no hash of {', '.join(map(str, wrong))}")
    return found


def _optional(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def verify(folder: str | Path, names: Sequence[str] = (*KERAS_FILES, *SERVED_FILES)) -> BundleInfo:
    """Read `unet.json` and check the files' hashes against it.

    Args:
        folder: The bundle.
        names: The files to check; the others may be missing.

    Raises:
        BundleError: As `read_info`, or a file is missing or differs.
    """
    folder = Path(folder)
    info = read_info(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BundleError(f"{folder} is incomplete: it lacks {', '.join(missing)}. Fetch it again.")
    actual = hashes(folder, names)
    differing = [name for name in names if actual[name] != info.sha256.get(name)]
    if differing:
        raise BundleError(
            f"{folder}: {', '.join(differing)} is not the file that unet.json describes "
            "(sha256 differs). Fetch the bundle again."
        )
    return info


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """sha256 of each of these files in `folder`, in hex."""
    result = {}
    for name in names:
        with open(folder / name, "rb") as file:
            result[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return result
