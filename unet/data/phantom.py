"""Synthetic B-mode breast images with known truth, for examples, tests and trying things out.

Each is made as the scanner makes it: tissue layers of different echogenicity hold random
scatterers; the probe's pulse blurs them into fully developed speckle, whose envelope is Rayleigh
distributed (Burckhardt, IEEE Trans. Sonics Ultrason. 25, 1978); depth and lesions attenuate; the
envelope is log-compressed to 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

Kind = Literal["benign", "malignant", "normal"]
KINDS: tuple[Kind, ...] = ("benign", "malignant", "normal")

DYNAMIC_RANGE_DB = 52.0
MARKER = "phantoms.txt"
"""File that tells a folder of phantoms from BUSI, whose layout and names it shares."""

# Echogenicity in decibels relative to fat.
SKIN, FAT, GLAND, MUSCLE = 13.0, 0.0, 8.0, 3.0


@dataclass(frozen=True)
class Phantom:
    """One synthetic case.

    Attributes:
        image: uint8 `(H, W)`.
        mask: bool `(H, W)`, True inside the lesion; all False for "normal".
        kind: "benign" (smooth oval, enhancement behind it), "malignant" (irregular, taller,
            shadow behind it) or "normal".
    """

    image: np.ndarray
    mask: np.ndarray
    kind: Kind


def make_phantom(
    seed: int, kind: Kind, height: int = 400, width: int = 500, contrast: float = 1.0
) -> Phantom:
    """Make a case; the same arguments give the same pixels.

    Args:
        seed: Any non-negative integer.
        kind: One of `KINDS`.
        height, width: Size in pixels, at least 64 each.
        contrast: How much of itself the lesion shows, from 0, where there is nothing to see but in
            the mask, to 1.

    Raises:
        ValueError: Unknown kind or too small a size.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}. Received: {kind!r}")
    if height < 64 or width < 64:
        raise ValueError(f"a phantom needs at least 64×64 pixels. Received: {height}×{width}")
    random = np.random.default_rng([seed, KINDS.index(kind)])
    echo_db, layers = _tissue(random, height, width)  # (H, W), depths of the layers
    mask = np.zeros((height, width), bool)
    attenuation_db = np.zeros((height, width))
    if kind != "normal":
        mask = _lesion_mask(random, height, width, kind, layers)
        lesion_db = _with_lesion(random, echo_db, mask, kind)
        echo_db = echo_db + contrast * (lesion_db - echo_db)
        attenuation_db = contrast * _behind_lesion(random, mask, kind)
    depth = np.linspace(0, 1, height)[:, None]
    attenuation_db = attenuation_db + random.uniform(8, 16) * depth**1.5
    envelope = _speckle(random, height, width, echo_db - attenuation_db)
    return Phantom(_log_compress(random, envelope), mask, kind)


def write_dataset(folder: str | Path, count: int, seed: int = 0) -> Path:
    """Write `count` phantoms in BUSI's folder layout and class shares (56, 27 and 17 %).

    Sizes vary, as the data set's do. Returns `folder`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Phantoms, generated in BUSI's layout.\n")
    shares = {"benign": 0.56, "malignant": 0.27, "normal": 0.17}
    for kind, share in shares.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(1, max(1, round(count * share)) + 1):
            random = np.random.default_rng([seed, KINDS.index(kind), number])
            height, width = random.integers((200, 240), (320, 420))
            phantom = make_phantom(int(random.integers(2**31)), kind, int(height), int(width))
            stem = folder / kind / f"{kind} ({number})"
            Image.fromarray(phantom.image).save(f"{stem}.png")
            Image.fromarray(phantom.mask).save(f"{stem}_mask.png")
    return folder


def _tissue(
    random: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Echogenicity in dB `(H, W)` and the depth in pixels `(W,)` at which each layer begins."""
    depth = np.arange(height)[:, None]
    starts = {
        "fat": height * random.uniform(0.03, 0.05) + _wave(random, width, height * 0.006),
        "gland": height * random.uniform(0.18, 0.32) + _wave(random, width, height * 0.03),
        "muscle": height * random.uniform(0.72, 0.9) + _wave(random, width, height * 0.025),
    }
    echo = np.full((height, width), SKIN)
    levels = {"fat": FAT, "gland": GLAND + random.uniform(-4, 2), "muscle": MUSCLE}
    for name, start in starts.items():
        echo = np.where(depth >= start, levels[name], echo)
    texture = _smooth_noise(random, height, width, (height / 40, width / 12))
    streaks = _smooth_noise(random, height, width, (height / 160, width / 22))
    lobules = _smooth_noise(random, height, width, (height / 16, width / 16))
    gland = (depth >= starts["gland"]) & (depth < starts["muscle"])
    echo = echo + 2.5 * texture + np.where(gland, 2.5 * lobules + 3.5 * streaks, 1.2 * streaks)
    echo = echo + _septa(random, height, width, starts)
    fascia = np.exp(-(((depth - starts["muscle"]) / (height * 0.006)) ** 2))
    return ndimage.gaussian_filter(echo, 1.2) + 12 * fascia, starts


def _septa(
    random: np.random.Generator, height: int, width: int, starts: dict[str, np.ndarray]
) -> np.ndarray:
    """Bright lines in dB `(H, W)`: Cooper's ligaments across the fat, fibres along the muscle."""
    lines = np.zeros((height, width))
    columns = np.arange(width)
    for _ in range(random.integers(12, 22)):
        start = random.uniform(height * 0.08, height * 0.95)
        slope = random.uniform(-0.25, 0.25)
        path = start + slope * (columns - width / 2) + _wave(random, width, height * 0.015)
        begin = random.uniform(0, 0.8) * width
        length = random.uniform(0.15, 0.5) * width
        visible = np.clip(np.minimum(columns - begin, begin + length - columns) / 12, 0, 1)
        strength = random.uniform(7, 15) * visible
        distance = (np.arange(height)[:, None] - path) / random.uniform(1.0, 2.6)
        lines = np.maximum(lines, strength * np.exp(-(distance**2)))
    in_muscle = np.arange(height)[:, None] >= starts["muscle"]
    fibres = _smooth_noise(random, height, width, (height / 250, width / 8))
    return lines + np.where(in_muscle, 4 * fibres, 0)


def _lesion_mask(
    random: np.random.Generator,
    height: int,
    width: int,
    kind: Kind,
    layers: dict[str, np.ndarray],
) -> np.ndarray:
    """A closed outline r(θ) of an ellipse with a few harmonics, filled: bool `(H, W)`."""
    benign = kind == "benign"
    semi_y = min(height, width) * random.uniform(0.08, 0.17)
    semi_x = semi_y * (random.uniform(1.2, 1.9) if benign else random.uniform(0.75, 1.2))
    top, bottom = layers["gland"].mean(), layers["muscle"].mean()
    y0 = random.uniform(top + 0.5 * semi_y, max(top + 0.6 * semi_y, bottom - semi_y))
    x0 = random.uniform(0.05 * width + semi_x, 0.95 * width - semi_x)
    roughness = 0.035 if benign else 0.09
    orders = np.arange(2, 6 if benign else 12)
    amplitude = random.normal(0, roughness, len(orders)) / np.sqrt(orders - 1)
    phase = random.uniform(0, 2 * np.pi, len(orders))
    tilt = random.normal(0, 0.2)
    y, x = np.mgrid[:height, :width]
    along = (x - x0) * np.cos(tilt) + (y - y0) * np.sin(tilt)
    across = -(x - x0) * np.sin(tilt) + (y - y0) * np.cos(tilt)
    theta = np.arctan2(across / semi_y, along / semi_x)
    radius = 1 + (amplitude * np.cos(theta[..., None] * orders + phase)).sum(-1)
    mask = np.hypot(across / semi_y, along / semi_x) < radius
    labels, _ = ndimage.label(mask)
    return labels == np.bincount(labels[mask]).argmax()  # one piece, whatever the harmonics


def _with_lesion(
    random: np.random.Generator, echo_db: np.ndarray, mask: np.ndarray, kind: Kind
) -> np.ndarray:
    """Echogenicity in dB with a hypoechoic lesion: a sharp edge when benign, a halo when not."""
    inside = random.uniform(-17, -9) + 2.5 * _smooth_noise(random, *mask.shape, (6, 6))
    edge = random.uniform(0.8, 1.5) if kind == "benign" else random.uniform(1.5, 3)
    weight = ndimage.gaussian_filter(mask.astype(float), edge)
    echo_db = echo_db * (1 - weight) + inside * weight
    if kind == "malignant":  # desmoplastic rim
        rim = ndimage.gaussian_filter(mask.astype(float), 6) * (1 - weight)
        echo_db = echo_db + 14 * rim
    return echo_db


def _behind_lesion(random: np.random.Generator, mask: np.ndarray, kind: Kind) -> np.ndarray:
    """Extra attenuation in dB `(H, W)` below the lesion: shadow (+) or enhancement (−)."""
    thickness = np.cumsum(mask, axis=0) / max(mask.sum(axis=0).max(), 1)
    strength = -random.uniform(3, 7) if kind == "benign" else random.uniform(6, 14)
    beam = np.where(mask, 0.3, 1.0) * thickness  # builds up inside, full behind
    return ndimage.gaussian_filter(strength * beam, (2, 4))


def _speckle(
    random: np.random.Generator, height: int, width: int, gain_db: np.ndarray
) -> np.ndarray:
    """Envelope `(H, W)` of scatterers with that gain, seen through the probe's pulse.

    The pulse is short in depth and wider across, and wider still away from the focus.
    """
    scatterers = random.normal(size=(2, height, width)) * 10 ** (gain_db / 20)
    near = np.stack([ndimage.gaussian_filter(s, (1.0, 1.7)) for s in scatterers])
    far = np.stack([ndimage.gaussian_filter(s, (1.1, 2.9)) for s in scatterers])
    # Blurring spreads energy; both pulses keep the same power.
    near, far = near * np.sqrt(1.0 * 1.7), far * np.sqrt(1.1 * 2.9)
    blend = np.abs(np.linspace(-0.45, 0.55, height))[:, None] * 1.6
    return np.hypot(*(near * (1 - blend) + far * blend))


def _log_compress(random: np.random.Generator, envelope: np.ndarray) -> np.ndarray:
    """Envelope → uint8 over `DYNAMIC_RANGE_DB`, the brightest pixels near white."""
    db = 20 * np.log10(envelope + 1e-6)
    top = np.percentile(db, 99.7) + random.uniform(0, 4)
    grey = np.clip(1 + (db - top) / DYNAMIC_RANGE_DB, 0, 1) ** random.uniform(1.1, 1.5)
    return np.round(grey * 255).astype(np.uint8)


def _wave(random: np.random.Generator, width: int, amplitude: float) -> np.ndarray:
    """A smooth random line around 0: `(W,)`."""
    noise = ndimage.gaussian_filter1d(random.normal(size=width + 1), width / 10, mode="reflect")
    return (noise / (noise.std() + 1e-9) * amplitude)[:width]


def _smooth_noise(
    random: np.random.Generator, height: int, width: int, sigma: tuple[float, float]
) -> np.ndarray:
    """Gaussian noise of that correlation length in pixels, mean 0, deviation 1: `(H, W)`."""
    noise = ndimage.gaussian_filter(random.normal(size=(height, width)), sigma, mode="reflect")
    return (noise - noise.mean()) / (noise.std() + 1e-9)
