"""The page: drop a breast ultrasound, see the lesion outlined, move the threshold."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if __name__ == "__main__":
    from unet.page.startup_checks import check_address, exit_with_message
    from unet.page.temp_dir import private_folder

    with exit_with_message():  # both are read while Gradio is imported
        check_address()
        os.environ["GRADIO_TEMP_DIR"] = str(private_folder())

# Gradio parses its own sources at every start, to write type stubs beside them; where a class has
# no file it leaves that out. It is 40 % of its import.
with mock.patch("inspect.getfile", side_effect=OSError):
    import gradio as gr

from unet.inference.bundle import SERVED_FILES, find_interactive_bundle, list_bundles, verify
from unet.page import about, server
from unet.page.gradio_patches import allow_fewer_inputs, refuse_in_words
from unet.page.model_registry import ModelRegistry
from unet.page.session_store import AnalysisCache
from unet.page.tabs import PRIVATE, batch, model, single
from unet.page.uploads import MAX_FILE, UploadTracker
from unet.publishing.card import NOTICE
from unet.publishing.report import comparison_in, sort_by_validation

ROOT = Path(__file__).parent
EXAMPLES = ROOT / "examples"
THEME = gr.themes.Default(  # fonts of the system: the page asks no other host for one
    primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(body_text_color_subdued="#5b6470", button_primary_background_fill="*primary_600")
STYLE = """<style>
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto; }
body:not(.dark) button[role=tab].selected { color: #1d4ed8; }
body:not(.dark) .gradio-container .token { color: #2b3a00 !important; }
#saver, #frames { display: none; }
:is(#examples, #batch-gallery) .grid-wrap { padding-top: 30px; }
#examples .caption-label { white-space: normal; font-size: 11px; line-height: 1.25; }
#sources { font-size: 12px; opacity: 0.75; }
#batch-gallery .grid-wrap { max-height: none; min-height: 0; height: auto; }
@media (max-width: 640px) {  /* the picture first: a line to upload, examples as a strip below */
  .gradio-container h1 { font-size: 22px; }
  #network input { font-size: 12px; }
  #given { display: contents; }
  #given > *, #one > .column:has(#viewer) { order: 2; min-width: 0 !important; width: 100%; }
  #one > .column:has(#viewer) { order: 1; }
  #given > #upload { order: 0; }
  #given > #truth { order: 3; }
  #given > :is(#upload, #truth) { height: 64px !important; min-height: 0; }
  :is(#upload, #truth) .upload-container { height: 100% !important; padding-top: 24px; }
  :is(#upload, #truth) .upload-container .wrap { display: none; }
  :is(#upload, #truth) .upload-container::after { content: "Tap to choose a file"; }
  :is(#upload, #truth) .file-preview, :is(#upload, #truth) .file-preview :is(tr, td) { margin: 0;
    padding-block: 0; }
  #examples { max-width: calc(100vw - 24px); }
  #examples .grid-container { display: flex; overflow-x: auto; }
  #examples .grid-container > * { flex: 0 0 104px; }
  #examples, #examples .grid-wrap { height: auto !important; max-height: none; }
  #batch-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #batch-table { max-width: calc(100vw - 24px); overflow-x: auto; }
  .gradio-container .main { padding: 16px 12px !important; }
  #viewer .html-container { padding: 0; }
  .gradio-container .tabitem { padding: 10px 0 !important; }
}
</style>"""
WHERE = (
    "Pictures go to the computer that runs this page. They are removed when you clear or replace "
    "them or close the tab, and after an hour at most."
)
LAUNCH = {
    "run_history": False,  # it would keep patients' images in the browser
    "max_file_size": MAX_FILE,
    "show_error": True,  # what Gradio itself refuses is said in its words
    "footer_links": ["api"],
    "mcp_server": True,
    "theme": THEME,
    "head": STYLE,  # Gradio confines `css` to the inside of the page's margins
}


def build_page(networks: ModelRegistry) -> gr.Blocks:
    """The page for some networks."""
    networks.load_in_background(networks.default)
    kept, held = AnalysisCache(), UploadTracker()

    def leave(request: gr.Request) -> None:
        kept.close(request.session_hash)
        held.leave(request.session_hash)

    with gr.Blocks(title="Breast ultrasound segmentation") as page:
        page.unload(leave)
        gr.Markdown(f"# Breast ultrasound segmentation\n{NOTICE} {WHERE}")
        with gr.Row():
            chooser = gr.Dropdown(
                _choices(networks), value=networks.default, label="Network", elem_id="network",
                scale=3,
                info="Dice: overlap with the ground truth on test images with a lesion, by data "
                "set; 1 is all",
            )  # fmt: skip
            with gr.Column(scale=2, min_width=260):
                status = gr.Markdown(elem_id="status", container=True)
        _tell_status(page, networks, chooser, status)
        if os.environ.get("UNET_REPO"):
            _follow_hub(networks, chooser, status)
        with gr.Tab("One image"):
            single.add(networks, kept, held, chooser, EXAMPLES)
        with gr.Tab("Many images"):
            batch.add(networks, held, chooser)
        with gr.Tab("About this network") as tab:
            model.add(networks, chooser, tab, comparison_in(ROOT / "weights"))
        single.add_endpoint(networks)
    allow_fewer_inputs(page, "segment")
    refuse_in_words(page)
    return page


def _tell_status(
    page: gr.Blocks, networks: ModelRegistry, chooser: gr.Dropdown, status: gr.Markdown
) -> None:
    """Say what the page runs on; while a network is loading, ask again."""

    def tell(name: str):
        return networks.status(name), gr.Timer(active=not networks.is_settled(name))

    timer = gr.Timer(0.5, active=False)
    for event in (page.load, chooser.change, timer.tick):
        event(tell, chooser, [status, timer], show_progress="hidden", **PRIVATE)


def _follow_hub(networks: ModelRegistry, chooser: gr.Dropdown, status: gr.Markdown) -> None:
    """Bring the chooser and the status line up to what has arrived from the Hub."""
    bundled = networks.default

    def refresh(chosen: str, seen: str | None):
        if networks.default == seen:  # nothing new: leave what the visitor chose
            return gr.skip(), networks.status(chosen), seen
        value = networks.default if chosen == bundled else chosen
        update = gr.Dropdown(_choices(networks), value=value)
        return update, networks.status(value), networks.default

    seen = gr.Textbox(visible=False)  # kept by the browser, whoever else calls
    quiet = {"show_progress": "hidden", **PRIVATE}
    gr.Timer(3).tick(refresh, [chooser, seen], [chooser, status, seen], **quiet)


def _choices(networks: ModelRegistry) -> list[tuple[str, str]]:
    return [(about.label(name, source.folder), name) for name, source in networks.sources.items()]


def networks_here() -> ModelRegistry:
    """The bundle in UNET_WEIGHTS, or those in `weights/`, the best on validation first."""
    interactive_model = find_interactive_bundle(ROOT / "weights")
    chosen = os.environ.get("UNET_WEIGHTS")
    if chosen:
        return ModelRegistry([Path(chosen)], interactive_model)
    return ModelRegistry(sort_by_validation(list_bundles(ROOT / "weights")), interactive_model)


if __name__ == "__main__":
    with exit_with_message():
        here = networks_here()
        verify(here.sources[here.default].folder, SERVED_FILES)  # said now, not on the page
    if os.environ.get("UNET_REPO"):
        here.follow_hub(os.environ["UNET_REPO"], os.environ.get("UNET_REVISION"))
    if os.environ.get("SPACES_ZERO_GPU"):  # such a Space must hold one function that asks for a GPU
        import spaces

        spaces.GPU(lambda: None)
    with exit_with_message():
        page = build_page(here)
        server.launch(page, here, **LAUNCH)
