"""Frames of a clip, kept without their pictures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import predicted
from tests.io.test_dicom import write
from unet.io.images import Picture, read_picture
from unet.page.analysis import Analysis
from unet.page.clip_cache import frame_ms, pack
from unet.page.session_store import AnalysisCache

FRAMES = np.arange(3 * 48 * 64, dtype=np.uint32).reshape(3, 48, 64).astype(np.uint8)


def analysed(path, frame: int) -> Analysis:
    picture = read_picture(path, frame)
    prediction = replace(predicted(picture.pixels), disagreement_u8=picture.pixels // 2)
    return Analysis(f"a{frame}", "clip", picture, prediction, 0.1, clip_path=str(path))


def test_a_frame_comes_back_as_it_was_and_takes_little_meanwhile(tmp_path):
    before = analysed(write(tmp_path / "clip.dcm", FRAMES, frames=3), 2)
    packed = pack(before)
    after = packed.unpack()
    np.testing.assert_array_equal(after.picture.pixels, FRAMES[2])
    np.testing.assert_array_equal(after.prediction.probability_u8, before.prediction.probability_u8)
    np.testing.assert_array_equal(
        after.prediction.disagreement_u8, before.prediction.disagreement_u8
    )
    assert (after.picture.frame, after.id, after.series) == (2, "a2", "clip")
    assert after.segment().regions == before.segment().regions
    assert packed.nbytes < 2000 + FRAMES[2].nbytes
    assert packed.analysed.picture.header is None


def test_frames_go_together_and_nothing_comes_back_without_the_file(tmp_path):
    path = write(tmp_path / "clip.dcm", FRAMES, frames=3)
    kept = AnalysisCache()
    for frame in range(3):
        kept.put(analysed(path, frame))
    kept.put(replace(analysed(path, 0), id="other", series="other"))
    assert kept.get("a1").picture.frame == 1
    assert kept.packed("a1").clip_path == str(path)
    kept.open("ann", "clip")
    kept.close("ann")
    assert [kept.packed(name) is None for name in ("a0", "a1", "a2", "other")] == [True] * 3 + [
        False
    ]
    path.unlink()
    assert kept.get("other") is None


def test_frames_that_take_too_much_leave_from_the_oldest(tmp_path):
    path = write(tmp_path / "clip.dcm", FRAMES, frames=3)
    size = pack(analysed(path, 0)).nbytes
    kept = AnalysisCache(max_bytes=2 * size + size // 2)
    for frame in range(3):
        kept.put(analysed(path, frame))
    assert [kept.packed(f"a{frame}") is None for frame in range(3)] == [True, False, False]


def test_how_long_a_frame_lasts_is_read_where_it_is_said(tmp_path):
    timed = write(tmp_path / "timed.dcm", FRAMES, frames=3, FrameTime=40)
    assert frame_ms(read_picture(timed)) == 40
    assert frame_ms(read_picture(write(tmp_path / "clip.dcm", FRAMES, frames=3))) is None


@pytest.mark.parametrize(
    "time", [0, -40, 10**400, float("inf"), float("nan"), "soon", [1, 2], None]
)
def test_a_time_that_cannot_be_meant_is_none(time):
    assert frame_ms(Picture(FRAMES[0], header=SimpleNamespace(FrameTime=time))) is None
    assert frame_ms(Picture(FRAMES[0], header=SimpleNamespace(FrameTime=40))) == 40
