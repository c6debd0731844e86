"""The one mapping between an image and the network's tensor, both ways."""

from __future__ import annotations

import numpy as np
from PIL import Image


def to_grey(image: Image.Image | np.ndarray) -> np.ndarray:
    """An 8-bit grey image: uint8 `(H, W)` in [0, 255].

    Args:
        image: A PIL image, or a uint8 array `(H, W)`, `(H, W, 1)` or `(H, W, 3)`. Colour becomes
            ITU-R 601 luma, as Pillow computes it; what is transparent is laid over black.

    Raises:
        TypeError: Neither a PIL image nor a uint8 array.
        ValueError: An array of another shape, or an empty image.
    """
    if isinstance(image, Image.Image):
        # Pillow clips 16-bit and float pictures to 255; those come through unet.io.images.
        if image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"):
            raise TypeError(
                f"expected an 8-bit image, got PIL mode {image.mode!r}: "
                "open the file with unet.io.images.read_image"
            )
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0)), image)
        array = np.asarray(image.convert("L"))
    elif isinstance(image, np.ndarray) and image.dtype == np.uint8:
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
            raise ValueError(f"expected an array (H, W) or (H, W, 3), got shape {image.shape}")
        array = image
        if array.ndim == 3 and array.size:
            array = np.asarray(Image.fromarray(array).convert("L"))
    else:
        what = f"{type(image).__name__} {getattr(image, 'dtype', '')}".strip()
        raise TypeError(f"expected a PIL image or a uint8 array, got {what}")
    if array.size == 0:
        raise ValueError(f"expected an image with pixels, got shape {array.shape}")
    return array


def to_input(image: Image.Image | np.ndarray, size: int) -> np.ndarray:
    """The network's input: float32 `(size, size, 1)` in [0, 1].

    Grey, stretched to a square (bilinear, averaging when it shrinks), divided by 255 and rounded
    to 4 decimals, as in the paper.

    Args:
        image: See `to_grey`.
        size: The network's input height and width in pixels.
    """
    grey = Image.fromarray(to_grey(image))
    resized = np.asarray(grey.resize((size, size), Image.Resampling.BILINEAR), np.float32)
    return np.round(resized / np.float32(255), 4)[:, :, None]  # (S, S, 1)


def with_empty_prompts(images: np.ndarray, channels: int) -> np.ndarray:
    """Grey images `(N, S, S, 1)` for a network of so many channels, without any prompt."""
    return np.pad(images, [(0, 0)] * 3 + [(0, channels - images.shape[3])])


def shrink_and_pad(image: np.ndarray, scale: float) -> np.ndarray:
    """A picture made smaller in the middle of black: float32 `(S, S, C)` → the same shape.

    Args:
        image: Square.
        scale: How much of the side it takes, in (0, 1]; to whole pixels, the same on each side.
    """
    size, edge = len(image), _edge(len(image), scale)
    inner = size - 2 * edge
    small = np.stack([_resized(image[:, :, c], inner) for c in range(image.shape[2])], axis=2)
    return np.pad(small, [(edge, edge), (edge, edge), (0, 0)])


def crop_and_enlarge(square: np.ndarray, scale: float) -> np.ndarray:
    """Undo `shrink_and_pad`: crop the middle and enlarge it to float32 `(S, S)`."""
    size, edge = len(square), _edge(len(square), scale)
    return _resized(square[edge : size - edge, edge : size - edge], size)


def _edge(size: int, scale: float) -> int:
    return int(size * (1 - scale) / 2 + 0.5)


def _resized(square: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(square, np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def mask_to_input(mask: np.ndarray, size: int) -> np.ndarray:
    """A truth mask at the network's size: bool `(H, W)` → bool `(size, size, 1)`, nearest pixel."""
    resized = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(resized, bool)[:, :, None]  # (S, S, 1)


def resize_probability(probability: np.ndarray, height: int, width: int) -> np.ndarray:
    """The network's output at the image's own size: float32 `(height, width)` in [0, 1].

    Args:
        probability: float `(S, S)` or `(S, S, 1)` in [0, 1]; stretched back (bilinear).
    """
    square = np.asarray(probability, np.float32).reshape(probability.shape[:2])
    resized = Image.fromarray(square).resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized, np.float32), 0.0, 1.0)  # (H, W)
