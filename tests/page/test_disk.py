"""The disk fills up, or may not be written to any more, while the page runs."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from PIL import Image

import app
from tests.page.test_rate_limits import TIMEOUT_S, answer_of, ask, given
from unet.page import server
from unet.page.model_registry import ModelRegistry
from unet.page.uploads import CANNOT_KEEP, is_of_the_disk

pytestmark = pytest.mark.slow


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (50, 40), 90).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    networks = ModelRegistry([app.ROOT / "weights" / "unet"])
    page = app.build_page(networks)
    yield server.launch(page, networks, prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    page.close()


@contextmanager
def unwritable(folder: Path, code: int) -> Iterator[None]:
    """Nothing new can be written below a folder, whoever asks."""
    real = {"mkdir": os.mkdir, "os_open": os.open, "open": builtins.open}

    def check(path, writes: bool) -> None:
        if not isinstance(path, (str, os.PathLike)) or not writes:
            return
        name = os.fspath(path)
        if str(name).startswith(str(folder)):
            raise OSError(code, os.strerror(code), name)

    def mkdir(path, *arguments, **options):
        check(path, not os.path.exists(path))
        return real["mkdir"](path, *arguments, **options)

    def os_open(path, flags, *arguments, **options):
        check(path, bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        return real["os_open"](path, flags, *arguments, **options)

    def opened(path, mode="r", *arguments, **options):
        check(path, bool(set(mode) & set("wax+")))
        return real["open"](path, mode, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", mkdir)
        patch.setattr(os, "open", os_open)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        yield


def to_gradio_error(answer: str) -> bool:
    return "event: error" in answer and CANNOT_KEEP in answer and "Errno" not in answer


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_what_cannot_be_kept_is_said_in_words_and_the_page_goes_on(address, folder, code, capfd):
    sent = given(address, picture())
    with unwritable(folder, code):
        files = [("files", ("scan.png", picture()))]
        answer = httpx2.post(f"{address}gradio_api/upload", files=files, timeout=TIMEOUT_S)
        assert (answer.status_code, answer.text) == (507, CANNOT_KEEP)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert to_gradio_error(answer_of(address, ask(address, "segment", [sent, None])))
        assert to_gradio_error(answer_of(address, ask(address, "batch", [[sent], None]), "batch"))
        assert httpx2.get(f"{address}healthz").status_code == 200
    printed = capfd.readouterr().err
    assert "disk: " in printed
    assert "Traceback" not in printed
    # Gradio makes an empty file for each one that it takes; the minute's sweep has them.
    assert not [path for path in folder.glob("tmp*") if path.stat().st_size]
    answer = answer_of(address, ask(address, "segment", [given(address, picture()), None]))
    assert "event: complete" in answer


def test_an_answer_that_cannot_be_written_is_said_in_words(address, folder):
    sent = given(address, picture())
    answer_of(address, ask(address, "segment", [sent, None]))
    with pytest.MonkeyPatch.context() as patch:

        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "mask.png"))

        patch.setattr("gradio.processing_utils.save_img_array_to_cache", full)
        patch.setattr("gradio.image_utils.save_image", full)
        assert to_gradio_error(answer_of(address, ask(address, "segment", [sent, None])))


def test_only_what_comes_of_the_disk_is_said_to():
    full = OSError(errno.ENOSPC, "full")
    wrapped = ValueError("cannot take it")
    wrapped.__cause__ = full
    assert is_of_the_disk(full)
    assert is_of_the_disk(wrapped)
    assert not is_of_the_disk(ConnectionResetError(errno.ECONNRESET, "left"))
    assert not is_of_the_disk(ValueError("x"))
