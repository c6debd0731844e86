"""What sonographers draw over images: calipers, text, rulers, body marks.

About half of BUSI's images carry some, mostly at lesions: a network can learn to look for them.
Drawn at random over training images, they say nothing about where the lesion is.
"""

from __future__ import annotations

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COUNT = 256
CHARACTERS = string.ascii_letters + string.digits + " .:-+="


def annotation_layers(size: int, seed: int, count: int = COUNT) -> np.ndarray:
    """Random annotations to lay over images.

    Returns:
        uint8 `(count, size, size)`: the grey value of each annotated pixel, 0 where nothing is
        drawn; black boxes under text are 1.
    """
    random = np.random.default_rng(seed)
    return np.stack([draw_annotations(random, size) for _ in range(count)])


def draw_annotations(random: np.random.Generator, size: int) -> np.ndarray:
    """One layer: uint8 `(size, size)`, 0 where nothing is drawn."""
    layer = Image.new("L", (size, size))
    draw = ImageDraw.Draw(layer)
    for _ in range(random.integers(0, 3)):
        _caliper_pair(draw, random, size)
    for _ in range(random.integers(0, 4)):
        _text(draw, random, size)
    if random.random() < 0.3:
        _ruler(draw, random, size)
    if random.random() < 0.25:
        _body_mark(draw, random, size)
    return np.asarray(layer)


def _grey(random: np.random.Generator) -> int:
    return int(random.integers(110, 256))


def _caliper_pair(draw: ImageDraw.ImageDraw, random: np.random.Generator, size: int) -> None:
    """Two marks, + or ×, often with a dotted line between them."""
    grey, arm = _grey(random), size * random.uniform(0.008, 0.022)
    first = random.uniform(0.05, 0.95, 2) * size
    angle, length = random.uniform(0, np.pi), random.uniform(0.06, 0.5) * size
    second = first + length * np.array([np.cos(angle), np.sin(angle)])
    plus = random.random() < 0.6
    for x, y in (first, second):
        if plus:
            strokes = ((-arm, 0, arm, 0), (0, -arm, 0, arm))
        else:
            strokes = ((-arm, -arm, arm, arm), (-arm, arm, arm, -arm))
        for dx0, dy0, dx1, dy1 in strokes:
            draw.line((x + dx0, y + dy0, x + dx1, y + dy1), fill=grey)
    if random.random() < 0.6:
        step = random.uniform(0.012, 0.03) * size
        for t in np.arange(0, 1, step / length):
            draw.point(tuple(first + t * (second - first)), fill=grey)


def _text(draw: ImageDraw.ImageDraw, random: np.random.Generator, size: int) -> None:
    """Some characters, near an edge more often than not, sometimes on a black box."""
    words = "".join(random.choice(list(CHARACTERS), random.integers(1, 22)))
    font = ImageFont.load_default(max(size * random.uniform(0.03, 0.06), 6))
    x, y = random.uniform(-0.05, 0.9, 2) * size
    if random.random() < 0.7:
        y = size * random.uniform(0, 0.06)
        y = y if random.random() < 0.5 else 0.94 * size - y
    if random.random() < 0.3:
        draw.rectangle(draw.textbbox((x, y), words, font), fill=1)
    draw.text((x, y), words, _grey(random), font)


def _ruler(draw: ImageDraw.ImageDraw, random: np.random.Generator, size: int) -> None:
    """Depth ticks along the left or the right edge."""
    grey, x = _grey(random), size * (0.01 if random.random() < 0.5 else 0.98)
    for y in np.arange(0, size, size * random.uniform(0.03, 0.12)):
        draw.line((x - 2, y, x + 2, y), fill=grey)


def _body_mark(draw: ImageDraw.ImageDraw, random: np.random.Generator, size: int) -> None:
    """A circle with a line for the probe, in a lower corner."""
    grey, radius = _grey(random), size * random.uniform(0.03, 0.07)
    x = size * random.choice([0.1, 0.9])
    y = size * random.uniform(0.8, 0.92)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=grey)
    dx, dy = random.uniform(-radius, radius, 2)
    draw.line((x, y, x + dx, y + dy), fill=grey, width=2)
