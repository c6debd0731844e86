import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet.config import Recipe
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.experiments import run_store
from unet.experiments.evaluate import evaluate
from unet.experiments.leave_one_domain_out import leave_out
from unet.experiments.splitters import bundle_split
from unet.inference.bundle import read_info
from unet.inference.hub import HubError, push
from unet.publishing.tables import interval, leave_out_table
from unet.results import Results

pytestmark = pytest.mark.slow

LAST = replace(
    QUICK, checkpoint="last", epochs=1, patches=True, presence_head=True,
    test_fraction=0.2, validation_fraction=0.4,
)  # fmt: skip


def test_a_plain_folder_is_read_with_its_groups(other, phantoms):
    dataset = load_datasets([phantoms, other], 32)
    assert len(dataset.cases) == 26
    mine = [case for case in dataset.cases if case.dataset == "elsewhere"]
    assert [case.label for case in mine] == ["lesion"] * 6 + ["normal"] * 2
    groups = [case.group for case in mine]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_a_domain_is_scored_and_never_learnt_from(other, phantoms, tmp_path, monkeypatch):
    learnt = []
    train = run_store.train

    def spy(model_config, config, examples, *args, **options):
        learnt.append(examples)
        return train(model_config, config, examples, *args, **options)

    monkeypatch.setattr(run_store, "train", spy)
    data, recipe = [str(phantoms), str(other)], Recipe(TINY, LAST)
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    path = tmp_path / "out" / "leave_out.json"
    leave_out(data, "unet", recipe, domains=["Elsewhere"], **places)
    dataset = load_datasets(data, 32)
    theirs = [i for i, case in enumerate(dataset.cases) if case.dataset == "elsewhere"]
    for image in learnt[0].images:
        assert (np.abs(dataset.images[theirs] - image).max(axis=(1, 2, 3)) > 1e-3).all()
    results = Results.read(path)
    [run] = results.runs
    assert run.split == "without elsewhere"
    found = run.parts["external"]
    bundle = tmp_path / "run/unet/without-elsewhere/seed-0/calibrated"
    scored = read_info(bundle).split["external"]
    assert found["cases"] == len(scored) < 8  # its test cases are for the final report alone
    assert all(name.startswith("elsewhere/") for name in scored)
    missed = found["postprocessed"]["lesion_images_without_mask"]
    assert missed["of"] == sum(int(name[-1]) < 6 for name in scored)
    assert found["gates"]["missed"] <= max(0.03, missed["value"])
    dice = interval(found["postprocessed"]["lesion_images"]["dice"])
    assert f"| without elsewhere | {found['cases']} | {dice} |" in leave_out_table(results)

    # Such a bundle has no test split, and is evaluated on those that it has.
    with pytest.raises(UserError, match="has no test split, only train, validation, external"):
        evaluate(bundle, data, "test", None, tmp_path / "figures")
    evaluate(bundle, data, "all", None, tmp_path / "figures")
    with pytest.raises(HubError, match=r"was trained to be scored \(without elsewhere\)"):
        push(bundle, "user/name")
    splits = json.loads((bundle / "metrics.json").read_text())["splits"]
    assert splits["external"]["cases"] == len(scored)

    # Hours of results are not thrown away for others.
    before = path.read_text()
    longer = Recipe(TINY, replace(LAST, epochs=2))
    with pytest.raises(UserError, match="holds results of other settings"):
        leave_out(data, "unet", longer, domains=["Elsewhere"], **places)
    assert path.read_text() == before

    # Another domain is added to them.
    leave_out(data, "unet", recipe, domains=[phantoms.name], **places)
    again = Results.read(path)
    assert [run.split for run in again.runs] == ["without elsewhere", f"without {phantoms.name}"]
    assert again.runs[0] == run

    # Where one goes on from a network, it must not have seen what is left out.
    places = {"out": tmp_path / "out again", "run_dir": tmp_path / "run again"}
    leave_out(data, "unet", recipe, domains=["Elsewhere"], init_from=bundle, **places)
    onward = tmp_path / "run again/unet/without-elsewhere/seed-0/calibrated"
    assert read_info(onward).training["start"]["name"] == "tiny"
    places["run_dir"] = tmp_path / "not run"
    with pytest.raises(UserError, match=r"has learnt from \d+ of what would be external cases"):
        leave_out(data, "unet", recipe, domains=[phantoms.name], init_from=bundle, **places)
    assert not (tmp_path / "not run").exists()


def test_copies_of_what_is_left_out_are_not_learnt_either(other, phantoms, tmp_path):
    """One image of the set that stays is a copy of one that is left out."""
    shutil.copytree(phantoms, tmp_path / "data")
    copied = tmp_path / "data" / "benign" / "benign (1)"
    for name, ending in (("images", ""), ("masks", "_mask")):
        shutil.copy(other / name / "0.png", f"{copied}{ending}.png")
    dataset = load_datasets([tmp_path / "data", other], 32)
    ids = [case.id for case in dataset.cases]
    split = {"train": ids, "validation": ids[2:3]}
    [(name, left)] = bundle_split(split, "elsewhere")(dataset).items()
    assert name == "without elsewhere"
    assert len(left["train"]) == 17
    assert "benign/benign (1)" not in left["train"]
