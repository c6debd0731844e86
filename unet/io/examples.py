"""Images that the page offers: a folder of them, each with its truth and what is known of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unet.errors import UserError
from unet.io.images import ImageError, Picture, read_image, read_mask_file

MASK = "_mask"
LIST = "examples.csv"
COLUMNS = ("file", "caption", "spacing_mm", "source", "shared", "case")


@dataclass(frozen=True)
class Example:
    """An image the page offers.

    Attributes:
        picture: The image.
        caption: Under its thumbnail.
        truth: bool `(H, W)`, if known.
        source: Whose image it is, as its owners want to be named.
        shared: Whether its licence lets others have it, as on a page for everybody.
        generated: Whether it is a phantom of this project.
    """

    picture: Picture
    caption: str
    truth: np.ndarray | None = None
    source: str = ""
    shared: bool = False
    generated: bool = False


NOTEBOOK = ".ipynb"
"""Ending of the project's own notebooks, which lie in the same folder."""


def read_examples(folder: Path) -> list[Example]:
    """The images in a folder by name; what is none is told of and left out.

    `NAME_mask.png` is the truth of `NAME.png`. `examples.csv`, where there is one, gives the order
    and more of each, in columns: file, caption, spacing_mm (height and width of a pixel), source,
    shared ("yes" where others may have it) and case (of a data set).

    Raises:
        UserError: `examples.csv` is no such list.
    """
    rows = {row["file"]: row for row in listed_examples(folder)}
    paths = [
        path
        for path in sorted(folder.glob("*"))
        if not path.stem.endswith(MASK) and path.suffix != NOTEBOOK
    ]
    listed = [folder / Path(name).name for name in rows]
    examples = []
    for path in listed + [path for path in paths if path.name not in {LIST, *rows}]:
        row = rows.get(path.name, {})
        try:
            picture, truth = Picture(read_image(path)), None
            if spacing := row.get("spacing_mm"):
                picture = replace(picture, spacing_mm=(float(spacing), float(spacing)))
            mask = path.with_name(f"{path.stem}{MASK}.png")
            if mask.exists():
                truth = read_truth(mask, picture.pixels.shape[:2])
        except (ImageError, ValueError) as error:
            print(f"{folder.name}/{error}")
            continue
        caption = row.get("caption") or path.stem
        shared = row.get("shared") == "yes"
        examples.append(Example(picture, caption, truth, row.get("source") or "", shared))
    return examples


def listed_examples(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder's `examples.csv`; none where there is no such file.

    Raises:
        UserError: It is no text of that kind, or names no files.
    """
    path = folder / LIST
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            rows = [row for row in table if row.get("file")]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: expected UTF-8 text with commas ({error})") from None
    if "file" not in columns:
        raise UserError(f"{path}: expected a column 'file', got {', '.join(columns) or 'none'}")
    return rows


def read_truth(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """A ground-truth mask of that shape `(H, W)` from an image file, bool.

    Raises:
        ImageError: Unreadable, no mask, or of another size.
    """
    mask = read_mask_file(path)
    if mask.shape != shape:
        raise ImageError(
            f"The mask is {mask.shape[1]} × {mask.shape[0]} pixels, the image {shape[1]} × "
            f"{shape[0]}. Choose the mask that belongs to this image."
        )
    return mask
