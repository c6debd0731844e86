"""A short run, the same each time, over every kind; the long one is `python -m tests.fuzz`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz.cases import Worker
from tests.fuzz.damage import BYTES, Damage
from tests.fuzz.kinds import KINDS

EXAMPLES, FEWER = 8, {"h5": 2, "zip": 6}
"""Of each kind; fewer of what takes long. All together take less than a minute."""
DAMAGES = st.lists(
    st.builds(
        Damage,
        how=st.sampled_from((*BYTES, "value")),
        where=st.floats(0, 1, exclude_max=True),
        amount=st.integers(0, 2**20 - 1),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory) -> Iterator[Worker]:
    bundle = seeds.bundle(tmp_path_factory.mktemp("fuzz") / "tiny")
    with closing(Worker(bundle)) as worker:
        yield worker


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_answered_or_refused_in_words(worker, kind):
    if kind == "session" and shutil.which("node") is None:
        pytest.skip("needs Node")

    @settings(
        derandomize=True, deadline=None, phases=[Phase.generate],
        max_examples=FEWER.get(kind, EXAMPLES), suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(which=st.integers(0, 99), damages=DAMAGES)
    def hold(which: int, damages: list[Damage]) -> None:
        answer = worker.ask(kind, which, damages)
        assert answer["outcome"] != "failed", answer["words"]

    hold()
