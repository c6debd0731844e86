"""Tables as text; files written so that a killed program leaves the old or the new, never half."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes beside `path` and rename it there once it is on disk."""
    temporary = path.with_name(f"writing-{path.name}")
    with open(temporary, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def rows_to_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV text, with a column for every name; empty where a row has no value for it."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
