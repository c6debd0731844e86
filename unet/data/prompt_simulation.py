"""Simulated people, who point at lesions and at what is wrong: pure functions of a random state.

After Sofiiuk et al., *Reviving Iterative Training with Mask Guidance for Interactive Segmentation*
(ICIP 2022), and Wong et al., *ScribblePrompt* (ECCV 2024): clicks somewhere inside, never quite in
the middle, later ones in the largest error; scribbles; boxes that are too large.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from unet.core.mask import EIGHT_NEIGHBOURS
from unet.core.prompts import Box, Point, Prompts, Stroke

DEEP = 0.35
"""Depth of clicks inside a region: at least this share of the deepest pixel's depth."""
JITTER = 0.01
"""Deviation of a click from where it was meant, as a share of the image's side."""
LOOSE = 0.25
"""Largest distance of a box's side outside the lesion as a share of the lesion's side."""
TIGHT = 0.05
"""Largest distance of a box's side inside the lesion."""
ELSE_AREAS = (0.005, 0.12)
"""Smallest and largest share of the picture of what stands out and is no lesion."""
SMOOTH, BLACK, NEARER = 1 / 64, 0.02, 0.5
"""Deviation of the filter before it is looked for, as a share of the side; grey values below which
there is no tissue; what a whole side's distance counts beside a difference of grey values."""
COMPACT, TRIES = 0.25, 4
"""The deepest pixel's depth over the root of the area, at least (a disc has 0.56); attempts."""
KINDS, SHARES = ("click", "scribble", "box"), (0.7, 0.15, 0.15)
"""Kinds of a first prompt and their probabilities."""


def first_prompt(truth: np.ndarray, random: np.random.Generator) -> Prompts:
    """Simulate the first prompt of a person who sees a lesion: a click, a scribble or a box.

    Args:
        truth: bool `(H, W)`, not empty. Of several lesions one is pointed at.
        random: The person.
    """
    region = _some_region(truth, random)
    kind = random.choice(KINDS, p=SHARES)
    if kind == "box":
        return Prompts(boxes=(loose_box(region, random),))
    if kind == "scribble":
        return Prompts(positive=(scribble(region, random),))
    return Prompts(positive=((click(region, random),),))


def first_click(truth: np.ndarray, random: np.random.Generator, jitter: float = JITTER) -> Prompts:
    """Simulate a person who always begins with a click."""
    return Prompts(positive=((click(_some_region(truth, random), random, jitter),),))


def next_click(
    prompts: Prompts,
    truth: np.ndarray,
    mask: np.ndarray,
    random: np.random.Generator,
    jitter: float = JITTER,
) -> Prompts:
    """Add a click in the largest region where a mask is wrong, if there is one.

    Args:
        prompts: What was pointed at before.
        truth, mask: bool `(H, W)`.
        random: The person.
        jitter: As `JITTER`.
    """
    labels, count = ndimage.label(truth & ~mask, EIGHT_NEIGHBOURS)
    others, more = ndimage.label(mask & ~truth, EIGHT_NEIGHBOURS)
    sizes = np.concatenate([np.bincount(labels.ravel())[1:], np.bincount(others.ravel())[1:]])
    if not count + more:
        return prompts
    largest = int(sizes.argmax())
    if largest < count:
        stroke = (click(labels == largest + 1, random, jitter),)
        return replace(prompts, positive=(*prompts.positive, stroke))
    stroke = (click(others == largest - count + 1, random, jitter),)
    return replace(prompts, negative=(*prompts.negative, stroke))


def click(region: np.ndarray, random: np.random.Generator, jitter: float = JITTER) -> Point:
    """A point well inside a region `(H, W)`, though hardly ever its middle."""
    height, width = region.shape
    x, y = _deep_pixel(region, random)
    off = random.normal(0.0, jitter, 2) * (width, height)
    moved = np.clip(np.array([x, y]) + off, 0, np.array([width, height]) - 1e-3)
    # A hand that trembles misses a spot smaller than its tremor; the eye then sees so, and not.
    inside = region[int(moved[1]), int(moved[0])]
    return (float(moved[0]), float(moved[1])) if inside else (x, y)


def scribble(region: np.ndarray, random: np.random.Generator) -> Stroke:
    """A stroke of a few points inside a region `(H, W)`, along its width or height."""
    points = [_deep_pixel(region, random) for _ in range(int(random.integers(2, 5)))]
    rows, columns = np.nonzero(region)
    axis = 0 if np.ptp(columns) >= np.ptp(rows) else 1
    return tuple(sorted(points, key=lambda point: point[axis]))


def loose_box(region: np.ndarray, random: np.random.Generator) -> Box:
    """A box about a region `(H, W)`, a little too large."""
    height, width = region.shape
    rows, columns = np.nonzero(region)
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    out = random.uniform(-TIGHT, LOOSE, 4) * np.repeat([right - left, bottom - top], 2)
    return (
        float(max(0, left - out[0])),
        float(max(0, top - out[2])),
        float(min(width, right + out[1])),
        float(min(height, bottom + out[3])),
    )


def standing_out(grey: np.ndarray, free: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A region that is alike in itself, as people may see one where no lesion is.

    It grows from a point over grey values like that one's, nearer ones first, to a size drawn
    between `ELSE_AREAS`.

    Args:
        grey: float `(S, S)` in [0, 1].
        free: bool `(S, S)`, where it may lie.
        random: The person.

    Returns:
        bool `(S, S)`; empty if nothing is found that is more than a thread.
    """
    size = len(grey)
    smooth = ndimage.gaussian_filter(grey, size * SMOOTH)
    rows, columns = np.mgrid[:size, :size]
    places = np.flatnonzero(free & (smooth > BLACK))
    for _ in range(TRIES if len(places) else 0):
        row, column = divmod(int(random.choice(places)), size)
        away = np.hypot(rows - row, columns - column) / size
        unlike = np.abs(smooth - smooth[row, column]) + NEARER * away
        wanted = np.exp(random.uniform(*np.log(ELSE_AREAS))) * grey.size
        region = _grown(np.where(free, unlike, np.inf), row, column, wanted)
        region = ndimage.binary_opening(ndimage.binary_fill_holes(region) & free, iterations=2)
        labels, _ = ndimage.label(region)
        region &= labels == labels[row, column]
        depth = ndimage.distance_transform_edt(np.pad(region, 1)).max()
        if region.mean() > ELSE_AREAS[0] / 2 and depth > COMPACT * np.sqrt(region.sum()):
            return region
    return np.zeros(grey.shape, bool)


def _grown(unlike: np.ndarray, row: int, column: int, wanted: float) -> np.ndarray:
    """The region about a pixel of values up to that at which it holds `wanted` pixels at most."""
    low, high = 0.0, float(unlike[np.isfinite(unlike)].max())
    region = np.zeros(unlike.shape, bool)
    for _ in range(8):
        middle = (low + high) / 2
        labels, _ = ndimage.label(unlike <= middle)
        grown = labels == labels[row, column]
        if grown.sum() <= wanted:
            low, region = middle, grown
        else:
            high = middle
    return region


def _some_region(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of the truth's regions, larger ones more often: bool `(H, W)`."""
    labels, count = ndimage.label(truth, EIGHT_NEIGHBOURS)
    sizes = np.bincount(labels.ravel())[1:]
    return labels == 1 + random.choice(count, p=sizes / sizes.sum())


def _deep_pixel(region: np.ndarray, random: np.random.Generator) -> Point:
    """The middle of a pixel of a region `(H, W)`, not near its border."""
    top, left = (int(np.nonzero(region.any(axis=axis))[0][0]) for axis in (1, 0))
    bottom, right = (int(np.nonzero(region.any(axis=axis))[0][-1]) + 1 for axis in (1, 0))
    # What lies beyond the picture's edge is not outside of the lesion, yet nobody clicks there.
    depth = ndimage.distance_transform_edt(np.pad(region[top:bottom, left:right], 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= DEEP * depth.max())
    chosen = random.integers(len(rows))
    return float(left + columns[chosen] + 0.5), float(top + rows[chosen] + 0.5)
