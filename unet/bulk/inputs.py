"""Which files a bulk run takes, one after the other, and what their masks are called."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unet.errors import UserError
from unet.io.images import has_dicom_mark

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom", ".ima")
)
"""Taken by name. A file of another name is taken where it has DICOM's mark."""
PATH_COLUMNS = ("path", "file", "filename", "image")
"""Names of a manifest's column of paths, the first that is there; else its first column."""
OUTSIDE = "_"
"""Folder among the masks for files from outside the data's folder, by their whole path."""


@dataclass(frozen=True)
class Item:
    """A file to be segmented.

    Attributes:
        path: Relative to the data's folder, with "/"; absolute for a file outside it.
        size: Bytes; -1 if there is no such file.
        modified: Nanoseconds; with `size` it tells whether the file is still what it was.
    """

    path: str
    size: int
    modified: int

    @property
    def display_name(self) -> str:
        """The path as it is written down: bytes that are no UTF-8 as `\\udcNN`."""
        return display_name(self.path)


def display_name(path: str) -> str:
    """A path as UTF-8 text."""
    return path.encode("utf-8", "backslashreplace").decode()


def root_of(data: Path) -> Path:
    """The folder that paths are relative to: the data's own, or the one the manifest lies in.

    Raises:
        UserError: There is neither a folder nor a manifest.
    """
    if data.is_dir():
        return data.absolute()
    if data.is_file():
        return data.absolute().parent
    raise UserError(f"{data}: expected a folder of images, or a text or CSV file of paths")


def list_inputs(data: Path, out: Path) -> Iterator[Item]:
    """The files of a folder, or of a manifest, one by one: no list of all is ever held.

    Args:
        data: A folder, with the folders in it but for links to folders; or a text file with a path
            a line, or a CSV file with a column of paths (`PATH_COLUMNS`), relative to where that
            file lies.
        out: Where results go; files in it are left out.

    Raises:
        UserError: `data` is neither, or the manifest is not text.
    """
    root = root_of(data)
    paths = _in_folder(root, out.absolute()) if data.is_dir() else _in_manifest(data, root)
    for path in paths:
        yield _item(root, path)


def _item(root: Path, path: str) -> Item:
    try:
        found = os.stat(os.path.join(root, path))
    except (OSError, ValueError):  # ValueError: a null character in a manifest
        return Item(path, -1, 0)
    return Item(path, found.st_size, found.st_mtime_ns)


def _in_folder(root: Path, out: Path) -> Iterator[str]:
    real, closed = os.path.realpath(out), []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        while closed:  # its row says that it cannot be read
            yield Path(os.path.relpath(closed.pop().filename, root)).as_posix()
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) != real
        )
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.startswith(".") and _is_taken(path):
                yield Path(os.path.relpath(path, root)).as_posix()
    for error in closed:
        yield Path(os.path.relpath(error.filename, root)).as_posix()


def _is_taken(path: str) -> bool:
    if os.path.splitext(path)[1].lower() in SUFFIXES:
        return True
    try:
        return has_dicom_mark(Path(path))
    except OSError:  # of no image's name, and not to be read
        return False


def _in_manifest(manifest: Path, root: Path) -> Iterator[str]:
    try:
        with open(manifest, newline="", encoding="utf-8-sig", errors="strict") as file:
            entries = _column(file) if manifest.suffix.lower() == ".csv" else map(str.strip, file)
            for entry in entries:
                if entry:
                    yield _relative(entry, root)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{manifest}: expected a text or CSV file of paths ({error})") from None


def _column(file) -> Iterator[str]:
    """The column of paths of a CSV file with a header."""
    table = csv.reader(file)
    header = [name.strip().lower() for name in next(table, [])]
    named = [header.index(name) for name in PATH_COLUMNS if name in header]
    column = named[0] if named else 0
    for row in table:
        if len(row) > column:
            yield row[column].strip()


def _relative(entry: str, root: Path) -> str:
    """The path from `root`; the whole path where it leads out of it."""
    path = os.path.normpath(os.path.join(root, entry))
    inside = os.path.relpath(path, root)
    return Path(path if inside.split(os.sep)[0] == os.pardir else inside).as_posix()


def mask_name(path: str, frame: int) -> PurePosixPath:
    """Path of a file's mask among the masks: the folders of the data, `NAME.FRAME.png`.

    No two frames of no two files share a name, and none leads out of the folder: every file's name
    ends in ".png" and no folder's does, and ".." is in no item's path.

    Args:
        path: `Item.path`.
        frame: From 0.
    """
    pure = PurePosixPath(path)
    folders = [_folder(part) for part in pure.parent.parts if part != pure.anchor]
    above = [OUTSIDE] if pure.anchor else []
    return PurePosixPath(*above, *folders, f"{pure.name}.{frame}.png")


def _folder(name: str) -> str:
    """A folder's name, one "_" longer where it could be taken for a mask or for `OUTSIDE`."""
    return f"{name}_" if re.fullmatch(r".*\.png_*|_+", name, re.DOTALL) else name
