"""JPEG markers, read before decoding to bound its cost (ITU-T T.81)."""

from __future__ import annotations

import re

START_OF_SCAN, END = 0xDA, 0xD9
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""Markers with a segment, and the end. Within compressed data a byte FF is always followed by 00 or
a restart marker."""
MAX_SCANS = 64
"""Progressive pictures have about ten. Each scan costs a pass over all pixels, and few bytes."""


def has_too_many_scans(content: bytes) -> bool:
    """Return True for a JPEG with more than `MAX_SCANS` scans.

    What lies behind the picture's end, such as a phone's film, does not count.
    """
    at = scans = 0
    while found := MARKER.search(content, at):
        marker, at = content[found.start() + 1], found.end()
        if marker == END:
            return scans > MAX_SCANS
        scans += marker == START_OF_SCAN
        at += int.from_bytes(content[at : at + 2])
    return content.count(bytes((0xFF, START_OF_SCAN))) > MAX_SCANS  # it has no end
