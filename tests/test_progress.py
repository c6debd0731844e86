"""Progress in lines that a log can keep."""

from __future__ import annotations

import pytest

from unet import progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5340, "89 min"), (5400, "1 h 30 min")],
)
def test_a_duration_is_as_people_say_it(seconds, text):
    assert progress.duration(seconds) == text


def test_a_line_has_total_speed_and_remaining_time(monkeypatch, capsys):
    clock = iter([0.0, 10.0, 20.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = progress.Progress(1200, "images")
    bar.add(50)  # too early to be told
    bar.add(50)
    assert capsys.readouterr().out == "100 of 1,200 images, 5.0 a second, 4 min left\n"
