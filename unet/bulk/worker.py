"""A file → a row a frame, and its masks: what every worker does, wherever it runs."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unet.bulk.inputs import Item, display_name, mask_name
from unet.errors import UserError
from unet.inference.onnx_model import THREADS
from unet.io.images import ImageError, Picture, read_picture

MASKS, WRITING = "masks", ".writing"
COLUMNS: dict[str, type] = {
    "path": str,
    "frame": int,
    "width": int,
    "height": int,
    "network": str,
    "network_sha256": str,
    "file_sha256": str,
    "presence": float,
    "confidence": str,
    "reason": str,
    "unsure": bool,
    "regions": int,
    "area_px": int,
    "area_mm2": float,
    "seconds": float,
    "mask": str,
    "error": str,
}
"""Columns of results.csv and results.parquet; an unknown value is empty."""

Row = dict[str, Any]


class FatalError(UserError):
    """Errors that every file would meet, such as a full disk."""


@dataclass(frozen=True)
class Job:
    """Settings that every worker needs.

    Attributes:
        root: The folder that paths are relative to.
        out: Where results go; seen by all workers under this name.
        weights: The bundle.
        threads: Of each worker's network.
    """

    root: Path
    out: Path
    weights: Path
    threads: int


class Worker:
    """One network, ready to segment files."""

    def __init__(self, job: Job):
        """Load the job's network.

        Raises:
            unet.inference.bundle.BundleError: It is not a whole bundle.
        """
        os.environ[THREADS] = str(job.threads)  # this process is this worker's alone
        from unet.inference.segmenter import Segmenter

        self.job = job
        self.segmenter = Segmenter.load(job.weights)

    def rows(self, item: Item) -> list[Row]:
        """Segment all frames of a file and write their masks; a row each.

        What is wrong with a file is said in its row; the frames after one that cannot be read are
        left out.

        Raises:
            FatalError: Masks cannot be written.
        """
        path = self.job.root / item.path
        found: list[Row] = []
        frame, frames, digest = 0, 1, None
        while frame < frames:
            begun = time.perf_counter()
            row = row_of(item, frame) | self._network
            try:
                digest = digest or _sha256(path)
                picture = read_picture(path, frame)
                frames = picture.frames
                row |= {"file_sha256": digest} | self._answer(picture, item.path)
            except FatalError:
                raise
            except ImageError as error:
                row["error"] = error.reason
            except Exception as error:  # whatever it is, it is this file's
                row["error"] = f"could not be segmented ({type(error).__name__}: {error})"[:300]
            row["seconds"] = round(time.perf_counter() - begun, 4)
            found.append(row)
            if row["error"] is not None:
                break
            frame += 1
        return found

    @property
    def _network(self) -> Row:
        network = self.segmenter.network
        return {"network": network.name, "network_sha256": network.sha256}

    def _answer(self, picture: Picture, path: str) -> Row:
        prediction = self.segmenter.analyze(picture.pixels)
        answer = prediction.segment(spacing_mm=picture.spacing_mm)
        height, width = answer.mask.shape
        area = int(np.count_nonzero(answer.mask))
        spacing = picture.spacing_mm
        presence = prediction.presence
        name = mask_name(path, picture.frame)
        self._write(name, answer.mask)
        return {
            "width": width,
            "height": height,
            "presence": None if presence is None else round(float(presence), 4),
            "confidence": answer.confidence,
            "reason": answer.reason,
            "unsure": answer.unsure,
            "regions": len(answer.regions),
            "area_px": area,
            "area_mm2": None if spacing is None else round(area * spacing[0] * spacing[1], 3),
            "mask": display_name(f"{MASKS}/{name}"),
        }

    def _write(self, name: os.PathLike, mask: np.ndarray) -> None:
        """Write a mask, bool `(H, W)`, as a PNG of 0 and 255; whole or not at all."""
        content = io.BytesIO()
        Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(content, "PNG")
        target = self.job.out / MASKS / name
        temporary = self.job.out / WRITING / uuid.uuid4().hex
        try:
            for path in (target, temporary):
                path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content.getvalue())
            os.replace(temporary, target)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ImageError("its name is too long for a mask's. Shorten it.") from None
            if error.errno in (errno.EINVAL, errno.EILSEQ):  # such as a colon on some disks
                raise ImageError("a mask cannot have its name there. Rename it.") from None
            raise FatalError(f"{target} cannot be written: {error.strerror}") from error


def row_of(item: Item, frame: int = 0, error: str | None = None) -> Row:
    """A row that says nothing but which file and frame it is of, and what is wrong."""
    return dict.fromkeys(COLUMNS) | {"path": item.display_name, "frame": frame, "error": error}


def _sha256(path: Path) -> str | None:
    """Hash a file's bytes; None for an unreadable file, which decoding reports."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
