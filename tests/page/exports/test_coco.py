"""The annotation files read back: COCO's by pycocotools, LabelMe's as its reader reads it."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from tests.conftest import predicted
from unet.data.phantom import make_phantom
from unet.io.images import Picture
from unet.page.analysis import Analysis
from unet.page.exports.coco import coco, labelme

# pycocotools' own, of NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PHANTOM = make_phantom(3, "malignant", 90, 131)


def analysed_of(image: np.ndarray) -> Analysis:
    probability_u8 = np.zeros(image.shape[:2], np.uint8)
    return Analysis("a", "a", Picture(image), predicted(probability_u8), 0.1)


def ring_and_more() -> np.ndarray:
    """A ring, a region joined by a corner, one pixel, and one that fills the image's corner."""
    mask = np.zeros((30, 41), bool)
    mask[3:14, 4:20] = True
    mask[6:9, 8:12] = False
    mask[18:21, 5:9] = mask[21:24, 9:12] = True
    mask[17, 25] = True
    mask[26:, 33:] = True
    return mask


def speckle(seed: int) -> np.ndarray:
    """Regions of every shape, with holes, bridges a pixel wide and corners that touch."""
    noise = np.random.default_rng(seed).random((40, 53))
    return ndimage.uniform_filter(noise, 3) > 0.52


MASKS = {
    "phantom": PHANTOM.mask,
    "ring and more": ring_and_more(),
    "nothing": np.zeros((20, 30), bool),
    "everything": np.ones((20, 30), bool),
    **{f"speckle {seed}": speckle(seed) for seed in range(6)},
}
masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def read_coco(content: dict, folder) -> COCO:
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return COCO(path)


@masks
def test_pycocotools_gives_the_mask_back_bit_for_bit(mask, tmp_path):
    read = read_coco(coco(analysed_of(mask.astype(np.uint8)), mask), tmp_path)
    regions = [read.annToMask(annotation) for annotation in read.anns.values()]
    np.testing.assert_array_equal(sum(regions, np.zeros(mask.shape, int)), mask)
    assert len(regions) == ndimage.label(mask, np.ones((3, 3)))[1]


@masks
def test_area_and_box_are_those_of_the_pixels(mask, tmp_path):
    read = read_coco(coco(analysed_of(mask.astype(np.uint8)), mask), tmp_path)
    areas = [annotation["area"] for annotation in read.anns.values()]
    assert areas == sorted(areas, reverse=True)
    for annotation in read.anns.values():
        inside = read.annToMask(annotation)
        assert annotation["area"] == inside.sum()
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == [columns[0], rows[0], *size]


def test_only_a_region_with_a_hole_is_a_run_length_code_and_none_is_a_crowd():
    annotations = coco(analysed_of(np.zeros((30, 41))), ring_and_more())["annotations"]
    assert [type(a["segmentation"]) for a in annotations] == [dict, list, list, list]
    assert {a["iscrowd"] for a in annotations} == {0}
    assert annotations[3]["segmentation"] == [[25, 17, 26, 17, 26, 18, 25, 18]]


def test_coco_names_image_category_and_network(tmp_path):
    content = coco(analysed_of(PHANTOM.image), PHANTOM.mask, "SEMIAUTOMATIC", "case.png")
    assert content["images"] == [{"id": 1, "file_name": "case.png", "width": 131, "height": 90}]
    assert content["categories"][0]["name"] == "lesion"
    assert content["info"]["drawn"] == "SEMIAUTOMATIC"
    assert content["info"]["network"]["name"] == "net"


def pixels_of(shape: dict, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie in a LabelMe shape, by the format's documentation."""
    inside = np.zeros(size, bool)
    if shape["shape_type"] == "mask":
        (x1, y1), (x2, y2) = shape["points"]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
        inside[y1 : y2 + 1, x1 : x2 + 1] = pixels.astype(bool)
        return inside
    points = np.array(shape["points"])
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0)):
        if x1 == x2:  # outlines run along pixel edges: crossed where x lies behind
            inside ^= (x > x1) & (min(y1, y2) < y) & (y < max(y1, y2))
    return inside


@masks
def test_labelmes_shapes_are_the_mask_and_its_image_is_the_picture(mask):
    image = np.arange(mask.size, dtype=np.uint8).reshape(mask.shape)
    content = json.loads(json.dumps(labelme(analysed_of(image), mask)))
    found = [pixels_of(shape, mask.shape) for shape in content["shapes"]]
    np.testing.assert_array_equal(sum(found, np.zeros(mask.shape, int)), mask)
    assert (content["imageHeight"], content["imageWidth"]) == mask.shape
    shown = Image.open(io.BytesIO(base64.b64decode(content["imageData"])))
    np.testing.assert_array_equal(np.asarray(shown), image)


def test_labelmes_file_has_what_its_reader_asks_for():
    content = labelme(analysed_of(np.zeros((30, 41), np.uint8)), ring_and_more())
    assert {
        "version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth",
    } <= set(content)  # fmt: skip
    assert [shape["shape_type"] for shape in content["shapes"]] == ["mask"] + ["polygon"] * 3
    for shape in content["shapes"]:
        assert shape["label"] == "lesion"
        assert shape["flags"] == {}
        assert shape["group_id"] is None
        assert all(len(point) == 2 for point in shape["points"])
    assert content["imagePath"] == "image.png"
    assert content["network"]["name"] == "net"
