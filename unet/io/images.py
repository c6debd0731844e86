"""Opens the image file a person hands over, or says in a sentence why it cannot.

No TensorFlow here. A file is read whole, never trusted, and never partly shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION as PHOTOMETRIC

from unet.errors import UserError
from unet.io.jpeg import has_too_many_scans

if TYPE_CHECKING:
    from pydicom import Dataset

WHITE_IS_ZERO = 0
MAX_PIXELS = 4096 * 4096
"""Largest picture opened, in pixels: far above any ultrasound, and what every browser can draw."""

_TOO_LARGE = f"too large; at most {MAX_PIXELS // 1_000_000} megapixels. Shrink or crop the image."

MIDDLE = 127
"""Grey up to which a mask's pixel is none."""
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


class ImageError(UserError):
    """A file that cannot be used as an image; the message is for the person who gave it.

    Attributes:
        reason: What is wrong, without the file's name.
    """

    def __init__(self, reason: str, name: str = ""):
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason, self._name = reason, name

    def about(self, name: str) -> str:
        """The message with what people call the file, where it names one."""
        return f"{name}: {self.reason}" if self._name else self.reason


@dataclass(frozen=True)
class Picture:
    """Decoded image of a file with its facts.

    Attributes:
        pixels: uint8 `(H, W)` for grey, `(H, W, 3)` RGB for colour, in [0, 255].
        spacing_mm: Height and width of a pixel in millimetres; None if the file does not say.
        frames: How many frames the file holds.
        frame: Which of them this is, from 0.
        header: What a DICOM file says besides its pixels, the patient's name among it; None for
            other files. Only a DICOM file made of this picture may show it.
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, float] | None = None
    frames: int = 1
    frame: int = 0
    header: Dataset | None = field(default=None, repr=False)


def read_picture(path: str | Path, frame: int = 0) -> Picture:
    """Read a DICOM file or any image file `read_image` reads.

    Args:
        path: The file; what it is shows its content, not its name.
        frame: Which frame of a multi-frame DICOM file, from 0.

    Raises:
        ImageError: As `read_image`.
    """
    path = Path(path)
    if not has_dicom_mark(path):
        return Picture(read_image(path))
    from unet.io.dicom import (  # pydicom is slow to import, and seldom needed
        DicomError,
        read_frame,
    )

    try:
        pixels, spacing_mm, frames, header = read_frame(path, frame, MAX_PIXELS)
    except DicomError as error:
        raise ImageError(str(error), path.name) from None
    return Picture(pixels, spacing_mm, frames, frame, header)


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as 8-bit pixels, upright.

    16-bit pictures are scaled by their full range (÷ 257), never by their content. Transparency
    is laid over black. A multi-page TIFF gives its first page.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file.

    Returns:
        uint8 `(H, W)` for grey pictures, `(H, W, 3)` RGB for colour ones, in [0, 255].

    Raises:
        ImageError: Missing, empty, not an image, truncated, too large or of an unknown kind. The
            message names the file without its folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError("expected an image file, found none. Choose a file.", path.name)
    if path.stat().st_size == 0:
        raise ImageError("the file is empty. Export the image again.", path.name)
    try:
        # Opened here: of some turned TIFF files Pillow maps the wrong sides where it opens them.
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            _check_size(path.name, image)
            if image.format in ("JPEG", "MPO") and has_too_many_scans(path.read_bytes()):
                raise ImageError("a JPEG of too many scans. Export it as PNG.", path.name)
            image.load()
            if image.format == "BMP" and image.mode == "RGBA" and not image.getextrema()[3][1]:
                return _to_array(path.name, image.convert("RGB"), False)  # left unset by its maker
            inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
            return _to_array(path.name, ImageOps.exif_transpose(image), inverted)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_TOO_LARGE, path.name) from None
    except UnidentifiedImageError:
        raise ImageError(
            "not an image. Expected a PNG, JPEG, BMP, TIFF, WebP or DICOM file.", path.name
        ) from None
    except Exception as error:  # decoders raise many kinds on malformed bytes
        raise ImageError(
            f"damaged or cut off ({type(error).__name__}). Export the image again.", path.name
        ) from error


def has_dicom_mark(path: Path) -> bool:
    """Return True for a file with DICOM's mark behind its preamble."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_mask_file(path: str | Path) -> np.ndarray:
    """Read a mask: bool `(H, W)`, true above mid-grey.

    Where only 0 and one other value occur, true is that one, such as 1.

    Raises:
        ImageError: As `read_image`, or none of its values says which pixels are meant.
    """
    pixels = read_image(path)
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if 0 < grey.max() <= MIDDLE:
        if len(np.unique(grey[grey > 0])) == 1:
            return grey > 0
        raise ImageError(
            f"expected a mask of 0 and 255, got values up to {grey.max()}. Export it again.",
            Path(path).name,
        )
    return grey > MIDDLE


def _check_size(name: str, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(_TOO_LARGE, name)


def _to_array(name: str, image: Image.Image, inverted: bool) -> np.ndarray:
    """Decoded pixels as uint8 `(H, W)` or `(H, W, 3)`; `inverted` if its white is 0."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N"):
        grey = np.round(np.asarray(image).astype(np.float64) / 257).astype(np.uint8)
        return 255 - grey if inverted else grey  # which Pillow does for 8 bits
    if image.mode == "I":  # older Pillows open 16-bit PNG so
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                "expected 8 or 16 bits a pixel, got 32. Export the image as PNG.", name
            )
        return np.round(values / 257).astype(np.uint8)
    if image.mode == "F":
        raise ImageError(
            "expected 8 or 16 bits a pixel, got floating point. Export it as PNG.", name
        )
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")).copy()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    rgb = np.asarray(image.convert("RGB"))
    is_grey = (rgb[:, :, 0] == rgb[:, :, 1]).all() and (rgb[:, :, 1] == rgb[:, :, 2]).all()
    return rgb[:, :, 0].copy() if is_grey else rgb.copy()
