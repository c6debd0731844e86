import json

import pytest

from unet.page import about
from unet.publishing.readme import best_first


def bundle_with(folder, dice):
    folder.mkdir()
    metrics = {"splits": {"validation": {"final": {"lesion_images": {"dice": {"value": dice}}}}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_the_best_on_validation_comes_first_and_one_without_numbers_last(tmp_path):
    better, worse = bundle_with(tmp_path / "b", 0.8), bundle_with(tmp_path / "a", 0.7)
    unknown = tmp_path / "c"
    unknown.mkdir()
    assert best_first([unknown, worse, better]) == [better, worse, unknown]


@pytest.mark.parametrize("content", ["", "id,dice\na,0.5\n", "split,dice\ntest,half\n", "\0"])
def test_cases_that_are_not_ours_leave_the_table_empty(tmp_path, content):
    (tmp_path / "cases.csv").write_text(content)
    assert about.worst_cases(tmp_path) == []


def test_the_text_is_the_cards_without_pictures_and_use(tiny_bundle, tmp_path):
    import shutil

    text = about.text(tiny_bundle)
    assert text.startswith("## The network")
    assert "## Results" in text
    assert "![" not in text
    assert "from_hub" not in text
    copy = shutil.copytree(tiny_bundle, tmp_path / "tiny")
    (copy / "metrics.json").write_text('{"splits": {"test": 3}}')
    assert about.text(copy) == "`tiny` has no numbers that can be read."
    (copy / "metrics.json").unlink()
    assert about.text(copy).startswith("## The network")
    assert about.figures(copy)
