"""The table of results in the project's README.

python -m unet.readme README.md weights/NAME weights/OTHER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from unet.tables import paper_table, split_table


def readme_results(metrics: dict[str, dict[str, Any]]) -> str:
    """The networks' results as the project's README shows them, between its two marks."""
    test = {name: m["splits"]["test"] for name, m in metrics.items()}
    return f"{split_table('test split', test)}\n\n{paper_table(metrics)}"


def update_readme(text: str, results: str) -> str:
    """README text with everything between the two marks replaced by `results`.

    Raises:
        ValueError: The marks are not there.
    """
    start, end = text.find("<!-- results:"), text.find("<!-- end of results -->")
    if not 0 <= start < end:
        raise ValueError("expected the marks '<!-- results:' and '<!-- end of results -->'")
    first_line = text[start : text.index("\n", start)]
    return f"{text[:start]}{first_line}\n\n{results}\n\n{text[end:]}"


if __name__ == "__main__":
    readme, *bundles = (Path(argument) for argument in sys.argv[1:])
    numbers = {b.name: json.loads((b / "metrics.json").read_text()) for b in bundles}
    readme.write_text(update_readme(readme.read_text(), readme_results(numbers)))
