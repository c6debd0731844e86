"""Examples out of a person's own copy of a data set."""

from __future__ import annotations

import csv

import pytest
from PIL import Image

from unet.data import example_export as examples
from unet.data.cases import DatasetError
from unet.errors import UserError
from unet.inference.bundle import read_info
from unet.inference.hub import HubError
from unet.io.examples import read_examples
from unet.publishing import space


def test_test_cases_alone_are_taken_with_their_truth(tiny_bundle, phantoms, tmp_path):
    chosen = examples.export_examples([phantoms], tiny_bundle, tmp_path / "out")
    assert chosen
    assert set(chosen) <= set(read_info(tiny_bundle).split["test"])
    found = read_examples(tmp_path / "out")
    assert len(found) == len(chosen)
    assert all(example.truth is not None and example.source for example in found)
    assert not any(example.shared or example.generated for example in found)
    labels = {name.split("/")[-2] for name in read_info(tiny_bundle).split["test"]}
    assert {example.caption.split(",")[0] for example in found} == labels


def test_what_a_person_added_stays_and_what_was_chosen_before_is_replaced(
    tiny_bundle, phantoms, tmp_path
):
    out = tmp_path / "out"
    examples.export_examples([phantoms], tiny_bundle, out)
    before = sorted(path.name for path in out.iterdir())
    Image.new("L", (40, 30), 9).save(out / "mine.png")
    with (out / "examples.csv").open("a") as file:
        file.write("mine.png,Mine,0.1,Me,yes,\n")
    examples.export_examples([phantoms], tiny_bundle, out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*before, "mine.png"])
    last = read_examples(out)[-1]
    assert (last.caption, last.shared, last.picture.spacing_mm) == ("Mine", True, (0.1, 0.1))

    shared = space.shared_examples(out, tmp_path)
    assert sorted(shared) == ["examples/examples.csv", "examples/mine.png"]
    rows = list(csv.DictReader(shared["examples/examples.csv"].read_text().splitlines()))
    assert [row["file"] for row in rows] == ["mine.png"]


def test_where_nothing_can_be_taken_it_is_said(tiny_bundle, phantoms, tmp_path):
    with pytest.raises(HubError, match="expected a list of examples"):
        space.shared_examples(tmp_path, tmp_path)
    examples.export_examples([phantoms], tiny_bundle, tmp_path / "out")
    with pytest.raises(HubError, match="may be shared"):
        space.shared_examples(tmp_path / "out", tmp_path)
    with pytest.raises(DatasetError, match="expected a folder"):
        examples.export_examples([tmp_path / "gone"], tiny_bundle, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"file;caption\na.png;x\n", "expected a column 'file', got file;caption"),
        ("file,caption\na.png,Läsion\n".encode("latin-1"), "expected UTF-8 text with commas"),
        (b"", "expected a column 'file', got none"),
    ],
)
def test_a_list_that_is_none_is_told_in_words(tmp_path, content, told):
    (tmp_path / "examples.csv").write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_examples(tmp_path)


def test_a_list_may_be_as_excel_writes_it(tmp_path):
    Image.new("L", (40, 30), 90).save(tmp_path / "a.png")
    (tmp_path / "examples.csv").write_text("file,caption\na.png,mine\n", encoding="utf-8-sig")
    (example,) = read_examples(tmp_path)
    assert example.caption == "mine"
