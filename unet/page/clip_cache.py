"""A clip's frames as the page keeps them: the maps packed, the picture left in its file.

Two hundred frames of 640 × 480 pixels would be 180 MB as they are; packed they take a few.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np

from unet.io.images import Picture, read_picture
from unet.page.analysis import Analysed

EMPTY = np.empty((0, 0), np.uint8)
REST_BYTES = 2000
"""What a frame takes beside its maps, roughly."""


@dataclass(frozen=True)
class Packed:
    """A frame's analysis without its pixels.

    Attributes:
        analysed: The analysis; picture and maps are empty.
        shape: Height and width.
        p8, u8: The maps, compressed; `u8` is None where there is one view.
    """

    analysed: Analysed
    shape: tuple[int, int]
    p8: bytes
    u8: bytes | None

    @property
    def series(self) -> str:
        """The clip it is of."""
        return self.analysed.series

    @property
    def nbytes(self) -> int:
        """How much memory it takes, in bytes."""
        truth = self.analysed.truth
        maps = len(self.p8) + len(self.u8 or b"")
        return REST_BYTES + maps + (0 if truth is None else truth.nbytes)

    def unpack(self) -> Analysed:
        """The analysis, its picture read from the file again.

        Raises:
            unet.io.images.ImageError: The file is not there any more.
        """
        picture = read_picture(self.analysed.clip_path, self.analysed.picture.frame)
        prediction = replace(
            self.analysed.prediction,
            p8=self._map(self.p8),
            u8=None if self.u8 is None else self._map(self.u8),
        )
        return replace(self.analysed, picture=picture, prediction=prediction)

    def _map(self, packed: bytes) -> np.ndarray:
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self.shape)


def pack(analysed: Analysed) -> Packed:
    """Leave the picture in its file, and compress the rest."""
    prediction = analysed.prediction
    u8 = prediction.u8
    bare = replace(
        analysed,
        picture=replace(analysed.picture, pixels=EMPTY, header=None),
        prediction=replace(prediction, p8=EMPTY, u8=None),
    )
    compressed = None if u8 is None else zlib.compress(u8.tobytes(), 1)
    p8 = zlib.compress(prediction.p8.tobytes(), 1)
    return Packed(bare, prediction.p8.shape, p8, compressed)


def frame_ms(picture: Picture) -> float | None:
    """How long a frame of the clip is shown, in milliseconds, if its file says."""
    try:
        milliseconds = float(picture.header.FrameTime)
    except (AttributeError, OverflowError, TypeError, ValueError):
        return None
    return milliseconds if 0 < milliseconds < math.inf else None
