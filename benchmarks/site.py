"""The page without a server, in Chromium."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, spread


def site(rounds: int) -> None:
    """Milliseconds from a dropped file to its outline on the page without a server, and memory.

    Once as `python -m http.server` serves it, on one thread; once with the headers by which a
    static Space lets the page use several. Chromium's memory is that of the page's process.
    """
    import shutil
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from PIL import Image
    from playwright.sync_api import sync_playwright

    from unet.data.phantom import make_phantom
    from unet.inference.bundle import list_bundles
    from unet.page.site import build_site
    from unet.publishing.report import sort_by_validation

    isolating = {"Cross-Origin-Embedder-Policy": "require-corp",
                 "Cross-Origin-Opener-Policy": "same-origin"}  # fmt: skip
    viewer = "document.querySelector('#viewer .viewer').dataset.loaded"
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        image = Path(temporary) / "measured.png"
        Image.fromarray(make_phantom(1, "benign", 719, 1048).image).save(image)
        folder = Path(temporary) / "site"
        build_site(sort_by_validation(list_bundles(ROOT / "weights")), folder)
        for name, headers in (("one thread", {}), ("isolated", isolating)):

            class Handler(SimpleHTTPRequestHandler):
                def __init__(self, *arguments):
                    super().__init__(*arguments, directory=str(folder))

                def end_headers(self, headers=headers):
                    for header in headers.items():
                        self.send_header(*header)
                    super().end_headers()

                def log_message(self, *_):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 390, "height": 844})
            begun = time.perf_counter()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_function(
                "document.querySelector('#status').textContent.includes('ready')"
            )
            ready = time.perf_counter() - begun
            times = []
            for _ in range(rounds + 1):
                before = page.evaluate(f"{viewer} || ''")
                begun = time.perf_counter()
                page.locator("#upload").set_input_files(image)
                page.wait_for_function(f"{viewer} && {viewer} !== '{before}'")
                times.append(1000 * (time.perf_counter() - begun))
            print(f"{name} (isolated: {page.evaluate('crossOriginIsolated')}): "
                  f"ready after {ready:.2g} s; first outline {times[0]:.0f} ms, "
                  f"later {spread(times[1:], 'ms')}; {_renderer_mib():.0f} MiB")  # fmt: skip
            browser.close()
            server.shutdown()


def _renderer_mib() -> float:
    """Proportional memory of the largest of Chromium's processes that show pages."""
    found = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                rollup = (process / "smaps_rollup").read_text()
                found.append(float(re.search(r"^Pss: *(\d+)", rollup, re.M).group(1)) / 1024)
        except OSError:
            continue
    return max(found)
