"""Uploads on disk: under random names, and deleted when no longer needed.

Each file lies in a place of its own, a folder with a random name in Gradio's folder for temporary
files. What people call it stays with their browser, which sends it along where it is shown.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils, route_utils
from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

MINUTE, HOUR = 60, 3600
FETCH_S = 60
"""Seconds that a file given by its address may take."""
MAX_FILE = 80 << 20
"""Bytes of one file."""
MAX_VISITORS = 10_000
PLACE = re.compile(r"[0-9a-f]{32}")
SUFFIXES = (".bmp", ".dcm", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Characters of a name that may stay; others could identify a patient."""
DISK_ERRORS = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS
}  # fmt: skip
CANNOT_KEEP = (
    "The page cannot keep files at the moment: its disk is full, or may not be written to. Tell "
    "whoever runs it."
)


def is_of_the_disk(error: BaseException | None) -> bool:
    """Return True for an error of a full or read-only disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


def new_place() -> Path:
    """A new folder, for its owner alone."""
    place = Path(get_upload_folder()) / secrets.token_hex(16)
    place.mkdir(mode=0o700, parents=True)
    return place


def without_name(name: str) -> str:
    """A random file name that keeps nothing but a suffix that pictures have."""
    suffix = PurePosixPath(name).suffix.lower()
    return secrets.token_hex(8) + (suffix if suffix in SUFFIXES else "")


def remove(path: str | Path) -> None:
    """Remove a file with its place; what lies elsewhere, such as an example, is left alone."""
    place = Path(path).parent
    ours = os.path.realpath(place.parent) == os.path.realpath(get_upload_folder())
    if ours and PLACE.fullmatch(place.name):
        shutil.rmtree(place, ignore_errors=True)


class Sweeper:
    """Remove files that are too old, also those that nobody asked for again.

    Age counts from the first sweep that saw the file, by the monotonic clock: file times follow
    the system's clock, and a change of that could keep a picture for ever, or delete all at once.
    """

    def __init__(self):
        self._seen: dict[str, tuple[int, float]] = {}

    def sweep(self, seconds: float, registers: Iterable[set[str]] = (), kept: Iterable[str] = ()):
        """Remove what has been there for so many seconds, unchanged.

        Args:
            seconds: For how long.
            registers: Gradio's, of files that it wrote itself: results, and copies of uploads.
            kept: Those of them that every visitor gets.
        """
        # What stays keeps its entry: made anew each minute, they would spread over all memory.
        now, gone = time.monotonic(), set(self._seen)
        for path in _to_be_swept(registers, set(kept)):
            try:
                changed = os.lstat(path).st_ctime_ns  # a copy that is handed out again is touched
            except OSError:  # gone meanwhile
                continue
            if self._seen.get(path, (None, now))[0] != changed:
                self._seen[path] = changed, now
            if now - self._seen[path][1] < seconds:
                gone.discard(path)
                continue
            gone.add(path)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink(missing_ok=True)
                if (place := os.path.dirname(path)) != os.path.realpath(get_upload_folder()):
                    with suppress(OSError):  # there is more in it
                        os.rmdir(place)
        for path in gone:
            del self._seen[path]


def _to_be_swept(registers: Iterable[set[str]], kept: set[str]) -> Iterator[str]:
    folder = os.path.realpath(get_upload_folder())
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if PLACE.fullmatch(name) or name.startswith("tmp"):  # so is what is on its way
            yield os.path.join(folder, name)
    real = cache(os.path.realpath)  # many lie in few places
    for paths in registers:
        for path in paths.copy() - kept:
            place, name = os.path.split(os.path.dirname(path))
            if real(place) == folder and not PLACE.fullmatch(name):
                yield path


def forget_gone(registers: Iterable[set[str]]) -> None:
    """Take what is on disk no more out of Gradio's registers; itself it forgets what it removed."""
    for paths in registers:
        paths -= {path for path in paths.copy() if not os.path.lexists(path)}


class UploadTracker:
    """Which files each visitor has on the page, by where they were given.

    Safe to share between threads.
    """

    def __init__(self):
        self._files: OrderedDict[str, dict[str, set[str]]] = OrderedDict()
        self._lock = threading.Lock()

    def only(self, visitor: str, where: str, paths: Iterable[str]) -> None:
        """A visitor has these files there now; those that were there before are removed."""
        now = set(map(str, paths))
        with self._lock:
            by_place = self._files.setdefault(visitor, {})
            self._files.move_to_end(visitor)
            gone = by_place.get(where, set()) - now
            by_place[where] = now
            gone -= set().union(*by_place.values())  # what is still worked on
            if len(self._files) > MAX_VISITORS:  # `Sweeper` removes theirs
                self._files.popitem(last=False)
        for path in gone:
            remove(path)

    def leave(self, visitor: str) -> None:
        """A visitor has left: remove everything of theirs."""
        with self._lock:
            by_place = self._files.pop(visitor, {})
        for paths in by_place.values():
            for path in paths:
                remove(path)

    def follow(self, file: gr.File, where: str) -> None:
        """Keep what a component of the page holds, and nothing that it held before."""

        def now(paths: str | list[str] | None, request: gr.Request) -> None:
            given = [paths] if isinstance(paths, str) else paths or []
            self.only(request.session_hash, where, given)

        # One at a time and in order: the last one tells what is there.
        file.change(now, file, None, show_progress="hidden", api_visibility="private")


def named(file: gr.File) -> gr.File:
    """Let a component say by `name_of` what people call the files that it gives."""
    preprocess = file.preprocess

    def with_names(payload):
        paths = preprocess(payload)
        many = isinstance(paths, list)
        given = getattr(payload, "root", [payload])
        for path, data in zip(paths if many else [paths], given):
            if path is not None and data.orig_name:
                path.shown = strip_invalid_filename_characters(Path(data.orig_name).name)
        return paths

    file.preprocess = with_names  # a subclass would write an interface file beside this one
    return file


def name_of(path: str) -> str:
    """Name of an uploaded file as the browser gave it."""
    return getattr(path, "shown", "") or Path(path).name


class UploadParser(route_utils.GradioMultiPartParser):
    """Gradio's, whose files have random names and places once they are there.

    Until then they keep their names, by which the browser shows how far each is.
    """

    async def parse(self):
        try:
            form = await super().parse()
        except BaseException:  # also a visitor who leaves half-way
            for file in self._files_to_close_on_error:
                file.close()
                Path(file.name).unlink(missing_ok=True)
            raise
        for file in form.getlist("files"):
            file.filename = without_name(file.filename or "")
            file.sha = _Random()
        return form


class _Random:
    """In the place of a hash: the same picture given twice lies in two places."""

    def hexdigest(self) -> str:
        return secrets.token_hex(16)


async def download(url: str, cache_dir: str) -> str:
    """Fetch a file by its address from public hosts alone, and leave the address' own name out."""
    path = new_place() / without_name(urlsplit(url).path)
    try:
        async with asyncio.timeout(FETCH_S):
            await _fetch(url, path)
    except BaseException as error:
        remove(path)
        if isinstance(error, TimeoutError):
            raise gr.Error(
                f"The address took more than {FETCH_S} s. Upload the file instead.",
                print_exception=False,
            ) from None
        raise
    return str(path)


async def _fetch(url: str, path: Path) -> None:
    """Write what an address gives to `path`; as Gradio does, but never past `MAX_FILE` bytes."""
    for _ in range(processing_utils.MAX_REDIRECTS + 1):
        public = await _public_address(httpx.URL(url).host)
        async with (
            httpx.AsyncClient(transport=safehttpx.AsyncSecureTransport(public)) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.has_redirect_location:
                url = urljoin(url, response.headers["Location"])
                continue
            if response.status_code != 200:
                raise gr.Error(
                    f"The address answered {response.status_code}. Upload the file instead.",
                    print_exception=False,
                )
            size = 0
            with path.open("wb") as file:
                async for piece in response.aiter_raw():
                    size += len(piece)
                    if size > MAX_FILE:
                        raise gr.Error(
                            f"The address gives more than {MAX_FILE >> 20} MiB, the most a file "
                            "may have.",
                            print_exception=False,
                        )
                    file.write(piece)
            return
    raise gr.Error(
        "The address leads to too many others. Upload the file instead.", print_exception=False
    )


async def _public_address(host: str) -> str:
    """The number of a host that anyone may reach; refused in words where it is of this network."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):
        found = []
    for *_, (number, *_) in found:
        if safehttpx.is_public_ip(number):
            return number
    raise gr.Error(
        "The address is not that of a public host. Upload the file instead.", print_exception=False
    )
