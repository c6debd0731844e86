"""What leaves the page for a batch of images."""

from __future__ import annotations

import zipfile

import pytest

from tests.conftest import predicted
from unet.data.phantom import make_phantom
from unet.io.images import Picture
from unet.page.analysis import Analysis
from unet.page.exports.zip import BatchItem, ZipWriter, entry_name

PHANTOM = make_phantom(0, "benign", 64, 80)


def item(name: str) -> BatchItem:
    prediction = predicted(PHANTOM.mask.astype("uint8") * 255)
    analysed = Analysis("a", "a", Picture(PHANTOM.image), prediction, 0.1)
    return BatchItem({"file": name}, analysed, analysed.segment())


def test_names_in_the_zip_are_files_beside_each_other_on_every_system(tmp_path):
    names = [r"..\..\x.png", r"C:\x.png", "NUL.png", "a.png", "A.png", "\udcff.png", "y" * 300]
    with ZipWriter(tmp_path / "results.zip") as archive:
        for name in names:
            archive.add(item(name))
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        masks = [name for name in archive.namelist() if name.startswith("masks/")]
    assert len({name.lower() for name in masks}) == len(names)
    for name in masks:
        inside = name.removeprefix("masks/")
        assert not set(inside) & set('\\/:*?"<>|')
        assert len(inside) <= 110
    assert "masks/NUL.png" not in masks


@pytest.mark.parametrize(
    ("stem", "name"),
    [("scan (1)", "scan (1)"), ("Ärztin", "Ärztin"), ("..", "_"), ("con.old", "_con.old"),
     ("a. ", "a"), ("", "_"), ("a\tb", "a_b")],
)  # fmt: skip
def test_a_name_is_changed_no_more_than_it_must(stem, name):
    assert entry_name(stem) == name
