"""Model tab: numbers, charts and card of a network, and the API's description."""

from __future__ import annotations

import html
import json
from pathlib import Path

from unet.errors import UserError
from unet.page.about.charts import Chart, charts_of
from unet.page.about.numbers import held_out_cases
from unet.page.about.relatives import relatives_charts
from unet.page.about.summary import summary_of
from unet.publishing import card
from unet.publishing.comparison import HEADING, comparison_section
from unet.publishing.report import metrics_of
from unet.results import Results, group_by_dataset

HERE = Path(__file__).parent
SCRIPT, STYLE = HERE / "plots.js", HERE / "about.css"
WORST = 10
UNREADABLE = (UserError, OSError, LookupError, TypeError, ValueError, AttributeError)
"""Errors of reading a bundle's numbers: a download may hold anything."""

API = """While the page runs, from Python:

```python
from gradio_client import Client, handle_file

client = Client("ADDRESS")
mask, findings = client.predict(handle_file("ultrasound.png"), None, api_name="/segment")
mask, findings = client.predict(  # a click on the lesion, at x = 210, y = 130
    handle_file("ultrasound.png"), None, {"positive": [[[210, 130]]]}, api_name="/segment"
)
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

Files lie under random names on the server; `"orig_name": "ultrasound.png"` beside `"path"` is what
errors and the rows of a batch call one.

The same tools are served over the Model Context Protocol at `ADDRESS/gradio_api/mcp/`.
"""


def label(name: str, bundle: Path) -> str:
    """A network's name with its Dice on test lesions, for the chooser."""
    try:
        test = metrics_of(bundle)["splits"]["test"]
        parts = group_by_dataset(test)
        dice = ", ".join(
            f"{part['postprocessed']['lesion_images']['dice']['value']:.2f}"
            + (f" {dataset}" if len(parts) > 1 else "")
            for dataset, part in parts.items()
        )
        return f"{name}: Dice {dice}"
    except (KeyError, TypeError, ValueError):  # what came from the Hub may hold anything
        return name


def content(
    bundle: Path, interactive_model: Path | None = None, comparison: Results | None = None
) -> str:
    """Numbers, charts and folded card of a network as HTML.

    Raw HTML in the card stays text; `drawCharts` of plots.js draws the charts.

    Args:
        interactive_model: Bundle of the network that answers to clicks.
        comparison: That of networks, if there is one.
    """
    parts = [
        summary_of(bundle),
        _charts(charts_of(bundle)),
        *_folded_card(bundle),
        *_pointing(interactive_model),
        _worst_cases(bundle),
        *_relatives(comparison),
    ]
    return f'<div class="about">{"".join(parts)}</div>'


def _folded_card(bundle: Path) -> list[str]:
    """The model card as HTML, a folded part for each of its headings."""
    try:
        return _folded_sections(card.description_of(bundle))
    except UNREADABLE:
        return [f"<p><code>{html.escape(bundle.name)}</code> has no numbers that can be read.</p>"]


def _charts(charts: list[Chart]) -> str:
    content = json.dumps(charts, allow_nan=False)
    return f'<div class="charts" data-charts="{html.escape(content)}"></div>'


def _pointing(interactive_model: Path | None) -> list[str]:
    try:
        return _folded_sections(card.pointing_of(interactive_model)) if interactive_model else []
    except UNREADABLE:
        return []


def _relatives(comparison: Results | None) -> list[str]:
    if not comparison:
        return []
    try:
        said = _charts(relatives_charts(comparison)) + _html(comparison_section(comparison))
    except UNREADABLE:
        return []
    return [_folded(html.escape(HEADING), said)]


def _folded_sections(text: str) -> list[str]:
    parts = []
    for section in f"\n{text}".split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        parts.append(_folded(html.escape(heading), _html(body)))
    return parts


def _html(markdown: str) -> str:
    """Markdown's HTML; HTML in it stays text."""
    from markdown_it import MarkdownIt  # when the tab is opened, not at the start

    return MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)


def _worst_cases(bundle: Path) -> str:
    worst = sorted(held_out_cases(bundle), key=lambda case: case.dice)[:WORST]
    if not worst:
        return ""
    heads = ("case", "class", "Dice", "recall", "precision", "what is wrong")
    rows = (
        (c.id, c.label, f"{c.dice:.3f}", f"{c.recall:.3f}", f"{c.precision:.3f}", c.diagnosis)
        for c in worst
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _folded("The worst test cases", table)


def _folded(heading: str, content: str) -> str:
    return f'<details><summary>{heading}</summary><div class="inside">{content}</div></details>'


def api(address: str) -> str:
    """Describe the API of the page."""
    return API.replace("ADDRESS", address.rstrip("/"))
