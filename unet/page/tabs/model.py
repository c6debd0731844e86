"""The tab about the network: its numbers, charts and card, and how to call it from a program."""

from __future__ import annotations

import os

import gradio as gr

from unet.page import about
from unet.page.model_registry import ModelRegistry
from unet.page.tabs import PRIVATE
from unet.results import Results

SHOW = """
function show() {
  element.querySelector("div").innerHTML = props.value || "";
  drawCharts(element);
}
watch("value", show);
show();
"""


def add(
    networks: ModelRegistry, chooser: gr.Dropdown, tab: gr.Tab, comparison: Results | None
) -> None:
    """Add the tab's components; they are filled when it is opened and when a network is chosen.

    Args:
        networks: Those of the page.
        chooser: The network that is shown.
        tab: What is opened.
        comparison: That of networks, if there is one.
    """

    def describe(name: str):
        return about.content(networks.sources[name].folder, networks.interactive_folder, comparison)

    def how_to_call(request: gr.Request):
        return about.api(_public_address() or str(request.request.base_url))

    content = gr.HTML(
        html_template="<div></div>",
        css_template=about.STYLE.read_text(),
        js_on_load=about.SCRIPT.read_text() + SHOW,
        elem_id="about",
        apply_default_css=False,
    )
    with gr.Accordion("Use from a program", open=False):
        calls = gr.Markdown()
    for event in (tab.select, chooser.change):
        event(describe, chooser, content, **PRIVATE)
    tab.select(how_to_call, None, calls, show_progress="hidden", **PRIVATE)


def _public_address() -> str | None:
    """The page's address on a Hugging Face Space, where requests come through a proxy."""
    host = os.environ.get("SPACE_HOST")
    return f"https://{host}" if os.environ.get("SPACE_ID") and host else None
