"""The page over real HTTP."""

from __future__ import annotations

import ast
import base64
import csv
import io
import json
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from tests.make_phantoms import FAINT, SHOWN, phantoms
from unet import Segmenter
from unet.core.mask import quantise
from unet.core.metrics import Confusion
from unet.core.prompts import Prompts, parse_prompts
from unet.io.examples import read_examples
from unet.page import about, server
from unet.page.analysis import example_images
from unet.page.model_registry import ModelRegistry


@pytest.fixture(scope="module")
def address(tiny_bundle, tiny_guide) -> Iterator[str]:
    networks = ModelRegistry([tiny_bundle], tiny_guide)
    page = app.build_page(networks)
    url = server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield url
    page.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory) -> Client:
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def ultrasound(tmp_path) -> Path:
    from unet.data.phantom import make_phantom

    path = tmp_path / "scan.png"
    Image.fromarray(make_phantom(1, "benign", 150, 230).image).save(path)
    return path


def test_segment_returns_the_mask_at_the_images_own_size(client, ultrasound, tiny_segmenter):
    pixels = np.asarray(Image.open(ultrasound))
    probability_u8 = quantise(tiny_segmenter.predict(pixels))
    threshold = round(float(np.quantile(probability_u8, 0.7)) / 255, 3)
    mask, findings = client.predict(handle_file(ultrasound), threshold, api_name="/segment")
    with Image.open(mask) as picture:
        assert picture.format == "PNG"
        returned = np.asarray(picture)
    expected = tiny_segmenter.segment(pixels, threshold)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(returned.reshape(150, 230, -1)[:, :, 0], expected * 255)
    assert findings["image_size_px"] == [230, 150]
    assert sum(region["area_px"] for region in findings["regions"]) == expected.sum()
    assert 0 <= findings["lesion_presence"] <= 1
    assert findings["looks_like_breast_ultrasound"] in (True, False)
    assert findings["confidence"] is None  # the tiny network sees one view
    json.dumps(findings)


def test_segment_without_a_threshold_uses_the_networks_own(client, ultrasound, tiny_segmenter):
    mask, _ = client.predict(handle_file(ultrasound), None, api_name="/segment")
    expected = tiny_segmenter.segment(np.asarray(Image.open(ultrasound)))
    np.testing.assert_array_equal(np.asarray(Image.open(mask).convert("L")) > 0, expected)


def test_segment_answers_to_what_one_points_at(client, address, ultrasound, tiny_guide):
    said = {
        "positive": [[[100, 70]]],
        "negative": [[[5, 5], [20, 9]]],
        "boxes": [[60, 30, 150, 110]],
    }
    mask, findings = client.predict(handle_file(ultrasound), 0.4, said, api_name="/segment")
    pixels = np.asarray(Image.open(ultrasound))
    interactive_model = Segmenter.load(tiny_guide)
    expected = interactive_model.analyze(pixels, parse_prompts(said, *pixels.shape)).segment(0.4)
    np.testing.assert_array_equal(np.asarray(Image.open(mask).convert("L")) > 0, expected.mask)
    assert findings["network"]["sha256"] == interactive_model.network.sha256
    assert findings["lesion_presence"] is None
    alone = client.predict(handle_file(ultrasound), 0.4, {}, api_name="/segment")[1]
    assert alone["network"]["name"] == "tiny"
    # Callers from before there were prompts send two values.
    before = raw_call(address, [None, 0.5])
    assert "Choose an image file first." in before


@pytest.mark.parametrize(
    ("said", "words"),
    [([1, 2], "expected"), ({"positive": [[1, 2]]}, "expected"), ({"where": []}, "expected")],
)
def test_prompts_that_cannot_be_meant_are_answered_in_words(client, ultrasound, said, words):
    with pytest.raises(AppError, match=f"^prompts: {words}"):
        client.predict(handle_file(ultrasound), None, said, api_name="/segment")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n half"])
def test_a_bad_file_is_answered_in_words_and_the_page_goes_on(client, ultrasound, content):
    bad = ultrasound.with_name("bad.png")
    bad.write_bytes(content)
    with pytest.raises(AppError, match=r"^bad\.png: (the file is empty|not an image)") as error:
        client.predict(handle_file(bad), 0.5, api_name="/segment")
    assert "/" not in str(error.value)
    assert client.predict(handle_file(ultrasound), 0.5, api_name="/segment")


@pytest.mark.parametrize("threshold", [-0.5, 1.5])
def test_a_threshold_outside_0_to_1_is_answered_in_words(client, ultrasound, threshold):
    with pytest.raises(AppError, match="threshold must lie between 0 and 1"):
        client.predict(handle_file(ultrasound), threshold, api_name="/segment")


def test_only_the_documented_endpoints_are_public(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert sorted(endpoints) == ["/batch", "/segment"]


def test_a_batch_has_a_row_for_every_file_and_a_zip_of_what_could_be_read(
    client, ultrasound, tiny_segmenter
):
    bad = ultrasound.with_name("bad.png")
    bad.write_bytes(b"no")
    paths = [ultrasound, bad, ultrasound]
    rows, archive = client.predict([handle_file(p) for p in paths], 0.5, api_name="/batch")
    assert [row["file"] for row in rows] == ["scan.png", "bad.png", "scan.png"]
    assert rows[1]["result"].startswith("not read: not an image")
    with zipfile.ZipFile(archive) as files:
        assert sorted(files.namelist()) == [
            "masks/scan-2.png", "masks/scan.png", "overlays/scan-2.png", "overlays/scan.png",
            "results.csv",
        ]  # fmt: skip
        mask = np.asarray(Image.open(io.BytesIO(files.read("masks/scan.png"))))
        table = list(csv.DictReader(io.StringIO(files.read("results.csv").decode())))
    expected = tiny_segmenter.segment(np.asarray(Image.open(ultrasound)), 0.5)
    np.testing.assert_array_equal(mask, expected * 255)
    assert [row["output"] for row in table] == ["scan", "", "scan-2"]


def over_mcp(address: str, ask):
    """What `ask(session)` gives in a session of the installed MCP client."""
    import asyncio

    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run():
        async with (
            streamable_http_client(f"{address}gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await ask(session)

    with ThreadPoolExecutor() as pool:  # the browser tests keep a loop in this thread
        return pool.submit(lambda: asyncio.run(run())).result()


def test_the_endpoints_are_tools_over_mcp(address):
    tools = {tool.name: tool for tool in over_mcp(address, lambda s: s.list_tools()).tools}
    assert sorted(tools) == ["segment_file", "segment_files"]
    assert all(tool.description.startswith("Segment ") for tool in tools.values())
    for tool in tools.values():
        for field in tool.inputSchema["properties"].values():
            assert field["description"].endswith((".", "schema."))
    assert set(tools["segment_file"].inputSchema["properties"]["prompts"]["properties"]) == {
        "positive", "negative", "boxes",
    }  # fmt: skip


def test_the_tools_answer_over_mcp(address, ultrasound, tiny_segmenter):
    image = "data:image/png;base64," + base64.b64encode(ultrasound.read_bytes()).decode()

    def call(name: str, **arguments):
        found = over_mcp(address, lambda session: session.call_tool(name, arguments))
        assert not found.isError, found.content
        return found.content

    def findings(content) -> dict:
        texts = [c.text for c in content if c.type == "text"]
        return ast.literal_eval(next(text for text in texts if "regions" in text))

    answer = tiny_segmenter.analyze(Image.open(ultrasound)).segment(0.5)
    content = call("segment_file", path=image, threshold=0.5)
    assert [region["area_px"] for region in findings(content)["regions"]] == [
        region.area_px for region in answer.regions
    ]
    (mask,) = (c for c in content if c.type == "image")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask.data))).convert("L"))
    np.testing.assert_array_equal(pixels > 0, answer.mask)

    pointed = call("segment_file", path=image, prompts={"positive": [[[60, 70]]]})
    assert findings(pointed)["network"]["name"] == "guided-unet"
    rows = next(c.text for c in call("segment_files", paths=[image, image]) if c.type == "text")
    assert len(ast.literal_eval(rows)) == 2


def test_the_shell_commands_of_the_page_work(address, ultrasound):
    commands = about.api(address).split("```bash\n")[1].split("```")[0]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("@ultrasound.png", f"@{ultrasound}")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "event: complete" in done.stdout
    assert '"image_size_px": [230, 150]' in done.stdout


def test_examples_are_phantoms_and_the_images_of_a_local_folder(tmp_path, capsys):
    Image.new("L", (30, 20), 50).save(tmp_path / "mine.png")
    (tmp_path / "broken.png").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("not for the page")
    (tmp_path / "quickstart.ipynb").write_text("{}")
    examples = example_images(tmp_path)
    captions = [example.caption for example in examples]
    assert captions == ["mine", *[caption for caption, _ in SHOWN.values()]]
    assert examples[0].picture.pixels.shape == (20, 30)
    assert [example.generated for example in examples] == [False] + 5 * [True]
    said = capsys.readouterr().out
    assert "broken.png: not an image" in said
    assert "quickstart" not in said


def test_a_local_example_has_its_truth_and_what_the_list_says(tmp_path):
    Image.new("L", (30, 20), 50).save(tmp_path / "a.png")
    Image.new("L", (30, 20), 50).save(tmp_path / "b.png")
    Image.new("1", (30, 20), 1).save(tmp_path / "b_mask.png")
    (tmp_path / "examples.csv").write_text(
        "file,caption,spacing_mm,source\nb.png,A cyst,0.05,Them 2024\ngone.png,Gone,,\n"
    )
    first, second = read_examples(tmp_path)
    assert (first.caption, first.source, second.caption) == ("A cyst", "Them 2024", "a")
    assert first.picture.spacing_mm == (0.05, 0.05)
    assert first.truth.all()
    assert second.truth is None


def test_the_phantoms_shown_are_those_that_are_made():
    for example, (_, caption, phantom) in zip(
        example_images(Path("none")), phantoms(), strict=True
    ):
        assert example.caption == caption
        assert (example.truth == phantom.mask).mean() > 0.999  # other versions round otherwise
        difference = example.picture.pixels.astype(int) - phantom.image
        assert np.abs(difference).mean() < 1


def test_what_the_network_does_not_find_alone_is_outlined_where_one_points_at_it():
    alone, interactive_model = (
        Segmenter.load(app.ROOT / "weights" / name) for name in ("efficientnet-unet", "guided-unet")
    )
    [faint] = [e for e in example_images(Path("none")) if e.caption == FAINT]
    assert not alone.analyze(faint.picture.pixels).segment().mask.any()
    y, x = (float(np.mean(at)) for at in np.nonzero(faint.truth))
    pointed = interactive_model.analyze(faint.picture.pixels, Prompts(positive=(((x, y),),)))
    assert Confusion.of(pointed.segment().mask, faint.truth).dice > 0.7


def raw_call(address: str, data: list) -> str:
    """What `/segment` answers to JSON sent by hand."""
    import httpx2

    base = f"{address}gradio_api/call/segment"
    event = httpx2.post(base, json={"data": data}).json()["event_id"]
    return httpx2.get(f"{base}/{event}", timeout=60).text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, 0.5], "was uploaded to"),
        ([{"path": "nowhere.png", "meta": {"_type": "gradio.FileData"}}, 0.5], "was uploaded to"),
        ([{"path": "a.png", "meta": {"_type": "?"}}, 0.5], "expected what this endpoint takes"),
        ([], "Choose an image file first."),
        ([None, "half"], "threshold must be a number between 0 and 1, got"),
        ([None, 0.5], "Choose an image file first."),
    ],
)
def test_what_cannot_be_meant_is_answered_in_words(address, data, words):
    answer = raw_call(address, data)
    assert "event: error" in answer
    assert words in answer
    assert not [part for part in ("Traceback", str(app.ROOT), " object at 0x") if part in answer]


def test_a_batch_does_not_make_single_images_wait(client, ultrasound, tmp_path):
    paths = []
    for number in range(60):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(ultrasound.read_bytes())
    uploaded = [handle_file(path) for path in paths]
    batch = client.submit(uploaded, None, api_name="/batch")
    answered = 0
    while batch.status().code.name != "PROCESSING" and not batch.done():  # files are sent first
        time.sleep(0.01)
    while not batch.done():
        client.predict(handle_file(ultrasound), None, api_name="/segment")
        answered += not batch.done()
    assert len(batch.result()[0]) == 60
    assert answered >= 3


def test_every_answer_names_the_network(client, ultrasound, tiny_bundle):
    _, findings = client.predict(handle_file(ultrasound), None, api_name="/segment")
    written = json.loads((tiny_bundle / "unet.json").read_text())
    expected = {"name": "tiny", "sha256": written["sha256"]["model.weights.h5"], "revision": None}
    assert findings["network"] == expected
