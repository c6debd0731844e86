"""The table of results in the project's README.

python -m unet.readme README.md weights/NAME weights/OTHER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from unet.tables import interval, paper_table, split_table


def readme_results(bundles: list[Path]) -> str:
    """The bundles' results as the project's README shows them, between its two marks."""
    metrics = {bundle.name: _read(bundle / "metrics.json") for bundle in bundles}
    test = {name: m["splits"]["test"] for name, m in metrics.items()}
    validated = [b for b in bundles if (b / "cross_validation.json").exists()]
    sentences = [_sentence(b.name, _read(b / "cross_validation.json")) for b in validated]
    return "\n\n".join([split_table("test split", test), *sentences, paper_table(metrics)])


def _sentence(name: str, validated: dict[str, Any]) -> str:
    final = validated["final"]
    normal = final["normal_images_with_mask"]
    return (
        f"{validated['folds']}-fold cross-validation of {name}, each of the {validated['cases']} "
        "images scored by a network that had not seen it or its near-duplicates: Dice of lesion "
        f"images {interval(final['lesion_images']['dice'])}, of all images "
        f"{interval(final['all_images']['dice'])}; {normal['count']} of {normal['of']} normal "
        "images given a mask."
    )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


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
    readme.write_text(update_readme(readme.read_text(), readme_results(bundles)))
