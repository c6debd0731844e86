"""What a JPEG asks of its decoder, read off its markers before it is decoded (ITU-T T.81)."""

from __future__ import annotations

START_OF_SCAN = b"\xff\xda"
"""Within compressed data a byte FF is always followed by 00 or a restart marker."""
MAX_SCANS = 64
"""Progressive pictures have about ten. Each scan costs a pass over all pixels, and few bytes."""


def has_too_many_scans(content: bytes) -> bool:
    """Whether a JPEG, or what holds one, passes over its pixels more often than `MAX_SCANS`."""
    return content.count(START_OF_SCAN) > MAX_SCANS
