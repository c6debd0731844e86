"""What people give the page lies under no name of theirs, and goes when they do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gradio as gr
import httpx2
import numpy as np
import pytest
import safehttpx
from gradio.data_classes import FileData, ListFiles
from gradio_client import Client, handle_file
from PIL import Image

import app
from tests.io.test_dicom import write
from unet.page import gradio_patches, server, uploads
from unet.page.model_registry import ModelRegistry
from unet.page.uploads import (
    PLACE,
    Sweeper,
    UploadTracker,
    name_of,
    named,
    new_place,
    remove,
    without_name,
)

SECRET = "Doe^Jane"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the page of this module keeps what is given to it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(folder, tiny_bundle):
    networks = ModelRegistry([tiny_bundle])
    page = app.build_page(networks)
    yield server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    page.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory) -> Client:
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def given(address: str, name: str, content: bytes = b"\x89PNG") -> Path:
    answer = httpx2.post(f"{address}gradio_api/upload", files=[("files", (name, content))])
    (path,) = answer.json()
    return Path(path)


def names_in(folder: Path) -> str:
    return " ".join(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("Jane Doe.PNG", ".png"),
        ("Jane Doe.tar.dcm", ".dcm"),
        ("scan.jane", ""),
        ("../../Jane.png", ".png"),
        ("Jane", ""),
        (".Jane", ""),
        ("", ""),
    ],
)
def test_nothing_but_a_pictures_suffix_is_left_of_a_name(name, suffix):
    new = without_name(name)
    assert "jane" not in new.lower()
    assert Path(new).suffix == suffix
    assert without_name(name) != new


def test_a_file_arrives_under_a_random_name_in_a_place_of_its_own(address, folder):
    first, again = (given(address, f"{SECRET}.png") for _ in range(2))
    assert first.read_bytes() == b"\x89PNG"
    assert first.parent != again.parent  # the same file: whoever removes theirs keeps the other's
    assert PLACE.fullmatch(first.parent.name)
    assert (first.parent.parent, first.suffix) == (folder, ".png")
    assert "Doe" not in names_in(folder)


def test_an_upload_that_breaks_off_leaves_nothing(address, folder):
    import socket

    before = set(folder.rglob("*"))
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    with socket.create_connection((host, int(port))) as half:
        half.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + head + b"a" * 9999
        )
        for _ in range(100):
            time.sleep(0.05)
            if set(folder.rglob("*")) - before:
                break
        assert set(folder.rglob("*")) - before, "nothing arrived"
    for _ in range(100):
        time.sleep(0.05)
        if not set(folder.rglob("*")) - before:
            break
    assert set(folder.rglob("*")) == before


class _Host(BaseHTTPRequestHandler):
    """What people give addresses of."""

    def do_GET(self):
        status, body = 200, b"picture"
        if self.path.startswith("/moved"):
            status = 302
        elif self.path.startswith("/missing"):
            status = 404
        elif self.path.startswith("/long"):
            body *= 1000
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"/{SECRET}.png?sign=Doe.dcm")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetched(url: str) -> Path:
    gradio_patches.name_uploads_at_random()
    download = gr.processing_utils.async_ssrf_protected_download
    with ThreadPoolExecutor() as pool:  # the browser tests keep a loop in this thread
        return Path(pool.submit(lambda: asyncio.run(download(url, ""))).result())


@pytest.mark.parametrize("place", [f"{SECRET}.png?sign=Doe.dcm", "moved/Doe.png"])
def test_what_is_fetched_by_its_address_has_a_random_name(folder, monkeypatch, host, place):
    monkeypatch.setattr(safehttpx, "is_public_ip", lambda _: True)
    path = fetched(f"{host}/{place}")
    assert path.read_bytes() == b"picture"
    assert path.suffix == ".png"
    assert "Doe" not in str(path)


@pytest.mark.parametrize(
    ("place", "words"),
    [("missing.png", "The address answered 404"), ("long.png", "more than 0 MiB, the most a file")],
)
def test_an_address_that_gives_nothing_or_too_much_is_refused(
    folder, monkeypatch, host, place, words
):
    monkeypatch.setattr(safehttpx, "is_public_ip", lambda _: True)
    monkeypatch.setattr(uploads, "MAX_FILE", 100)
    before = set(folder.rglob("*"))
    with pytest.raises(gr.Error, match=words):
        fetched(f"{host}/{place}")
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "no.such.host."])
def test_an_address_of_this_network_is_not_asked(folder, host, name):
    before = set(folder.rglob("*"))
    with pytest.raises(gr.Error, match="not that of a public host"):
        fetched(f"http://{name}:{host.rpartition(':')[2]}/picture.png")
    assert set(folder.rglob("*")) == before


def test_people_read_their_own_names_and_nobody_else_does(client, folder, tmp_path, capfd):
    good, bad = tmp_path / f"{SECRET}.png", tmp_path / f"{SECRET} half.png"
    Image.new("L", (40, 30), 90).save(good)
    bad.write_bytes(good.read_bytes()[:50])
    rows, _ = client.predict([handle_file(good), handle_file(bad)], None, api_name="/batch")
    assert [row["file"] for row in rows] == [good.name, bad.name]
    with pytest.raises(Exception, match=r"^Doe\^Jane half\.png: damaged or cut off"):
        client.predict(handle_file(bad), None, api_name="/segment")
    assert "Doe" not in names_in(folder)
    printed = capfd.readouterr()
    assert "Doe" not in printed.out + printed.err


def test_what_goes_wrong_is_printed_without_names_or_messages(client, tmp_path, capfd, monkeypatch):
    message = f"cannot open {SECRET}.png"

    def fails(*_: object):
        raise RuntimeError(message)

    picture = tmp_path / f"{SECRET}.png"
    Image.new("L", (40, 30), 90).save(picture)
    monkeypatch.setattr("unet.page.tabs.read_picture", fails)
    with pytest.raises(Exception, match="cannot open"):
        client.predict(handle_file(picture), None, api_name="/segment")
    printed = capfd.readouterr().err
    assert "builtins.RuntimeError" in printed
    assert ", in fails" in printed  # where it came from is said
    assert "cannot open" not in printed.replace(
        'raise RuntimeError(f"cannot open {SECRET}.png")', ""
    )
    assert "Doe" not in printed


READ = """
import sys
from unet.io.images import read_picture
from unet.page import gradio_patches
if "quiet" in sys.argv:
    gradio_patches.redact_tracebacks()
assert read_picture(sys.argv[1]).header.StudyInstanceUID
"""


def test_a_header_that_is_not_as_it_should_be_is_not_printed(tmp_path):
    pixels = np.full((30, 40), 90, np.uint8)
    path = write(tmp_path / "scan.dcm", pixels, StudyInstanceUID="1.19700101")
    path.write_bytes(path.read_bytes().replace(b"1.19700101", b"1.Doe^Jane"))
    for words in ([], ["quiet"]):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(path), *words],
            cwd=app.ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ("Doe^Jane" in done.stdout + done.stderr) == (not words)


def test_names_stay_with_what_a_component_gives(tmp_path):
    path = tmp_path / "random.png"
    path.write_bytes(b"x")
    data = FileData(path=str(path), orig_name="her/own name.png")
    one, many = named(gr.File()), named(gr.File(file_count="multiple"))
    assert name_of(one.preprocess(data)) == "own name.png"
    (first,) = many.preprocess(ListFiles(root=[data]))
    assert name_of(first) == "own name.png"
    assert name_of(one.preprocess(FileData(path=str(path)))) == "random.png"
    assert one.preprocess(None) is None


def test_only_places_are_removed(folder):
    example = folder / ("a" * 64) / "image.png"
    example.parent.mkdir(exist_ok=True)
    example.write_bytes(b"x")
    elsewhere = folder.parent / ("b" * 32) / "x.png"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"x")
    ours = new_place() / "x.png"
    ours.write_bytes(b"x")
    for path in (example, elsewhere, ours, folder / "gone" / "x.png"):
        remove(path)
    assert (example.exists(), elsewhere.exists(), ours.parent.exists()) == (True, True, False)
    assert folder.exists()


class Clock:
    """A clock in place of `time.monotonic`."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(uploads.time, "monotonic", lambda: self.now)


def test_what_has_lain_there_too_long_goes_whoever_has_it(folder, monkeypatch):
    clock, sweeper = Clock(monkeypatch), Sweeper()
    old = new_place()
    (old / "x.png").write_bytes(b"x")
    half, example, result, again = (
        folder / "tmphalf", *(folder / (letter * 64) / "x.png" for letter in "cde")
    )  # fmt: skip
    half.write_bytes(b"x")
    for path in (example, result, again):
        path.parent.mkdir()
        path.write_bytes(b"x")
    registers = [{str(example), str(result), str(again), str(old / "x.png")}, {"/etc/hostname"}]
    sweeper.sweep(3600, registers, [str(example)])
    clock.now += 3599
    new = new_place()
    os.utime(again)  # as Gradio does where it hands a copy out again
    sweeper.sweep(3600, registers, [str(example)])
    assert all(path.exists() for path in (old, half, example, result, again))
    clock.now += 1
    sweeper.sweep(3600, registers, [str(example)])
    there = [old, half, result, example, again, new]
    assert [path.exists() for path in there] == [False, False, False, True, True, True]
    clock.now += 3600
    sweeper.sweep(3600, registers, [str(example)])
    assert [path.exists() for path in there] == [False] * 3 + [True, False, False]
    assert set(folder.iterdir()) >= {example.parent}
    assert not {result.parent, again.parent} & set(folder.iterdir())


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_is_set_neither_keeps_files_nor_takes_them(folder, monkeypatch, hours):
    clock, sweeper = Clock(monkeypatch), Sweeper()
    place = new_place()
    sweeper.sweep(3600)
    now = time.time() + hours * 3600
    monkeypatch.setattr(uploads.time, "time", lambda: now)
    clock.now += 60
    sweeper.sweep(3600)
    assert place.exists()
    clock.now += 3540
    sweeper.sweep(3600)
    assert not place.exists()


def test_a_visitor_has_what_was_given_last_and_nothing_after_leaving(folder):
    def place() -> Path:
        path = new_place() / "x.png"
        path.write_bytes(b"x")
        return path

    held = UploadTracker()
    first, second, truth, others = place(), place(), place(), place()
    held.only("ann", "picture", [first])
    held.only("ann", "truth", [truth])
    held.only("ben", "picture", [others])
    held.only("ann", "picture", [second])
    there = [first, second, truth, others]
    assert [path.exists() for path in there] == [False, True, True, True]
    held.leave("ann")
    held.leave("ann")
    assert [path.exists() for path in there] == [False, False, False, True]


def test_what_is_worked_on_stays_until_it_is_done(folder):
    paths = [new_place() / "x.png" for _ in range(2)]
    for path in paths:
        path.write_bytes(b"x")
    held = UploadTracker()
    held.only("ann", "batch", paths)
    held.only("ann", "batch at work", paths)
    held.only("ann", "batch", paths[1:])
    assert [path.exists() for path in paths] == [True, True]
    held.only("ann", "batch at work", [])
    assert [path.exists() for path in paths] == [False, True]
    held.leave("ann")
    assert not paths[1].exists()


def test_what_a_visitor_sees_is_written_to_no_file(address, folder):
    asked = f"{address}gradio_api/deep_link?session_hash=x"
    assert httpx2.get(asked).status_code == 404
    assert not (folder / "deep_links").exists()
