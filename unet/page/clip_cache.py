"""A clip's frames as the page keeps them: the maps packed, the picture left in its file.

Two hundred frames of 640 × 480 pixels would be 180 MB as they are; packed they take a few.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np

from unet.io.images import Picture, read_picture
from unet.page.analysis import Analysis

EMPTY = np.empty((0, 0), np.uint8)
REST_BYTES = 2000
"""Rough overhead of a frame in bytes beside its maps."""


@dataclass(frozen=True)
class CompressedFrame:
    """A frame's analysis without its pixels.

    Attributes:
        analysed: The analysis; picture and maps are empty.
        shape: Height and width.
        probability_u8: The probability map, compressed.
        disagreement_u8: The disagreement map, compressed; None for a single view.
    """

    analysed: Analysis
    shape: tuple[int, int]
    probability_u8: bytes
    disagreement_u8: bytes | None

    @property
    def series(self) -> str:
        """The clip it is of."""
        return self.analysed.series

    @property
    def nbytes(self) -> int:
        """Memory of the frame in bytes."""
        truth = self.analysed.truth
        maps = len(self.probability_u8) + len(self.disagreement_u8 or b"")
        return REST_BYTES + maps + (0 if truth is None else truth.nbytes)

    def unpack(self) -> Analysis:
        """The analysis, its picture read from the file again.

        Raises:
            unet.io.images.ImageError: The file is not there any more.
        """
        picture = read_picture(self.analysed.clip_path, self.analysed.picture.frame)
        prediction = replace(
            self.analysed.prediction,
            probability_u8=self._map(self.probability_u8),
            disagreement_u8=None
            if self.disagreement_u8 is None
            else self._map(self.disagreement_u8),
        )
        return replace(self.analysed, picture=picture, prediction=prediction)

    def _map(self, packed: bytes) -> np.ndarray:
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self.shape)


def pack(analysed: Analysis) -> CompressedFrame:
    """Leave the picture in its file, and compress the rest."""
    prediction = analysed.prediction
    disagreement_u8 = prediction.disagreement_u8
    bare = replace(
        analysed,
        picture=replace(analysed.picture, pixels=EMPTY, header=None),
        prediction=replace(prediction, probability_u8=EMPTY, disagreement_u8=None),
    )
    compressed = None if disagreement_u8 is None else zlib.compress(disagreement_u8.tobytes(), 1)
    probability_u8 = zlib.compress(prediction.probability_u8.tobytes(), 1)
    return CompressedFrame(bare, prediction.probability_u8.shape, probability_u8, compressed)


def frame_ms(picture: Picture) -> float | None:
    """Duration of a frame in milliseconds, if its file says."""
    try:
        milliseconds = float(picture.header.FrameTime)
    except (AttributeError, OverflowError, TypeError, ValueError):
        return None
    return milliseconds if 0 < milliseconds < math.inf else None
