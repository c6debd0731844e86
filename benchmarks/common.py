"""Shared parts of the measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def spread(values: list[float], unit: str) -> str:
    """Median with least and greatest value."""
    return f"{np.median(values):.3g} {unit} ({min(values):.3g}–{max(values):.3g})"
