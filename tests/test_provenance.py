"""Which commits a bundle may be made from."""

from __future__ import annotations

import pytest

from unet import provenance
from unet.errors import UserError


def head() -> str:
    return provenance._git("rev-parse", "HEAD")


def test_a_commit_of_the_current_branch_is_reproducible():
    assert provenance.is_reproducible(head())
    provenance.check_commit(head())
    provenance.check_commit(None)  # outside git nothing can be checked


@pytest.mark.parametrize(
    ("commit", "why"),
    [
        ("0" * 40, "the current branch does not contain commit 000000000000"),
        ("", "the code differs"),
    ],
    ids=["unknown", "dirty"],
)
def test_other_code_is_refused_with_the_option_that_allows_it(commit, why):
    commit = commit or f"{head()}-dirty"
    assert not provenance.is_reproducible(commit)
    with pytest.raises(UserError, match=f"{why}.*--allow-dirty"):
        provenance.check_commit(commit)
