"""A folder is segmented once, whole, and in words: by processes, killed ones too."""

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.test_dicom import write as write_dicom
from unet import cli
from unet.bulk.inputs import Item, list_inputs, mask_name
from unet.bulk.local import BATCH, segment_locally
from unet.bulk.results import ResultsStore
from unet.bulk.worker import COLUMNS, Job, row_of
from unet.data.phantom import make_phantom

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        phantom = make_phantom(number, "benign", 64 + number % 7, 90)
        Image.fromarray(phantom.image).save(folder / f"{number:03d}.png")


def results(out: Path) -> list[dict[str, str]]:
    with open(out / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def segment(data: Path, out: Path, weights: Path, *words: str) -> int:
    return cli.main(["segment", "--data", str(data), "--out", str(out),
                       "--weights", str(weights), *words])  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny_bundle, tmp_path_factory):
    """A folder of all kinds, and what segmenting it left: data, out, rows by path and frame."""
    folder = tmp_path_factory.mktemp("bulk")
    data, out = folder / "data", folder / "out"
    write_images(data / "clinic" / "x.png", 3)  # a folder that is called as an image
    write_images(data, 1)
    clip = np.stack([make_phantom(n, "benign", 64, 70).image for n in range(3)])
    write_dicom(data / "clinic" / "CLIP", clip, frames=3, PixelSpacing=[0.1, 0.2])
    (data / "broken.png").write_bytes(b"no image")
    (data / "notes.txt").write_text("left alone")
    (data / ".hidden.png").write_text("left alone")
    assert segment(data, out, tiny_bundle, "--workers", "2") == 0
    return data, out, {(row["path"], int(row["frame"])): row for row in results(out)}


def test_every_image_and_frame_has_a_row_and_a_mask_as_the_segmenter_gives(whole, tiny_segmenter):
    data, out, rows = whole
    paths = {"000.png", "broken.png", *(f"clinic/x.png/{n:03d}.png" for n in range(3))}
    assert set(rows) == {(p, 0) for p in paths} | {("clinic/CLIP", n) for n in range(3)}
    for (path, frame), row in rows.items():
        assert set(row) == set(COLUMNS)
        assert row["network_sha256"] == tiny_segmenter.network.sha256
        if path == "broken.png":
            continue
        from unet.io.images import read_picture

        mask = tiny_segmenter.segment(read_picture(data / path, frame).pixels)
        written = np.asarray(Image.open(out / row["mask"]))
        np.testing.assert_array_equal(written, np.where(mask, 255, 0))
        assert (int(row["height"]), int(row["width"])) == mask.shape
        assert int(row["area_px"]) == mask.sum()
        spaced = path == "clinic/CLIP"
        assert row["area_mm2"] == (str(round(float(mask.sum()) * 0.1 * 0.2, 3)) if spaced else "")
    assert json.loads((out / "run.json").read_text())["errors"] == 1
    assert not (out / ".writing").exists()


def test_a_bad_file_is_told_in_its_row(whole):
    _, _, rows = whole
    row = rows["broken.png", 0]
    assert row["error"].startswith("not an image. Expected a PNG")
    assert row["mask"] == row["area_px"] == ""


def test_what_is_finished_is_not_done_again_and_what_is_new_or_changed_is(
    whole, tiny_bundle, capsys, tmp_path
):
    import shutil

    data = Path(shutil.copytree(whole[0], tmp_path / "data"))
    words = (data, tmp_path / "out", tiny_bundle, "--workers", "1")
    assert segment(*words) == 0
    before = results(tmp_path / "out")
    capsys.readouterr()
    assert segment(*words) == 0
    again = results(tmp_path / "out")
    assert [row for row in again if not row["error"]] == [r for r in before if not r["error"]]
    assert "1 images in " in capsys.readouterr().out  # what gave an error is tried once more
    write_images(data / "new", 1)
    shutil.copy(data / "000.png", data / "broken.png")
    assert segment(*words) == 0
    assert "2 images in " in capsys.readouterr().out
    after = {row["path"]: row for row in results(tmp_path / "out")}
    assert after["broken.png"]["error"] == ""
    assert after["clinic/x.png/001.png"]["seconds"] in {row["seconds"] for row in before}


def test_rows_and_masks_of_files_that_are_gone_are_removed(tiny_bundle, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_images(data, 3)
    assert segment(data, out, tiny_bundle, "--workers", "1") == 0
    (data / "001.png").unlink()
    assert segment(data, out, tiny_bundle, "--workers", "1") == 0
    assert [row["path"] for row in results(out)] == ["000.png", "002.png"]
    assert {path.name for path in (out / "masks").rglob("*.png")} == {
        "000.png.0.png",
        "002.png.0.png",
    }
    assert json.loads((out / "run.json").read_text())["files"] == 2


def test_a_disk_that_is_away_for_a_moment_loses_no_results(tiny_bundle, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_images(data, 2)
    assert segment(data, out, tiny_bundle, "--workers", "1") == 0
    data.rename(tmp_path / "away")
    data.mkdir()
    assert segment(data, out, tiny_bundle, "--workers", "1") == 0
    assert len(results(out)) == len(list((out / "masks").rglob("*.png"))) == 2
    with ResultsStore(out, stored_settings(out)) as store:  # a folder that could not be listed
        store.mark_listed(Item("000.png", 1, 1))
        store.mark_listed(Item("clinic", 1, 1), is_folder=True)
        row = row_of(Item("clinic/a.png", 1, 1), error="x")
        store.add([Item("clinic/a.png", 1, 1)], [row])
        store.forget_unlisted(out)
        assert [path for path, *_ in store.rows()] == ["000.png", "clinic/a.png"]


def stored_settings(out: Path) -> dict[str, str]:
    with closing(sqlite3.connect(out / "finished.sqlite")) as database:
        return dict(database.execute("SELECT name, value FROM settings"))


def test_two_manifests_in_one_folder_do_not_share_results(tiny_bundle, tmp_path, capsys):
    write_images(tmp_path, 2)
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"{number:03d}.png\n")
    out = tmp_path / "out"
    assert segment(tmp_path / "0.txt", out, tiny_bundle, "--workers", "1") == 0
    assert segment(tmp_path / "1.txt", out, tiny_bundle, "--workers", "1") == 1
    assert "holds results of another run" in capsys.readouterr().err
    assert [row["path"] for row in results(out)] == ["000.png"]


def test_an_error_of_the_moment_is_not_kept(tmp_path):
    item = Item("a.png", 10, 1)
    with ResultsStore(tmp_path, {}) as bulk_results:
        bulk_results.add(
            [item], [row_of(item, error="could not be segmented (OSError: [Errno 5])")]
        )
        assert bulk_results.has(item)
    with ResultsStore(tmp_path, {}) as bulk_results:
        bulk_results.forget_errors()
        assert not bulk_results.has(item)
        assert bulk_results.counts()["errors"] == 1  # until it is tried again


@pytest.mark.parametrize(
    ("part", "change"),
    [("postprocessing", {"threshold": 0.9}), ("inference", {"flip": True})],
    ids=["threshold", "views"],
)
def test_results_by_other_rules_are_not_mixed(whole, tiny_bundle, tmp_path, capsys, part, change):
    data, out, _ = whole
    other = shutil.copytree(tiny_bundle, tmp_path / tiny_bundle.name)
    described = json.loads((other / "unet.json").read_text())
    described[part] |= change
    (other / "unet.json").write_text(json.dumps(described))
    assert segment(data, out, other) == 1
    assert "holds results of another run (rules: " in capsys.readouterr().err


@pytest.mark.parametrize("way", ["../data", "../link", "."])
def test_masks_are_not_taken_for_images_however_the_folder_is_written(tmp_path, way):
    data = tmp_path / "data"
    write_images(data, 1)
    write_images(data / "out" / "masks", 1)
    (tmp_path / "link").symlink_to(data)
    assert [item.path for item in list_inputs(data, data / way / "out")] == ["000.png"]


def test_the_datas_own_folder_is_not_for_results(tmp_path, tiny_bundle, capsys):
    write_images(tmp_path / "data", 1)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert segment(tmp_path / "data", tmp_path / "link", tiny_bundle) == 1
    assert "must be another than the data's" in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    write_images(tmp_path / "a", 1)
    write_images(tmp_path / "locked", 1)
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = {item.path for item in list_inputs(tmp_path, tmp_path / "out")}
    assert found == {"a/000.png", "locked"}


def test_results_of_another_network_or_data_are_not_mixed(whole, tmp_path, capsys):
    data, out, _ = whole
    assert segment(data, out, ROOT / "weights" / "unet") == 1
    assert "holds results of another run (network: " in capsys.readouterr().err
    assert segment(tmp_path, out, ROOT / "weights" / "unet") == 1
    assert "another run (data: " in capsys.readouterr().err
    assert segment(tmp_path / "none", out, ROOT / "weights" / "unet") == 1
    assert "expected a folder of images" in capsys.readouterr().err


def test_two_runs_do_not_write_to_one_folder(tmp_path, tiny_bundle, capsys):
    write_images(tmp_path / "data", 1)
    with ResultsStore(tmp_path / "out", {}):
        assert segment(tmp_path / "data", tmp_path / "out", tiny_bundle) == 1
    assert "another run is writing there" in capsys.readouterr().err


def test_a_manifest_names_files_anywhere_and_no_mask_leaves_the_folder(
    whole, tiny_bundle, tmp_path
):
    data, _, rows = whole
    manifest = tmp_path / "list.csv"
    names = [data / "000.png", "../nowhere.png", "own.png", "own.png"]
    write_images(tmp_path / "own", 1)
    (tmp_path / "own" / "000.png").rename(tmp_path / "own.png")
    manifest.write_text("id,Path\n" + "".join(f"1,{name}\n" for name in names))
    assert segment(manifest, tmp_path / "out", tiny_bundle, "--workers", "1") == 0
    found = {row["path"]: row for row in results(tmp_path / "out")}
    outside = (data / "000.png").as_posix()
    assert set(found) == {outside, (tmp_path.parent / "nowhere.png").as_posix(), "own.png"}
    assert found[outside]["file_sha256"] == rows["000.png", 0]["file_sha256"]
    assert found[outside]["mask"] == f"masks/_{outside}.0.png"
    (missing,) = (row for path, row in found.items() if path.endswith("nowhere.png"))
    assert "found none" in missing["error"]
    masks = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.0.png")}
    assert masks == {found[outside]["mask"], found["own.png"]["mask"]}


def test_masks_names_cannot_collide_or_be_a_folder_of_others():
    paths = [
        "a.png", "a.png.0", "a.png.0.png/b", "a.png.0.png_/b", "b/a", "b", "_/home/x", "/home/x",
        "__/home/x", "home/x", "b.1", "\udcff", "x/../y",
    ]  # fmt: skip
    names = [mask_name(path, frame) for path in paths for frame in (0, 1, 10)]
    assert len({str(name) for name in names}) == len(names)
    parents = {parent for name in names for parent in name.parents}
    assert not parents & set(names)
    assert not any(name.is_absolute() for name in names)


def test_listing_leaves_out_the_results_themselves(tmp_path):
    write_images(tmp_path, 2)
    write_images(tmp_path / "out" / "masks", 2)
    assert [item.path for item in list_inputs(tmp_path, tmp_path / "out")] == ["000.png", "001.png"]


def test_a_killed_worker_costs_nothing(tiny_bundle, tmp_path, monkeypatch):
    from unet.bulk.local import _Process

    take, answered = _Process.take, []

    def spy(process):
        rows = take(process)
        if rows is not None:
            answered.append(process._process.pid)
        return rows

    monkeypatch.setattr(_Process, "take", spy)
    data = tmp_path / "data"
    write_images(data, 100)
    job = Job(data, tmp_path / "out", tiny_bundle, 1)
    items = list(list_inputs(data, tmp_path / "out"))
    killed, done = [], []
    for batch, rows in segment_locally(job, iter(items), 2):
        done += [row["path"] for row in rows if row["error"] is None]
        assert len(rows) == len(batch)
        if len(killed) < 2 and answered[-1] not in killed:  # one that starts has no batch to lose
            os.kill(answered[-1], signal.SIGKILL)
            killed.append(answered[-1])
    assert len(killed) == 2
    assert sorted(done) == [item.path for item in items]


def test_a_file_that_ends_every_worker_is_found_and_told(tiny_bundle, tmp_path, monkeypatch):
    from unet.bulk import local

    class Fake:
        """A worker that ends with whatever batch holds "003.png"."""

        def __init__(self, job):
            self.batch = []
            self.connection = object()

        def give(self, batch):
            self.batch = batch

        def take(self):
            if any(item.path == "003.png" for item in self.batch):
                return None
            batch, self.batch = self.batch, []
            return [row_of(item) for item in batch]

        def end(self):
            pass

    monkeypatch.setattr(local, "_Process", Fake)
    monkeypatch.setattr(local, "wait", lambda connections: connections[:1])
    items = [Item(f"{number:03d}.png", 1, 1) for number in range(40)]
    found = [row for _, rows in segment_locally(None, iter(items), 2) for row in rows]
    assert sorted(row["path"] for row in found) == [item.path for item in items]
    assert [row["path"] for row in found if row["error"]] == ["003.png"]


def test_a_killed_run_goes_on_where_it_was(tiny_bundle, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    write_images(data, 120)
    words = ["segment", "--data", str(data), "--out", str(out), "--weights", str(tiny_bundle)]
    run = subprocess.Popen([sys.executable, "train.py", *words, "--workers", "1"], cwd=ROOT,
                           stdout=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 60
    # The second batch is begun when the first is written down.
    while len(list(out.rglob("*.png"))) <= BATCH and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not (out / "results.csv").exists()
    with closing(sqlite3.connect(out / "finished.sqlite")) as database:
        (done,) = database.execute("SELECT COUNT(*) FROM files").fetchone()
    assert BATCH <= done < 120
    capsys.readouterr()
    assert segment(data, out, tiny_bundle, "--workers", "2") == 0
    assert f"{120 - done} images in" in capsys.readouterr().out
    rows = results(out)
    assert [row["path"] for row in rows] == [f"{number:03d}.png" for number in range(120)]
    assert not [row for row in rows if row["error"]]


def test_a_full_disk_ends_the_run_in_words(tiny_bundle, tmp_path, capsys):
    write_images(tmp_path / "data", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "masks").write_text("in the way")
    assert segment(tmp_path / "data", tmp_path / "out", tiny_bundle) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_results_that_cannot_be_kept_end_the_run_in_words(
    tiny_bundle, tmp_path, capsys, monkeypatch
):
    from unet.bulk import results as bulk_results

    write_images(tmp_path / "data", 60)
    connect = sqlite3.connect

    def full(*args, **options):
        database = connect(*args, **options)
        database.execute("PRAGMA max_page_count = 6")  # its tables, and a few rows
        return database

    monkeypatch.setattr(bulk_results.sqlite3, "connect", full)
    assert segment(tmp_path / "data", tmp_path / "out", tiny_bundle) == 1
    told = capsys.readouterr().err
    assert "finished.sqlite cannot be used: database or disk is full" in told
    monkeypatch.undo()
    assert segment(tmp_path / "data", tmp_path / "out", tiny_bundle) == 0
    (tmp_path / "out" / "finished.sqlite").write_bytes(b"no database" * 1000)
    assert segment(tmp_path / "data", tmp_path / "out", tiny_bundle) == 1
    assert "finished.sqlite cannot be used: file is not a database" in capsys.readouterr().err


def test_parquet_says_what_the_csv_says(whole):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, out, rows = whole
    table = parquet.read_table(out / "results.parquet")
    assert table.column_names == list(COLUMNS)
    for found in table.to_pylist():
        said = rows[found["path"], found["frame"]]
        assert {n: "" if v is None else str(v) for n, v in found.items()} == said


@pytest.mark.cluster
def test_ray_gives_the_same_rows(whole, tiny_bundle, tmp_path):
    pytest.importorskip("ray")
    data, _, rows = whole
    assert segment(data, tmp_path / "out", tiny_bundle, "--ray", "local") == 0
    for row in results(tmp_path / "out"):
        said = rows[row["path"], int(row["frame"])]
        assert row | {"seconds": ""} == said | {"seconds": ""}
