"""Results of a bulk run on disk: stored batch by batch, written as CSV and Parquet at the end.

SQLite holds it: a batch's rows are there whole or not at all, whichever program is killed, and a
million of them take no memory.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from unet.bulk.inputs import Item
from unet.bulk.worker import COLUMNS, Row
from unet.errors import UserError

LEDGER = "finished.sqlite"
CSV, PARQUET = "results.csv", "results.parquet"
ROWS_AT_ONCE = 10_000
"""Rows of a Parquet row group, and so the most that are held when results are written."""


class ResultsStore:
    """The finished files of an out folder and their rows. One run at a time may hold it."""

    def __init__(self, folder: Path, settings: dict[str, str]):
        """Open the ledger of a folder, or begin it.

        Args:
            folder: The out folder; made if missing.
            settings: What all results in a folder must share: the data's folder, the network.

        Raises:
            UserError: Another run holds it, or it is of other settings.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        try:
            self._database = sqlite3.connect(folder / LEDGER, timeout=1, isolation_level=None)
        except sqlite3.Error as error:
            raise self._told(error) from error
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("CREATE TEMP TABLE listed (path PRIMARY KEY) WITHOUT ROWID")
            self._database.execute("BEGIN IMMEDIATE")
            self._create()
            self._check(settings)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            if "locked" in str(error):
                raise UserError(
                    f"{folder}: another run is writing there. Wait for it, or choose another --out."
                ) from None
            raise self._told(error) from error
        except Exception:
            self.close()
            raise

    def _told(self, error: sqlite3.Error) -> UserError:
        return UserError(
            f"{self._folder / LEDGER} cannot be used: {error}. What it holds is kept: give the "
            "same command when the disk is mended, or choose another --out."
        )

    def _create(self) -> None:
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        for statement in (
            "settings (name PRIMARY KEY, value) WITHOUT ROWID",
            "files (path PRIMARY KEY, size, modified) WITHOUT ROWID",
            f"rows ({columns}, PRIMARY KEY (path, frame)) WITHOUT ROWID",
        ):
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {statement}")

    def _check(self, settings: dict[str, str]) -> None:
        before = dict(self._database.execute("SELECT name, value FROM settings"))
        if before and before != settings:
            differing = "; ".join(
                f"{name}: {before.get(name)} then, {value} now"
                for name, value in settings.items()
                if before.get(name) != value
            )
            raise UserError(
                f"{self._folder} holds results of another run ({differing}). Choose another --out."
            )
        self._database.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)",
                                   settings.items())  # fmt: skip

    def forget_errors(self) -> None:
        """Let files be tried again of which a row tells an error: it may have been the moment's."""
        self._database.execute(
            "DELETE FROM files WHERE path IN (SELECT path FROM rows WHERE error IS NOT NULL)"
        )

    def mark_listed(self, item: Item, *, is_folder: bool = False) -> None:
        """Note that this run's data holds a file, or a folder that could not be listed."""
        path = f"{item.display_name}/" if is_folder else item.display_name
        self._database.execute("INSERT OR IGNORE INTO listed VALUES (?)", (path,))

    def forget_unlisted(self, out: Path) -> None:
        """Delete rows and masks of files that this run's data does not hold.

        Files in a folder that could not be listed keep theirs, and all do where nothing was listed:
        a disk may be away for a moment.
        """
        execute = self._database.execute
        if execute("SELECT NOT EXISTS (SELECT 1 FROM listed)").fetchone()[0]:
            return
        closed = [path for (path,) in execute("SELECT path FROM listed WHERE path LIKE '%/'")]
        gone = " AND ".join(
            ["path NOT IN (SELECT path FROM listed)", *["substr(path, 1, ?) <> ?"] * len(closed)]
        )
        values = [value for path in closed for value in (len(path), path)]
        masks = f"SELECT mask FROM rows WHERE {gone} AND mask IS NOT NULL"
        for (mask,) in execute(masks, values).fetchall():
            (out / mask).unlink(missing_ok=True)
        execute("BEGIN")
        for table in ("rows", "files"):
            execute(f"DELETE FROM {table} WHERE {gone}", values)
        execute("COMMIT")

    def close(self) -> None:
        """Let go of it."""
        self._database.close()

    def __enter__(self) -> ResultsStore:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            raise self._told(error) from error

    def has(self, item: Item) -> bool:
        """Return True for a finished file that has not changed since."""
        found = self._database.execute(
            "SELECT size, modified FROM files WHERE path = ?", (item.display_name,)
        ).fetchone()
        return found == (item.size, item.modified)

    def add(self, items: Iterable[Item], rows: Iterable[Row]) -> None:
        """Write down finished files with all their rows, in place of what was said before."""
        marks = ", ".join("?" * len(COLUMNS))
        execute = self._database.execute
        execute("BEGIN")
        try:
            for item in items:
                execute("DELETE FROM rows WHERE path = ?", (item.display_name,))
                execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                        (item.display_name, item.size, item.modified))  # fmt: skip
            values = ([row[name] for name in COLUMNS] for row in rows)
            self._database.executemany(f"INSERT OR REPLACE INTO rows VALUES ({marks})", values)
            execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # which a full disk has ended already
                execute("ROLLBACK")
            raise

    def rows(self) -> Iterator[tuple]:
        """All rows by path and frame, values in the order of `COLUMNS`."""
        unsure = list(COLUMNS).index("unsure")
        for row in self._database.execute("SELECT * FROM rows ORDER BY path, frame"):
            values = list(row)
            values[unsure] = None if row[unsure] is None else bool(row[unsure])
            yield tuple(values)

    def counts(self) -> dict[str, int]:
        """Count files, rows, and rows that tell an error."""
        (files,) = self._database.execute("SELECT COUNT(*) FROM files").fetchone()
        rows, errors = self._database.execute("SELECT COUNT(*), COUNT(error) FROM rows").fetchone()
        return {"files": files, "rows": rows, "errors": errors}

    def fingerprint(self) -> str:
        """A hash of the finished files' paths and contents."""
        digest = hashlib.sha256()
        for pair in self._database.execute(
            "SELECT path, file_sha256 FROM rows WHERE frame = 0 ORDER BY path"
        ):
            digest.update(f"{pair}\n".encode())
        return digest.hexdigest()

    def write_results(self) -> list[Path]:
        """Write results.csv and, where pyarrow is installed, results.parquet; gives what it wrote.

        A run that ends here leaves the old files or the new.
        """
        written = [_write_csv(self._folder / CSV, self.rows())]
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            return written
        return [*written, _write_parquet(self._folder / PARQUET, self.rows())]


def _write_csv(path: Path, rows: Iterator[tuple]) -> Path:
    temporary = path.with_name(f"writing-{path.name}")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
    os.replace(temporary, path)
    return path


def _write_parquet(path: Path, rows: Iterator[tuple]) -> Path:
    import pyarrow
    from pyarrow import parquet

    types: dict[type, Any] = {
        str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()
    }  # fmt: skip
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    temporary = path.with_name(f"writing-{path.name}")
    with parquet.ParquetWriter(temporary, schema) as writer:
        while group := list(islice(rows, ROWS_AT_ONCE)):
            columns = [
                pyarrow.array(values, field.type)
                for values, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
    os.replace(temporary, path)
    return path
