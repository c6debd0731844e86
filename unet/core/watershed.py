"""A lesion outline without any training: fuzzy entropy, then a watershed from markers.

After Zhang et al. (FSKD 2011), who enhance the image by fuzzy entropy and segment it by a
marker-controlled watershed. Taken: these two steps in this order. The source is known here by what
others say of it; how its markers come about is not. This project's choice: the image is smoothed
against speckle; of some S-shaped memberships of "bright" the one with the largest fuzzy entropy
stretches the contrast; the lesion's marker is the dark region that lies best for a lesion (large,
compact, near the middle, not at the border), the background's is what is bright or far from it.
Nearly every image has such a region, so normal images are given masks too.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import entr

SIDE = 128
"""Height and width at which the image is looked at; the mask is enlarged again."""
SPECKLE = 2.0
"""Deviation of the smoothing in pixels of that size."""
LEVELS = 17
"""Grey levels at which the membership's ends are tried."""
DARK = 0.3
"""Share of the pixels, the darkest, in which the lesion's core is looked for."""
LIMIT = 0.5
"""Membership of "bright" that no core exceeds."""
MIN_SHARE = 0.003
"""Smallest share of the image that a core must cover."""
PLACE, AWAY, AT_BORDER = (0.4, 0.5), 0.15, 0.1
"""Where a lesion's middle lies best, how far from there it may well be (as shares of height and
width), and how much less a region at the border counts: shadows and what lies below the breast do.
`DARK` and these were chosen on 39 lesions of BUSI's training cases."""


def watershed_mask(grey: np.ndarray) -> np.ndarray:
    """The lesion's mask by fuzzy entropy and a watershed from markers.

    Args:
        grey: uint8 `(H, W)`.

    Returns:
        bool `(H, W)`; empty where no dark region has brighter surroundings and is large enough.
    """
    from skimage.segmentation import watershed  # here: only training installs scikit-image

    height, width = grey.shape
    square = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    image = np.asarray(square, np.float32) / 255
    smooth = ndimage.gaussian_filter(image, SPECKLE)  # (SIDE, SIDE)
    bright = enhanced(smooth)
    core = _core(bright)
    if not core.any():
        return np.zeros(grey.shape, bool)
    markers = np.zeros(image.shape, np.int32)
    near = ndimage.binary_dilation(core, iterations=max(3, round(0.6 * np.sqrt(core.sum()))))
    markers[~near | (bright > 0.8)] = 1
    markers[core] = 2
    steepness = ndimage.gaussian_gradient_magnitude(bright, 1.0)
    found = ndimage.binary_fill_holes(watershed(steepness, markers) == 2)
    rows, columns = ((2 * np.arange(n) + 1) * SIDE // (2 * n) for n in (height, width))
    return found[np.ix_(rows, columns)]


def enhanced(image: np.ndarray) -> np.ndarray:
    """Membership of each pixel in "bright": float `(H, W)` in [0, 1] from one in [0, 1].

    The S-shaped membership (Zadeh) rises between two grey levels; of those tried the two with the
    largest entropy of the fuzzy set are taken, which spreads what the image holds most.
    """
    counts, edges = np.histogram(image, 64, (0, 1))
    share = counts / counts.sum()  # (64,)
    grey = (edges[:-1] + edges[1:]) / 2
    levels = np.linspace(image.min(), image.max(), LEVELS)
    pairs = [(a, c) for i, a in enumerate(levels) for c in levels[i + 4 :]]
    # Of the fuzzy set (De Luca and Termini): how little is said of each level, by how often it is.
    entropies = [
        (share * (entr(m) + entr(1 - m))).sum() for m in (_rising(grey, *p) for p in pairs)
    ]
    return _rising(image, *pairs[int(np.argmax(entropies))])


def _rising(x: np.ndarray, a: float, c: float) -> np.ndarray:
    """Zadeh's S: 0 up to a, 1 from c on, two parabolas between."""
    t = np.clip((x - a) / max(c - a, 1e-6), 0, 1)
    return np.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2)


def _core(bright: np.ndarray) -> np.ndarray:
    """The dark region that lies best for a lesion: bool, like `bright`; none where nothing is dark.

    Regions are scored by the root of their area, how compact they are, how much darker than what is
    around them, and by their place.
    """
    dark = bright <= min(np.quantile(bright, DARK), LIMIT)
    labels, count = ndimage.label(ndimage.binary_opening(dark, iterations=2))
    best, chosen = 0.0, np.zeros(bright.shape, bool)
    for number, box in zip(range(1, count + 1), ndimage.find_objects(labels)):
        region = labels == number
        area = region.sum()
        if area < MIN_SHARE * region.size:
            continue
        ring = ndimage.binary_dilation(region, iterations=8)
        ring &= ~ndimage.binary_dilation(region, iterations=2)
        if not ring.any():
            continue
        darker = bright[ring].mean() - bright[region].mean()
        compact = area / labels[box].size
        away = np.array(ndimage.center_of_mass(region)) / bright.shape - PLACE
        score = np.sqrt(area) * compact * darker * np.exp(-0.5 * (away**2).sum() / AWAY**2)
        if np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]]).any():
            score *= AT_BORDER
        if score > best:
            best, chosen = score, region
    return chosen
