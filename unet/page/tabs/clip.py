"""A clip's other frames: the viewer asks for one after the other, for as long as it shows the clip.

So nothing runs on where the page is closed or another picture opened, and between two frames
whoever else waits for the network has it.
"""

from __future__ import annotations

import gradio as gr

from unet.io.images import ImageError, read_picture
from unet.page import analysis, metrics, viewer
from unet.page.model_registry import ModelRegistry
from unet.page.session_store import AnalysisCache
from unet.page.tabs import CLIP, PRIVATE
from unet.page.uploads import name_of

GIVE = """watch("value", () => {
  if (props.value) document.querySelector("#viewer .viewer").viewer.clip.take(props.value);
});"""


def add(
    networks: ModelRegistry,
    kept: AnalysisCache,
    chooser: gr.Dropdown,
    view: gr.HTML,
    current: gr.Textbox,
    truth: gr.File,
) -> None:
    """Answer the viewer's "tick", which asks for a frame, and "select", which rests on one."""

    def answer(network: str, event: gr.EventData, request: gr.Request) -> dict:
        """The frame's scene, or why there is none: `gone` for good, `later`, or `failed`."""
        ticket = event.ticket
        start = kept.packed(event.id)
        if start is None:
            return {"ticket": ticket, "gone": True}
        segmenter = networks.get(network)
        wanted = kept.is_wanted(request.session_hash, start.series)
        if not wanted or segmenter.network != start.prediction.network:
            return {"ticket": ticket, "later": True}  # something else is on its way
        analysed = kept.get(event.known)
        if analysed is None:
            try:
                with metrics.step("read"):
                    picture = read_picture(start.clip_path, _whole(event.frame))
            except ImageError as error:
                metrics.count_error(type(error).__name__)
                return {"ticket": ticket, "failed": error.about(name_of(start.clip_path))}
            analysed = analysis.analyse(
                segmenter, picture, series=start.series, clip_path=start.clip_path
            )
            if not kept.is_wanted(request.session_hash, start.series):  # they have left meanwhile
                return {"ticket": ticket, "later": True}
            kept.put(analysed)
        value = viewer.scene(analysed, networks.sources, networks.has_interactive)
        return {"ticket": ticket, "value": value}

    def rest(event: gr.EventData, request: gr.Request):
        """Let network and downloads follow the shown frame; the truth was another's."""
        start = kept.packed(event.id)
        if start is None or not kept.is_wanted(request.session_hash, start.series):
            return gr.skip(), gr.skip()
        return event.id, None

    frames = gr.HTML(html_template="", js_on_load=GIVE, elem_id="frames")
    quiet = {"show_progress": "hidden", "trigger_mode": "multiple", **PRIVATE}
    view.tick(answer, chooser, frames, **CLIP, **quiet)
    view.select(rest, None, [current, truth], **quiet)


def _whole(frame: object) -> int:
    """A frame's number as the viewer sends it; ImageError for what is none."""
    if type(frame) is not int:
        raise ImageError(f"expected the number of a frame, got {frame!r:.40}")
    return frame
