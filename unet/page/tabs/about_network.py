"""The tab about the network: its card, figures, worst cases, and how to call the page."""

from __future__ import annotations

import os

import gradio as gr

from unet.page import about
from unet.page.served import Networks
from unet.page.tabs import PRIVATE


def add(networks: Networks, chooser: gr.Dropdown) -> None:
    """Add the tab's components."""

    def describe(name: str):
        folder = networks.sources[name].folder
        return about.text(folder), about.figures(folder), about.worst_cases(folder)

    def how_to_call(request: gr.Request):
        return about.api(_public_address() or str(request.request.base_url))

    text, figures, worst = describe(networks.default)
    card = gr.Markdown(text, elem_id="card")
    gallery = gr.Gallery(
        figures,
        label="Figures (choose one to enlarge it)",
        columns=4,
        height=320,
        object_fit="contain",
        interactive=False,
        buttons=["fullscreen"],
        elem_id="figures",
    )
    table = gr.Dataframe(
        worst,
        headers=["case", "class", "Dice", "recall", "precision", "what is wrong"],
        label="The worst test cases",
        interactive=False,
    )
    gr.Markdown(about.data_faults())
    calls = gr.Markdown()
    chooser.change(describe, chooser, [card, gallery, table], **PRIVATE)
    gr.on(None, how_to_call, None, calls, **PRIVATE)


def _public_address() -> str | None:
    """The page's address on a Hugging Face Space, where requests come through a proxy."""
    host = os.environ.get("SPACE_HOST")
    return f"https://{host}" if os.environ.get("SPACE_ID") and host else None
