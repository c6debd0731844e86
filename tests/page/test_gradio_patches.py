"""Each patch of Gradio stands against code that Gradio still has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import gradio
import pytest

from unet.page import gradio_patches

GRADIO = Path(gradio.__file__).parent


@pytest.mark.parametrize("patch", gradio_patches.NEEDED)
def test_gradio_still_needs_the_patch(patch):
    """Once this fails, look at the patch: it may go."""
    file, code = gradio_patches.NEEDED[patch]
    assert code in (GRADIO / file).read_text()


def test_every_patch_says_what_it_stands_against():
    functions = {
        name
        for name, value in vars(gradio_patches).items()
        if inspect.isfunction(value) and value.__module__ == gradio_patches.__name__
    }
    assert functions - {"install"} == set(gradio_patches.NEEDED)
    assert gradio.__version__.startswith("6.31.")  # the version that the patches were written for


def test_no_other_file_changes_gradio():
    change = re.compile(
        r"(route_utils|processing_utils|SessionState|queueing|GradioMCPServer)\.\w+ = "
    )
    for path in (Path(__file__).parents[2] / "unet").rglob("*.py"):
        if path.name != "gradio_patches.py":
            assert not change.search(path.read_text()), path
