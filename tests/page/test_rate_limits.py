"""Each bound of the page answers with words and a status, and the page goes on."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator

import gradio as gr
import httpx2
import pytest
import uvicorn
from gradio.routes import file_upload_statuses
from PIL import Image

import app
from unet.page import analysis, gradio_patches, rate_limits, server
from unet.page.model_registry import ModelRegistry

FIELD = {"meta": {"_type": "gradio.FileData"}}
AT_ONCE = 4
"""Images that the page has in hand; the others wait."""
CALL = "gradio_api/call/"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, object]]:
    networks = ModelRegistry([app.ROOT / "weights" / "unet"])
    page = app.build_page(networks)
    address = server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield address, page
    page.close()


@pytest.fixture
def address(served) -> str:
    return served[0]


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def uploaded(address) -> dict:
    return given(address, png(40, 30))


def given(address: str, content: bytes) -> dict:
    sent = httpx2.post(
        f"{address}gradio_api/upload", files=[("files", ("a.png", content))], timeout=TIMEOUT_S
    )
    return {"path": sent.json()[0]} | FIELD


def ask(address: str, endpoint: str, data: list, came_from: str = "") -> httpx2.Response:
    headers = {"X-Forwarded-For": came_from} if came_from else {}
    return httpx2.post(
        f"{address}{CALL}{endpoint}", json={"data": data}, headers=headers, timeout=TIMEOUT_S
    )


def answer_of(address: str, asked: httpx2.Response, endpoint: str = "segment") -> str:
    assert asked.status_code == 200, asked.text
    return httpx2.get(
        f"{address}{CALL}{endpoint}/{asked.json()['event_id']}", timeout=TIMEOUT_S
    ).text


class Gate:
    """Holds every analysis until it is opened, and counts those that have come."""

    def __init__(self, monkeypatch):
        self._opened, self.come = threading.Event(), 0
        self.open = self._opened.set
        analyse = analysis.analyse

        def held(*arguments, **options):
            self.come += 1
            assert self._opened.wait(TIMEOUT_S)
            return analyse(*arguments, **options)

        monkeypatch.setattr(analysis, "analyse", held)

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + TIMEOUT_S
        while self.come < count:
            assert time.monotonic() < until, f"{self.come} came"
            time.sleep(0.02)


@pytest.fixture
def gate(monkeypatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def in_words(text: str) -> bool:
    """Whether it is a sentence without anything of this machine."""
    return not re.search(r"Traceback|/tmp|\.py|object at 0x|/root", text)


def test_a_queue_that_is_full_answers_503_and_loses_nothing(address, uploaded, gate, monkeypatch):
    monkeypatch.setattr(rate_limits, "MAX_WAITING", 3)
    asked = [ask(address, "segment", [uploaded, None]) for _ in range(AT_ONCE)]
    gate.wait_for(AT_ONCE)
    asked += [ask(address, "segment", [uploaded, None]) for _ in range(3)]
    refused = ask(address, "segment", [uploaded, None])
    assert (refused.status_code, refused.json()) == (503, {"detail": rate_limits.BUSY})
    assert refused.headers["x-content-type-options"] == "nosniff"
    gate.open()
    assert all("event: complete" in answer_of(address, one) for one in asked)
    assert "event: complete" in answer_of(address, ask(address, "segment", [uploaded, None]))


def test_who_waits_for_nothing_is_forgotten_and_who_waits_is_answered(
    served, uploaded, monkeypatch
):
    address, page = served
    mailboxes = page._queue.pending_messages_per_session
    waiting = page._queue.pending_event_ids_session
    gradio_patches.forget_answered(page)
    before = set(waiting)  # calls of other tests that nobody collected
    answer_of(address, ask(address, "segment", [uploaded, None]))
    assert waiting.keys() - before  # else Gradio forgets by itself, and this may go
    gate = Gate(monkeypatch)
    asked = ask(address, "segment", [uploaded, None])
    gate.wait_for(1)
    gradio_patches.forget_answered(page)
    assert waiting.keys() - before == {asked.json()["event_id"]}
    assert mailboxes.keys() == waiting.keys()
    gate.open()
    assert "event: complete" in answer_of(address, asked)
    gradio_patches.forget_answered(page)
    assert waiting.keys() == before
    mailboxes.clear()  # as of those who came long ago
    gradio_patches.forget_answered(page)
    assert not waiting


def test_an_upload_that_is_over_is_forgotten_and_one_under_way_is_not(served):
    for upload in ("over", "under way"):
        file_upload_statuses.track(upload)
    file_upload_statuses.stop_tracking("over")  # as once the browser was told
    gradio_patches.forget_answered(served[1])
    assert "over" not in file_upload_statuses._signals
    assert "under way" in file_upload_statuses._signals
    file_upload_statuses.stop_tracking("under way")


def test_the_mailbox_of_a_browser_stays(served, uploaded):
    address, page = served
    call = {"data": [uploaded, None], "session_hash": "browser"}
    for _ in range(2):
        asked = httpx2.post(f"{address}{CALL}segment", json=call, timeout=TIMEOUT_S)
        assert asked.status_code == 200, asked.text
        with httpx2.stream(
            "GET", f"{address}gradio_api/queue/data", params={"session_hash": "browser"}
        ) as stream:
            assert any("close_stream" in line for line in stream.iter_lines())
        gradio_patches.forget_answered(page)
    assert "browser" in page._queue.pending_messages_per_session


@pytest.mark.parametrize("route", ["run", "api"])
def test_nobody_passes_by_the_queue(address, uploaded, route):
    call = {"data": [uploaded, None]}
    answer = httpx2.post(f"{address}gradio_api/{route}/segment", json=call, timeout=TIMEOUT_S)
    assert answer.status_code == 404


def test_what_is_answered_is_not_kept(served, uploaded):
    address, page = served
    call = {"data": [uploaded, None], "session_hash": "forgotten"}
    httpx2.post(f"{address}{CALL}segment", json=call, timeout=TIMEOUT_S).raise_for_status()
    reading = {"params": {"session_hash": "forgotten"}, "timeout": TIMEOUT_S}
    with httpx2.stream("GET", f"{address}gradio_api/queue/data", **reading) as stream:
        assert any("process_completed" in line for line in stream.iter_lines())
    kept = page.app.state_holder.session_data["forgotten"]
    assert "lesion_found" not in str(list(kept.components))


@pytest.mark.parametrize("told", [True, False])
def test_a_request_that_is_too_long_is_refused(address, monkeypatch, told):
    piece = b" " * (1 << 20)
    pieces = iter([piece] * ((rate_limits.MAX_BODY >> 20) + 1))  # without a length, in parts
    body = b" " * (rate_limits.MAX_BODY + 1) if told else pieces
    try:
        answer = httpx2.post(f"{address}{CALL}segment", content=body, timeout=TIMEOUT_S)
    except httpx2.WriteError:  # it was closed while the rest was being sent
        assert httpx2.get(f"{address}healthz", timeout=TIMEOUT_S).status_code in (200, 503)
        return
    assert answer.status_code == 413
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_who_has_a_share_of_the_queue_is_answered_429_and_others_are_served(
    address, uploaded, gate, monkeypatch
):
    monkeypatch.setattr(rate_limits, "MAX_OF_ONE_ADDRESS", AT_ONCE + 1)
    data = [uploaded, None]
    asked = [ask(address, "segment", data, "10.0.0.1") for _ in range(AT_ONCE)]
    gate.wait_for(AT_ONCE)  # what runs counts, too
    asked.append(ask(address, "segment", data, "10.0.0.1"))
    refused = ask(address, "segment", data, "10.0.0.1")
    words = "From your address 5 requests wait already. Wait for their answers, then ask again."
    assert (refused.status_code, refused.json()) == (429, {"detail": words})
    assert refused.headers["retry-after"] == rate_limits.RETRY_S
    asked.append(ask(address, "segment", data, "10.0.0.2"))
    gate.open()
    assert all("event: complete" in answer_of(address, one) for one in asked)
    assert "event: complete" in answer_of(address, ask(address, "segment", data, "10.0.0.1"))


def test_on_a_space_visitors_have_the_addresses_that_its_proxy_names(monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    monkeypatch.setenv("SPACE_ID", "someone/page")
    with gr.Blocks() as page:
        pass
    gradio_patches.bound_queue(page)
    assert uvicorn.Config(app=None).forwarded_allow_ips == "*"  # as Gradio makes it


def test_what_is_shown_on_the_page_is_bounded_as_the_endpoints_are(
    address, uploaded, gate, monkeypatch
):
    monkeypatch.setattr(rate_limits, "MAX_WAITING", 0)
    body = {"data": [], "fn_index": 0, "session_hash": "a"}
    refused = httpx2.post(f"{address}gradio_api/queue/join", json=body, timeout=TIMEOUT_S)
    assert (refused.status_code, refused.json()) == (503, {"detail": rate_limits.BUSY})


def test_a_file_that_is_too_large_answers_413(served, monkeypatch):
    address, page = served
    assert page.max_file_size == 80 << 20
    monkeypatch.setattr(page, "max_file_size", 10_000)
    files = [("files", ("a.png", b"x" * 10_001))]
    answer = httpx2.post(f"{address}gradio_api/upload", files=files, timeout=TIMEOUT_S)
    assert answer.status_code == 413
    assert answer.text == "File size exceeded maximum allowed size of 10000 bytes."
    assert given(address, b"x" * 9_000)


def test_a_picture_of_too_many_pixels_is_refused_in_words(address):
    sent = given(address, png(5000, 5000))
    answer = answer_of(address, ask(address, "segment", [sent, None]))
    assert "event: error" in answer
    assert "too large; at most 16 megapixels. Shrink or crop the image." in answer
    assert in_words(answer)


@pytest.mark.parametrize(
    ("count", "words"),
    [(201, "At most 200 images at a time, not 201. Choose fewer."), (0, "Choose some images")],
)
def test_a_batch_of_too_many_images_or_of_none_is_refused_in_words(address, uploaded, count, words):
    answer = answer_of(address, ask(address, "batch", [[uploaded] * count, None]), "batch")
    assert "event: error" in answer
    assert words in answer
    assert in_words(answer)
