from dataclasses import replace

import pytest

from unet import cli
from unet.config import RECIPES, TrainConfig
from unet.publishing import report


def test_bad_data_ends_in_words_and_exit_code_1(tmp_path, capsys):
    arguments = ["fit", "--data", str(tmp_path / "nowhere"), "--run-dir", str(tmp_path / "run")]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "nowhere: expected a folder, found none" in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()


def test_a_setting_that_cannot_be_ends_in_words(tmp_path, capsys):
    assert cli.main(["fit", "--data", "phantom", "--epochs", "0"]) == 1
    assert capsys.readouterr().err == (
        "train.py fit: TrainConfig: epochs must be at least 1. Received: 0\n"
    )


def test_a_folder_that_is_no_bundle_ends_in_words(tmp_path, capsys):
    assert cli.main(["evaluate", "--weights", str(tmp_path), "--data", "phantom"]) == 1
    assert "is not a bundle: it has no unet.json" in capsys.readouterr().err


def test_settings_are_the_recipes_unless_others_are_given(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "unet.experiments.fit.fit", lambda *args, **options: given.update(args=args)
    )
    for name, recipe in RECIPES.items():
        assert cli.main(["fit", "--data", "phantom", "--model", name]) == 0
        assert given["args"] == (["phantom"], name, recipe)
    words = ["--model", "unet", "--epochs", "3", "--augmentation", "none", "--learning-rate", "0.1"]
    assert cli.main(["fit", "--data", "phantom", *words, "--input-size", "64"]) == 0
    recipe = given["args"][2]
    assert recipe.train == TrainConfig(epochs=3, augmentation="none", learning_rate=0.1)
    assert recipe.model == replace(RECIPES["unet"].model, input_size=64)


def test_every_training_setting_is_an_option():
    arguments = vars(cli.parser().parse_args(["fit", "--data", "phantom"]))
    assert set(vars(TrainConfig())) <= set(arguments)


@pytest.mark.parametrize("option", [["--push-to", "user/name"], ["--tensorboard"]])
def test_what_cross_validation_does_not_do_is_refused(option, capsys):
    assert cli.main(["fit", "--data", "phantom", "--folds", "2", *option]) == 1
    assert "leave out --push-to and --tensorboard" in capsys.readouterr().err


def test_an_unknown_network_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--data", "phantom", "--model", "vnet"])
    assert "invalid choice: 'vnet'" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path, capsys):
    """`--out weights` would have taken every bundle in it away."""
    (tmp_path / "weights" / "unet").mkdir(parents=True)
    (tmp_path / "weights" / "unet" / "unet.json").write_text("{}")
    words = ["fit", "--data", "phantom", "--run-dir", str(tmp_path / "run")]
    assert cli.main([*words, "--out", str(tmp_path / "weights")]) == 1
    assert "is neither empty nor a bundle of this project" in capsys.readouterr().err
    assert (tmp_path / "weights" / "unet" / "unet.json").exists()
    out = str(tmp_path / "x")
    assert cli.main(["fit", "--data", "phantom", "--out", out, "--run-dir", out]) == 1
    assert "Choose another folder for one of them" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_scanner_that_is_not_there_cannot_be_left_out(tmp_path, capsys):
    words = ["fit", "--data", "phantom", "--checkpoint", "last", "--input-size", "32"]
    places = ["--out", str(tmp_path / "out"), "--run-dir", str(tmp_path / "run")]
    assert cli.main([*words, *places, "--leave-out-domain", "GE"]) == 1
    assert "--leave-out-domain GE: expected one of phantom" in capsys.readouterr().err


def test_cards_are_written_and_marks_are_asked_for(tmp_path, capsys, monkeypatch, tiny_bundle):
    import shutil

    shutil.copytree(tiny_bundle, tmp_path / "weights" / "tiny")
    (tmp_path / "weights" / "tiny" / "README.md").unlink()
    (tmp_path / "README.md").write_text("no marks")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report"]) == 1
    assert "expected the lines" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("\n".join(report.MARKS))
    assert cli.main(["report"]) == 0
    assert "| Missed lesions | " in (tmp_path / "README.md").read_text()
    assert ", test split, " in (tmp_path / "docs" / "results.md").read_text()
    assert (tmp_path / "weights" / "tiny" / "README.md").exists()


def test_an_ablation_without_an_evaluation_is_refused_before_its_trainings(
    tmp_path, capsys, tiny_bundle
):
    import shutil

    copy = shutil.copytree(tiny_bundle, tmp_path / "tiny")
    (copy / "metrics.json").unlink()
    assert cli.main(["ablate", "--weights", str(copy), "--data", str(tmp_path)]) == 1
    assert "has no metrics.json. Run train.py evaluate" in capsys.readouterr().err


def test_a_package_that_is_not_installed_is_named(capsys, monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "report", lambda _: __import__("not_there_at_all"))
    assert cli.main(["report"]) == 1
    told = capsys.readouterr().err
    assert "not_there_at_all is not installed. Run: pip install -r requirements-train.txt" in told
