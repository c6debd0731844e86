"""The page with UNET_REPO set: it is up on its bundled weights whatever the Hub does."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from tests.inference.test_hub import REPO, ROOT, pushed
from unet.inference.bundle import read_info
from unet.page.model_registry import ModelRegistry

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def page(
    environment: dict[str, str], bundle: Path, log: Path, **more: str
) -> Iterator[tuple[str, float]]:
    """`python app.py` as a person starts it; gives the address and the seconds it took."""
    port = free_port()
    settings = {"GRADIO_SERVER_PORT": str(port), "UNET_WEIGHTS": str(bundle), "UNET_REPO": REPO}
    started = time.monotonic()
    with log.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment | settings | more,
            stdout=subprocess.DEVNULL, stderr=told,
        )  # fmt: skip
    try:
        while True:
            assert process.poll() is None, "the page ended"
            assert time.monotonic() - started < 120, "the page did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def asked(address: str, tmp_path: Path) -> tuple[str, dict]:
    """The page's answer for a picture: a mask's path, findings."""
    Image.new("L", (50, 40), 90).save(tmp_path / "scan.png")
    client = Client(address, verbose=False, download_files=tmp_path / "downloads")
    return client.predict(handle_file(tmp_path / "scan.png"), None, api_name="/segment")


def works(address: str, tmp_path: Path, bundle: Path) -> None:
    """The page answers, and with the bundled network: nothing came from the Hub."""
    mask, found = asked(address, tmp_path)
    assert found["network"]["revision"] is None
    assert found["network"]["sha256"] == read_info(bundle).sha256["model.weights.h5"]
    with Image.open(mask) as picture:
        assert picture.size == (50, 40)


def test_the_page_takes_the_hubs_network_once_it_is_verified(environment, tiny_bundle):
    commit = pushed(environment, tiny_bundle)
    assert ModelRegistry([tiny_bundle]).status("tiny").startswith("Network **tiny** (bundled)")
    done = follow(environment, tiny_bundle, "networks.follow_hub(REPO, None).join(90)")
    assert f"Network **{REPO}** (downloaded, revision `{commit[:12]}`)." in done.stdout


def test_the_page_runs_on_the_revision_that_was_asked_for(environment, tiny_bundle, tmp_path):
    commit = pushed(environment, tiny_bundle)
    later = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    (later / "cases.csv").write_text("id\n")
    assert pushed(environment, later) != commit
    with page(environment, tiny_bundle, tmp_path / "log", UNET_REVISION=commit) as (address, _):
        deadline = time.monotonic() + 90
        while asked(address, tmp_path)[1]["network"]["revision"] != commit:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.5)


def follow(environment, bundle: Path, *lines: str) -> subprocess.CompletedProcess:
    """Print the status after some lines, by a client that was imported for the stand-in."""
    program = [
        "import time",
        "from pathlib import Path",
        "from unet.page.model_registry import ModelRegistry",
        f"REPO, networks = {REPO!r}, ModelRegistry([Path({str(bundle)!r})])",
        *lines,
        "print(networks.status(networks.default))",
    ]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(program)], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("fault", ["absent", "hang", "shape"])  # the others: tests.inference
def test_whatever_the_hub_does_the_page_is_up_and_says_so(
    hub, environment, tiny_bundle, tmp_path, fault
):
    pushed(environment, tiny_bundle)
    if fault == "absent":
        environment = environment | {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    elif fault == "shape":
        _serve_another_shape(hub[1].repositories[f"models/{REPO}"])
    else:
        hub[1].fault = fault
    log = tmp_path / "log"
    with page(environment, tiny_bundle, log) as (address, seconds):
        assert seconds < 60
        deadline = time.monotonic() + 90
        while fault != "hang" and "hub: " not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        works(address, tmp_path, tiny_bundle)


def _serve_another_shape(repository) -> None:
    """`unet.json` that describes a network of larger images than the graph takes."""
    from dataclasses import replace

    head, files = repository.commits[-1]
    described = files["unet.json"]
    larger = described.content.replace(b'"input_size": 32', b'"input_size": 64')
    assert larger != described.content
    repository.commits[-1] = (head, files | {"unet.json": replace(described, content=larger)})


@pytest.mark.parametrize(
    ("fault", "notice"),
    [
        ("500", r"The Hub answered 500 for user/tiny\. Try again later\. The page keeps trying\."),
        ("other", r"What user/tiny holds on the Hub is not a whole bundle"),
        ("huge", r"is said to have 10000000000 bytes"),
    ],
)
def test_a_failure_is_told_to_visitors_without_paths(
    hub, environment, tiny_bundle, tmp_path, fault, notice
):
    pushed(environment, tiny_bundle)
    hub[1].fault = fault
    done = follow(
        environment,
        tiny_bundle,
        "networks.follow_hub(REPO, None)",
        "while 'Fetching' in networks.notice: time.sleep(0.1)",
    )
    assert re.search(notice, done.stdout), done.stdout + done.stderr
    assert "(bundled)" in done.stdout
    assert "The page keeps trying." in done.stdout
    assert str(tmp_path) not in done.stdout


def test_it_is_tried_again_and_taken_when_the_hub_is_back(hub, environment, tiny_bundle, tmp_path):
    commit = pushed(environment, tiny_bundle)
    hub[1].fault = "500"
    before = len(hub[1].requests)

    def come_back():
        while len(hub[1].requests) < before + 2:  # it was asked, and failed, twice
            time.sleep(0.05)
        hub[1].fault = ""

    threading.Thread(target=come_back, daemon=True).start()
    done = follow(environment, tiny_bundle, "networks.follow_hub(REPO, None, retry=0.5).join(90)")
    assert f"downloaded, revision `{commit[:12]}`" in done.stdout
    assert hub[1].fault == ""


def test_a_second_network_of_another_name_joins_the_first(tiny_bundle, tmp_path):
    import json

    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    info = json.loads((other / "unet.json").read_text())
    info["model"]["name"] = "other"
    (other / "unet.json").write_text(json.dumps(info))
    networks = ModelRegistry([tiny_bundle, other])
    assert (networks.default, list(networks.sources)) == ("tiny", ["tiny", "other"])
    image = np.arange(600).astype(np.uint8).reshape(20, 30)
    np.testing.assert_array_equal(
        networks.get("tiny").predict(image), networks.get("other").predict(image)
    )
