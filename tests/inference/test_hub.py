"""The real Hub client over real HTTP, against the stand-in server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.hub_server import READER, Blob

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REPO = "user/tiny"


def run(environment: dict[str, str], *arguments: str, cwd: Path = ROOT, timeout: float = 120):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip


def push(environment, bundle: Path, repo: str = REPO, *options: str):
    return run(environment, "train.py", "push", "--weights", str(bundle), "--repo", repo, *options)


def pushed(environment, bundle: Path) -> str:
    """Push and give the commit."""
    done = push(environment, bundle)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rsplit("/", 1)[1]


FETCH = """
import sys, time, numpy as np
from unet.inference.hub import fetch, HubError
from unet.inference.bundle import BundleError
from unet.inference.segmenter import Segmenter
started = time.monotonic()
try:
    folder, commit = fetch(sys.argv[1], sys.argv[2] or None, deadline=float(sys.argv[3]))
except (HubError, BundleError) as error:
    print(f"{type(error).__name__} after {time.monotonic() - started:.0f} s: {error}")
    sys.stdout.flush()
    import os; os._exit(3)  # as the page: whatever is stuck stays behind
print(commit)
image = np.random.default_rng(0).integers(0, 256, (60, 90), np.uint8)
np.save(sys.argv[4], Segmenter.load(folder).predict(image))
"""


def fetch(environment, out: Path, revision: str = "", repo: str = REPO, deadline: float = 60):
    return run(environment, "-c", FETCH, repo, revision, str(deadline), str(out))


def test_what_is_pushed_is_fetched_bit_for_bit(
    hub, environment, tiny_bundle, tiny_segmenter, tmp_path
):
    commit = pushed(environment, tiny_bundle)
    repository = hub[1].repositories[f"models/{REPO}"]
    assert [oid for oid, _ in repository.commits][1:] == [commit]  # one commit
    _, files = repository.commits[-1]
    names = {str(p.relative_to(tiny_bundle)) for p in tiny_bundle.rglob("*") if p.is_file()}
    assert set(files) - {".gitattributes"} == names
    done = fetch(environment, tmp_path / "out.npy")
    assert done.stdout.strip() == commit, done.stderr
    image = np.random.default_rng(0).integers(0, 256, (60, 90), np.uint8)
    # Two processes may add in another order: the files are the same bit for bit, sums nearly so.
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, tiny_segmenter.predict(image), rtol=0, atol=1e-5)
    asked = {request.rsplit("/", 1)[-1] for request in hub[1].requests if "/resolve/" in request}
    assert {"metrics.json", "cases.csv", "history.csv", "leave_out.json"} <= asked  # which is shown
    assert "README.md" not in asked


@pytest.mark.parametrize("name", ["model.onnx", "unet.json"])
def test_a_damaged_download_is_fetched_again(environment, tiny_bundle, tmp_path, name):
    commit = pushed(environment, tiny_bundle)
    assert fetch(environment, tmp_path / "out.npy").returncode == 0
    (cached,) = Path(environment["HF_HOME"]).rglob(f"snapshots/*/{name}")
    whole = cached.read_bytes()
    for revision in ("", commit):
        cached.write_bytes(whole[:-9] + b"x" * 9)
        done = fetch(environment, tmp_path / "out.npy", revision)
        assert done.stdout.strip() == commit, done.stdout
        assert cached.read_bytes() == whole


def test_keras_alone_loads_it_from_the_hub(environment, tiny_bundle, tiny_segmenter, tmp_path):
    pushed(environment, tiny_bundle)
    program = f"""
import importlib.util, keras, numpy as np
assert importlib.util.find_spec("unet") is None
network = keras.saving.load_model("hf://{REPO}")
square = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
batch = np.round(square[None, :, :, None].astype("float32") / np.float32(255), 4)
np.save("out.npy", network(batch, training=False))
"""
    alone = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
    done = run(alone, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    square = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
    ours = tiny_segmenter.network_output(square)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy")[0, :, :, 0], ours, atol=1e-5)


def test_pushing_twice_makes_no_second_commit_and_a_tag_is_set_once(hub, environment, tiny_bundle):
    for _ in range(2):
        done = push(environment, tiny_bundle, REPO, "--tag", "v1")
        assert done.returncode == 0, done.stderr
    repository = hub[1].repositories[f"models/{REPO}"]
    assert len(repository.commits) == 2  # the repository's first, and ours
    assert repository.tags == {"v1": repository.commits[-1][0]}


def test_a_changed_bundle_replaces_the_old_one_whole(hub, environment, tiny_bundle, tmp_path):
    pushed(environment, tiny_bundle)
    changed = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    (changed / "plots" / "phantoms.png").unlink()
    (changed / "history.csv").write_text("epoch\n")
    pushed(environment, changed)
    _, files = hub[1].repositories[f"models/{REPO}"].commits[-1]
    assert "plots/phantoms.png" not in files
    assert files["history.csv"].content == b"epoch\n"


def test_a_tag_that_names_another_commit_is_left_alone(hub, environment, tiny_bundle, tmp_path):
    push(environment, tiny_bundle, REPO, "--tag", "v1")
    changed = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    (changed / "history.csv").write_text("epoch\n")
    done = push(environment, changed, REPO, "--tag", "v1")
    assert done.returncode == 1
    assert "another one tagged v1. Choose a new tag." in done.stderr


def test_of_two_pushes_at_once_one_wins_and_the_other_is_told(hub, environment, tiny_bundle):
    def overtake(repository) -> None:
        files = repository.commits[-1][1]
        repository.commits.append(("f" * 40, files | {"theirs.txt": Blob(b"x", lfs=False)}))

    hub[1].before_commit = overtake
    done = push(environment, tiny_bundle)
    assert done.returncode == 1
    assert "Somebody else pushed to user/tiny at the same time" in done.stderr
    repository = hub[1].repositories[f"models/{REPO}"]
    assert len(repository.commits) == 2
    assert "unet.json" not in repository.commits[-1][1]


@pytest.mark.parametrize(
    ("changes", "repo", "sentence"),
    [
        ({"HF_TOKEN": ""}, REPO, "Run 'hf auth login'"),
        ({"HF_TOKEN": READER}, REPO, "may not write to user. Make one with write access"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, REPO, "could not be reached"),
        ({"HF_HUB_OFFLINE": "1"}, REPO, "HF_HUB_OFFLINE is set"),
        ({}, "tiny", "'tiny' is not a repository's name. Expected USER/NAME"),
        ({}, "user/ti ny", "is not a repository's name"),
        ({}, "a/b/c", "is not a repository's name"),
    ],
)
def test_a_push_that_cannot_be_is_one_sentence(
    hub, environment, tiny_bundle, changes, repo, sentence
):
    done = push(environment | changes, tiny_bundle, repo)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("train.py push: ")
    assert sentence in last
    assert "Traceback" not in done.stderr
    assert not any(len(r.commits) > 1 for r in hub[1].repositories.values())


def test_a_broken_bundle_is_not_sent(hub, environment, tiny_bundle, tmp_path):
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    (broken / "model.weights.h5").write_bytes(b"half")
    done = push(environment, broken)
    assert done.returncode == 1
    assert "sha256 differs" in done.stderr
    assert hub[1].requests == []


def test_a_commit_in_the_cache_needs_no_network(hub, environment, tiny_bundle, tmp_path):
    commit = pushed(environment, tiny_bundle)
    assert fetch(environment, tmp_path / "a.npy").returncode == 0
    before = len(hub[1].requests)
    for changes in ({}, {"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        done = fetch(environment | changes, tmp_path / "b.npy", commit)
        assert done.stdout.strip() == commit, done.stderr
    assert len(hub[1].requests) == before


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("500", "HubError"),
        ("half", "HubError"),
        ("other", "BundleError"),
        ("huge", "is said to have 10000000000 bytes; at most 500000000 are read"),
        ("hang", "did not answer in time"),
        ("trickle", "did not answer in time"),
    ],
)
def test_a_fetch_that_fails_ends_in_time_with_a_sentence(
    hub, environment, tiny_bundle, tmp_path, fault, sentence
):
    pushed(environment, tiny_bundle)
    hub[1].fault = fault
    started = time.monotonic()
    done = fetch(environment, tmp_path / "out.npy", deadline=8)
    assert time.monotonic() - started < 60
    assert done.returncode == 3, done.stderr
    assert sentence in done.stdout
    assert not (tmp_path / "out.npy").exists()


def test_a_revision_or_a_repository_that_is_not_there_is_a_sentence(
    environment, tiny_bundle, tmp_path
):
    pushed(environment, tiny_bundle)
    assert "has no such revision" in fetch(environment, tmp_path / "x", "v9").stdout
    assert "does not exist" in fetch(environment, tmp_path / "x", repo="user/nothing").stdout


def test_a_repository_that_is_no_bundle_is_a_sentence(hub, environment, tiny_bundle, tmp_path):
    pushed(environment, tiny_bundle)
    repository = hub[1].repositories[f"models/{REPO}"]
    head, files = repository.commits[-1]
    repository.commits[-1] = (head, {k: v for k, v in files.items() if k != "unet.json"})
    done = fetch(environment, tmp_path / "x")
    assert "is not a bundle of this project: a file is missing" in done.stdout


def test_every_number_of_the_cards_metadata_is_in_the_metrics(tiny_bundle):
    from huggingface_hub import ModelCard

    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    text = (tiny_bundle / "README.md").read_text()
    card = ModelCard(text).data
    found = {result.metric_name: result.metric_value for result in card.eval_results}
    final = metrics["splits"]["test"]["postprocessed"]
    assert found == {
        "Dice, all images": round(final["all_images"]["dice"]["value"], 4),
        "Dice, lesion images": round(final["lesion_images"]["dice"]["value"], 4),
        "IoU, lesion images": round(final["lesion_images"]["iou"]["value"], 4),
        "Pixel accuracy": round(final["pooled"]["accuracy"]["value"], 4),
    }


def test_a_repository_of_something_else_is_not_emptied(hub, environment, tiny_bundle):
    pushed(environment, tiny_bundle)
    repository = hub[1].repositories[f"models/{REPO}"]
    head, files = repository.commits[-1]
    theirs = {"thesis.tex": files["README.md"], "README.md": files["README.md"]}
    repository.commits[-1] = (head, theirs)
    done = push(environment, tiny_bundle)
    assert done.returncode == 1
    assert "holds something else (thesis.tex…), which would be deleted" in done.stderr
    assert repository.commits[-1][1] == theirs


def test_a_full_disk_is_called_a_full_disk():
    import errno

    from unet.inference.hub import HubError, translate_hub_errors

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HubError, match=r"The disk that holds the Hub's cache is full"):
        translate_hub_errors("user/tiny", full)
    with pytest.raises(HubError, match="Check the network"):
        translate_hub_errors("user/tiny", lambda: (_ for _ in ()).throw(ConnectionResetError()))
