"""What the page says of a network: its card's numbers, its worst cases, how to call it."""

from __future__ import annotations

import csv
from pathlib import Path

from unet.errors import UserError
from unet.publishing import card
from unet.publishing.readme import metrics_of
from unet.publishing.tables import by_dataset

WORST = 10

API = """### Use from a program

While the page runs, from Python:

```python
from gradio_client import Client, handle_file

client = Client("ADDRESS")
mask, findings = client.predict(handle_file("ultrasound.png"), None, api_name="/segment")
rows, archive = client.predict([handle_file("a.png"), handle_file("b.png")], api_name="/batch")
```

From a shell (upload, start, collect):

```bash
FILE=$(curl -s -F files=@ultrasound.png ADDRESS/gradio_api/upload | tr -d '[]"')
DATA='{"data": [{"path": "'$FILE'", "meta": {"_type": "gradio.FileData"}}, 0.5]}'
EVENT=$(curl -s ADDRESS/gradio_api/call/segment -H 'Content-Type: application/json' -d "$DATA" \\
  | tr -d '{}" ' | cut -d: -f2)
curl -sN ADDRESS/gradio_api/call/segment/$EVENT
```

The same tools are served over the Model Context Protocol at `ADDRESS/gradio_api/mcp/`.
"""


def label(name: str, bundle: Path) -> str:
    """A network's name with its Dice on test lesions, for the chooser."""
    try:
        test = metrics_of(bundle)["splits"]["test"]
        parts = by_dataset(test)
        dice = ", ".join(
            f"{part['final']['lesion_images']['dice']['value']:.2f}"
            + (f" {dataset}" if len(parts) > 1 else "")
            for dataset, part in parts.items()
        )
        return f"{name}: Dice {dice}"
    except (KeyError, TypeError, ValueError):  # what came from the Hub may hold anything
        return name


def text(bundle: Path) -> str:
    """What the model card says, as Markdown, made of the bundle's own numbers."""
    try:
        return card.description_of(bundle)
    except (UserError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return f"`{bundle.name}` has no numbers that can be read."


def figures(bundle: Path) -> list[tuple[str, str]]:
    """Paths and captions of the bundle's figures."""
    captions = {
        "learning_curves": "Learning curves",
        "operating_curve_validation": "Missed lesions against masked normals, validation",
        "threshold_sweep_validation": "Threshold sweep on validation",
        "calibration_validation": "Calibration on validation",
        "phantoms": "On generated phantoms",
    }
    paths = ((bundle / "plots" / f"{name}.png", text) for name, text in captions.items())
    return [(str(path), text) for path, text in paths if path.exists()]


def worst_cases(bundle: Path) -> list[list[str]]:
    """The test cases with the lowest Dice: id, class, Dice, recall, precision, what is wrong."""
    names = ("id", "label", "dice", "recall", "precision", "diagnosis")
    try:
        with open(bundle / "cases.csv", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
        rows.sort(key=lambda row: float(row["dice"]))
    except (OSError, KeyError, TypeError, ValueError):  # what came from the Hub may hold anything
        return []
    return [[row.get(name) or "" for name in names] for row in rows[:WORST]]


def api(address: str) -> str:
    """How to call the page from a program."""
    return API.replace("ADDRESS", address.rstrip("/"))


def data_faults() -> str:
    """What is known to be wrong with the data."""
    return (
        f"The data: {card.CITATION} Many images are there more than once, some with contradicting "
        "labels (benign (433) is malignant (145); benign (437) is normal (34)); about half carry "
        "calipers or text."
    )
