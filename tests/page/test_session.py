"""Sessions that are opened beside their picture, by the viewer's own script in Node."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import fuzz
from unet.page import viewer

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
GOOD = {
    "schema": 2, "image_sha256": "ab" * 32, "threshold": 0.4, "calibrated_mm": [0.1, 0.2],
    "edited_runs": [100, 40, 100], "network": {"name": "net", "sha256": "cd" * 32},
}  # fmt: skip
NO_TEXT = {"toString": None, "valueOf": None}  # JavaScript can make no number or text of it
DAMAGED = "The session is damaged and was not opened. Save it anew below its picture."


def opened(*sessions: object) -> list[dict]:
    lines = [base64.b64encode(json.dumps(session).encode()).decode() for session in sessions]
    done = subprocess.run(
        ["node", str(Path(fuzz.__file__).parent / "session.js"), str(viewer.HERE)],
        input="\n".join(lines), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_whole_session_is_brought_back():
    (answer,) = opened(GOOD)
    assert answer["told"] == "The session is open again."
    assert answer["mask"] == [0] * 100 + [1] * 40 + [0] * 100
    assert (answer["threshold"], answer["scale"]) == (0.4, [0.1, 0.2])


def test_what_was_pointed_at_is_brought_back_before_the_rest():
    prompts = {"positive": [[[3.5, 4]]], "negative": [], "boxes": [[1, 2, 9, 8]]}
    (answer,) = opened(GOOD | {"prompts": prompts})
    assert answer["prompts"] == prompts
    assert answer["told"] == "The session is open again."
    assert (sum(answer["mask"]), answer["threshold"]) == (40, 0.4)


def test_a_session_of_another_picture_changes_nothing_and_waits_for_its_own():
    (answer,) = opened(GOOD | {"image_sha256": "ef" * 32})
    assert answer["told"].startswith("This session is of another picture.")
    assert answer["waits"]
    assert answer["mask"] is None
    assert not {"threshold", "scale", "prompts"} & set(answer)


@pytest.mark.parametrize(
    "change",
    [
        {"calibrated_mm": [NO_TEXT, 1]},
        {"calibrated_mm": ["1", "1"]},
        {"edited_runs": [NO_TEXT, 240]},
        {"edited_runs": [300, -60]},
        {"edited_runs": [0.5, 239.5]},
        {"edited_runs": [[240]]},
        {"threshold": NO_TEXT},
        {"prompts": {"positive": [[[NO_TEXT, 1]]], "negative": [], "boxes": []}},
        {"prompts": 7},
    ],
    ids=str,
)
def test_a_session_that_is_damaged_is_told_and_put_away(change):
    (answer,) = opened(GOOD | change)
    assert answer["told"] == DAMAGED
    assert not answer["waits"]
    assert answer["mask"] is None


@pytest.mark.parametrize("network", [NO_TEXT, {"name": NO_TEXT}, 7, None])
def test_a_session_of_a_network_without_a_name_is_open_again(network):
    (answer,) = opened(GOOD | {"network": network})
    assert answer["told"].startswith("The session is open again. It was saved with ")
