import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import QUICK, TINY
from unet.data.loading import load_datasets
from unet.errors import UserError
from unet.experiments import leave_one_domain_out as module
from unet.experiments.evaluate import evaluate
from unet.experiments.leave_one_domain_out import leave_out, split_without
from unet.inference.bundle import read_info
from unet.inference.hub import HubError, push
from unet.publishing.tables import interval, leave_out_table

pytestmark = pytest.mark.slow

LAST = replace(QUICK, checkpoint="last", epochs=1)


def test_a_plain_folder_is_read_with_its_groups(other, phantoms):
    dataset = load_datasets([phantoms, other], 32)
    assert len(dataset.cases) == 26
    mine = [case for case in dataset.cases if case.dataset == "elsewhere"]
    assert [case.label for case in mine] == ["lesion"] * 6 + ["normal"] * 2
    groups = [case.group for case in mine]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_the_left_out_set_is_scored_and_never_learnt_from(other, phantoms, tmp_path, monkeypatch):
    learnt = []
    train = module.train

    def spy(model_config, config, examples, *args, **options):
        learnt.append(examples)
        return train(model_config, config, examples, *args, **options)

    monkeypatch.setattr(module, "train", spy)
    config = replace(LAST, patches=True, presence_head=True)
    data = [str(phantoms), str(other)]
    places = {"out": tmp_path / "out", "run_dir": tmp_path / "run"}
    leave_out(data, "unet", TINY, config, left_out="Elsewhere", **places)
    dataset = load_datasets(data, 32)
    theirs = [i for i, case in enumerate(dataset.cases) if case.dataset == "elsewhere"]
    for image in learnt[0].images:
        assert (np.abs(dataset.images[theirs] - image).max(axis=(1, 2, 3)) > 1e-3).all()
    found = json.loads((tmp_path / "out" / "leave_out.json").read_text())["left_out"]["elsewhere"]
    bundle = tmp_path / "run" / "bundle"
    scored = read_info(bundle).split["left_out"]
    assert found["cases"] == len(scored) < 8  # its test cases are for the final report alone
    assert all(name.startswith("elsewhere/") for name in scored)
    assert found["lesions"] == sum(int(name[-1]) < 6 for name in scored)
    final = found["postprocessed"]["lesion_images_without_mask"]
    assert found["lesions_answered_none"] == final["count"]
    assert found["gates"]["missed"] <= max(0.03, final["value"])

    table = leave_out_table(json.loads((tmp_path / "out" / "leave_out.json").read_text()))
    dice = interval(found["postprocessed"]["lesion_images"]["dice"])
    assert f"| elsewhere | {found['cases']} | {dice} |" in table

    # Such a bundle has no test split, and is evaluated on those that it has.
    with pytest.raises(UserError, match="has no test split, only train, validation, left_out"):
        evaluate(bundle, data, "test", None, tmp_path / "figures")
    evaluate(bundle, data, "all", None, tmp_path / "figures")
    with pytest.raises(HubError, match="was trained without elsewhere to be scored on it"):
        push(bundle, "user/name")
    splits = json.loads((bundle / "metrics.json").read_text())["splits"]
    assert splits["left_out"]["cases"] == len(scored)

    # Hours of results are not thrown away for others.
    before = (tmp_path / "out" / "leave_out.json").read_text()
    with pytest.raises(UserError, match="holds results of other settings"):
        leave_out(data, "unet", TINY, replace(config, epochs=2), left_out="Elsewhere", **places)
    assert (tmp_path / "out" / "leave_out.json").read_text() == before

    # Where one goes on from a network, it must not have seen what is left out.
    places = {"out": tmp_path / "out again", "run_dir": tmp_path / "run again"}
    leave_out(data, "unet", TINY, config, left_out="Elsewhere", start=bundle, **places)
    assert read_info(tmp_path / "run again" / "bundle").training["start"]["name"] == "tiny"
    places["run_dir"] = tmp_path / "not run"
    with pytest.raises(UserError, match=f"has seen images of {phantoms.name}"):
        leave_out(data, "unet", TINY, config, left_out=phantoms.name, start=bundle, **places)


def test_what_would_choose_an_epoch_on_what_is_left_is_refused(other, phantoms, tmp_path):
    data = [str(phantoms), str(other)]
    with pytest.raises(UserError, match="add --checkpoint last"):
        leave_out(data, "unet", TINY, QUICK, left_out="elsewhere",
                  out=tmp_path / "out", run_dir=tmp_path / "run")  # fmt: skip


def test_copies_of_what_is_left_out_are_not_learnt_either(other, phantoms, tmp_path):
    """One image of the set that stays is a copy of one that is left out."""
    shutil.copytree(phantoms, tmp_path / "data")
    copied = tmp_path / "data" / "benign" / "benign (1)"
    for name, ending in (("images", ""), ("masks", "_mask")):
        shutil.copy(other / name / "0.png", f"{copied}{ending}.png")
    dataset = load_datasets([tmp_path / "data", other], 32)
    split = {"train": list(range(len(dataset.cases))), "validation": [], "test": []}
    left = split_without(dataset, split, "elsewhere")
    ids = {dataset.cases[i].id for i in left["train"]}
    assert len(ids) == 17
    assert "benign/benign (1)" not in ids
