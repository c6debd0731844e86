"""The mask for annotation tools and data sets: COCO's and LabelMe's JSON, an object a region.

Outlines run along pixel edges, from the image's top left corner. A polygon knows no holes, so a
region that has one is given as pixels instead, as each format can.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from unet.core.mask import EIGHT_NEIGHBOURS
from unet.page.analysis import Analysis, Drawn
from unet.page.exports.report import png, trace_outlines
from unet.publishing.card import NOTICE

LESION = "lesion"
IMAGE_NAME = "image.png"
"""Default name of the image: the uploaded file's name may be the patient's."""
LABELME_VERSION = "5.3.0"
"""The oldest LabelMe that reads the shape type "mask"."""


@dataclass(frozen=True)
class _Object:
    """A region: bool `(h, w)` inside its bounding box, whose corner is `left`, `top`."""

    inside: np.ndarray
    left: int
    top: int

    @property
    def outline(self) -> list[list[int]] | None:
        """Its corners `[x, y]` in the image; None if it has a hole."""
        outlines = trace_outlines(self.inside)
        if len(outlines) > 1:
            return None
        return [[x + self.left, y + self.top] for x, y in outlines[0]]


def coco(
    analysed: Analysis, mask: np.ndarray, drawn: Drawn = "AUTOMATIC", file_name: str = IMAGE_NAME
) -> dict[str, Any]:
    """The mask as a COCO data set of one image, in instance format.

    A region with a hole is an uncompressed run-length code. `iscrowd` is 0 for it too: it says
    "a crowd, not counted", and is no mark of how the pixels are written.

    Args:
        analysed: The picture, and which network looked at it.
        mask: bool `(H, W)`.
        drawn: Who drew the mask.
        file_name: Of the image.
    """
    height, width = mask.shape
    return {
        "info": {"description": NOTICE} | _made_by(analysed, drawn),
        "licenses": [],
        "images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
        "categories": [{"id": 1, "name": LESION, "supercategory": ""}],
        "annotations": [
            _annotation(number, found, mask.shape)
            for number, found in enumerate(_objects(mask), start=1)
        ],
    }


def labelme(
    analysed: Analysis, mask: np.ndarray, drawn: Drawn = "AUTOMATIC", file_name: str = IMAGE_NAME
) -> dict[str, Any]:
    """The mask as a LabelMe file that holds the image too, so that it opens wherever it lies.

    A region with a hole is a shape of type "mask". LabelMe's own tools count a polygon's border in:
    masks that they make of it are a pixel wider to the right and below.

    Args:
        analysed: The picture, and which network looked at it.
        mask: bool `(H, W)`.
        drawn: Who drew the mask.
        file_name: What LabelMe calls the image; it need not exist.
    """
    height, width = mask.shape
    return {
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": [_shape(found) for found in _objects(mask)],
        "imagePath": file_name,
        "imageData": _base64_png(analysed.picture.pixels),
        "imageHeight": height,
        "imageWidth": width,
    } | _made_by(analysed, drawn)


def _objects(mask: np.ndarray) -> list[_Object]:
    """The 8-connected regions, largest first."""
    from scipy import ndimage  # here: it takes a third of a second, and the page starts without

    labels, _ = ndimage.label(mask, EIGHT_NEIGHBOURS)
    objects = [
        _Object(labels[box] == number, box[1].start, box[0].start)
        for number, box in enumerate(ndimage.find_objects(labels), start=1)
    ]
    return sorted(objects, key=lambda found: -np.count_nonzero(found.inside))


def _annotation(number: int, found: _Object, shape: tuple[int, int]) -> dict[str, Any]:
    height, width = found.inside.shape
    outline = found.outline
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [[*chain(*outline)]] if outline else _run_lengths(found, shape),
        "area": int(found.inside.sum()),
        "bbox": [found.left, found.top, width, height],
        "iscrowd": 0,
    }


def _run_lengths(found: _Object, shape: tuple[int, int]) -> dict[str, Any]:
    """COCO's run-length code: down the columns, how many pixels are out, in, out and so on."""
    height, width = found.inside.shape
    whole = np.zeros(shape, bool)
    whole[found.top : found.top + height, found.left : found.left + width] = found.inside
    pixels = np.concatenate([[False], whole.ravel(order="F")])  # a code begins with those out
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(np.concatenate([[0], changes, [whole.size]]))
    return {"size": list(shape), "counts": counts.tolist()}


def _shape(found: _Object) -> dict[str, Any]:
    shape = {"label": LESION, "group_id": None, "description": "", "flags": {}}
    if outline := found.outline:
        return shape | {"shape_type": "polygon", "points": outline, "mask": None}
    height, width = found.inside.shape
    last = [found.left + width - 1, found.top + height - 1]  # LabelMe counts it in
    return shape | {
        "shape_type": "mask",
        "points": [[found.left, found.top], last],
        "mask": _base64_png(found.inside.astype(np.uint8) * 255),
    }


def _base64_png(pixels: np.ndarray) -> str:
    return base64.b64encode(png(pixels)).decode()


def _made_by(analysed: Analysis, drawn: Drawn) -> dict[str, Any]:
    """Who drew the mask, and which network was asked."""
    return {"drawn": drawn, "network": asdict(analysed.prediction.network)}
