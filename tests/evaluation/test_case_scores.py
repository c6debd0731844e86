import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import predicted
from unet.config import to_dict
from unet.core.mask import PostProcessing, segment
from unet.data.cases import Case
from unet.errors import UserError
from unet.evaluation.case_scores import CasePrediction, CaseScore, score_case, sweep
from unet.evaluation.summary import dice_by_confidence, summarise
from unet.evaluation.threshold_selection import operating_curve, select_postprocessing
from unet.experiments.evaluate import calibrate, evaluate
from unet.inference.bundle import read_info
from unet.inference.confidence import Confidence
from unet.publishing.card import card_of


def map_of(probability_u8: np.ndarray, truth: np.ndarray) -> CasePrediction:
    square = np.zeros((16, 16), np.float32)  # the network's own size: not what is scored here
    return CasePrediction(
        Case("a", "benign", Path("a.png"), ()), square, predicted(probability_u8), truth
    )


def with_presence(m: CasePrediction, presence: float, **changes) -> CasePrediction:
    return replace(m, prediction=replace(m.prediction, presence=presence), **changes)


def lesion_map(inside: int, around: int) -> CasePrediction:
    """A lesion of 10 × 20 pixels at one level in surroundings at another."""
    truth = np.zeros((40, 60), bool)
    truth[10:20, 20:40] = True
    return map_of(np.where(truth, inside, around).astype(np.uint8), truth)


def normal_map(speck: int) -> CasePrediction:
    """No lesion, but a speck of 2 × 2 pixels at a level."""
    probability_u8 = np.zeros((40, 60), np.uint8)
    probability_u8[5:7, 50:52] = speck
    return map_of(probability_u8, np.zeros((40, 60), bool))


def dice_of(maps: list[CasePrediction], rules: PostProcessing) -> list[float]:
    masks = [segment(m.prediction.probability_u8, rules) for m in maps]
    totals = [mask.sum() + m.truth.sum() for mask, m in zip(masks, maps)]
    return [
        2 * (mask & m.truth).sum() / total if total else 1.0
        for mask, m, total in zip(masks, maps, totals)
    ]


def test_the_threshold_that_parts_lesion_from_surroundings_is_chosen():
    maps = [lesion_map(200, 150), lesion_map(180, 140)]
    rules = select_postprocessing(maps)
    assert 150 / 255 < rules.threshold <= 180 / 255
    assert dice_of(maps, rules) == [1, 1]
    assert (rules.min_area, rules.min_peak) == (0, 0)  # they do nothing here


def test_of_thresholds_that_are_as_good_the_middle_one_is_chosen():
    """One at the edge may lose lesions elsewhere; of two in the middle the lower loses fewer."""
    assert select_postprocessing([lesion_map(200, 100)]).threshold == 0.55  # of 0.4 to 0.75


def test_no_threshold_is_so_low_that_it_would_be_one_hospitals_alone():
    assert select_postprocessing([lesion_map(50, 0)]).threshold >= 0.25


def test_small_false_masks_are_dropped_by_area_when_brightness_cannot():
    maps = [lesion_map(150, 0), normal_map(255)]
    rules = select_postprocessing(maps)
    assert rules.min_area > 4 / 2400
    assert dice_of(maps, rules) == [1, 1]


def test_false_masks_are_gated_by_peak_when_area_cannot():
    lesion = lesion_map(150, 0)
    lesion.prediction.probability_u8[15, 30] = 255
    false_alarm = map_of(lesion_map(180, 0).prediction.probability_u8, np.zeros((40, 60), bool))
    rules = select_postprocessing([lesion, false_alarm])
    assert rules.min_peak > 180 / 255
    assert dice_of([lesion, false_alarm], rules) == [1, 1]


def test_false_masks_are_gated_by_presence_when_nothing_else_tells_them_apart():
    lesion = with_presence(lesion_map(200, 0), 0.09)
    false_alarm = with_presence(lesion, 0.01, truth=np.zeros((40, 60), bool))
    rules = select_postprocessing([lesion, false_alarm])
    assert 0.01 < rules.min_presence <= 0.09
    assert (rules.min_area, rules.min_peak) == (0, 0)


def many(count: int, dataset: str, presence: float, normal: bool = False) -> list[CasePrediction]:
    m = with_presence(lesion_map(200, 0), presence)
    case = replace(m.case, dataset=dataset)
    return [replace(m, case=case, **{"truth": m.truth & False} if normal else {})] * count


def test_a_gate_that_would_miss_more_than_3_percent_of_any_sets_lesions_is_not_chosen():
    """However much it gains at home: what a gate of one hospital does abroad is the point."""
    home = many(100, "home", 0.9) + many(50, "home", 0.015, normal=True)
    abroad = many(96, "abroad", 0.9) + many(4, "abroad", 0.01)
    assert select_postprocessing(home).min_presence == 0.02
    assert select_postprocessing(home + abroad).min_presence == 0.0
    few = many(97, "abroad", 0.9) + many(3, "abroad", 0.01)
    assert select_postprocessing(home + few).min_presence == 0.02


def test_a_gate_that_still_shows_what_it_takes_goes_before_a_smallest_region():
    home = many(100, "home", 0.9) + many(50, "home", 0.015, normal=True)
    tiny = np.zeros_like(home[0].prediction.probability_u8)
    tiny[0, 0] = 200  # 0.04 % of the image: a smallest region would do as well
    small = [replace(m, prediction=replace(m.prediction, probability_u8=tiny)) for m in home[100:]]
    rules = select_postprocessing(home[:100] + small)
    assert (rules.min_presence, rules.min_area) == (0.02, 0.0)


def test_no_gate_is_higher_than_what_holds_elsewhere():
    for presence in (0.03, 0.3):
        home = many(100, "home", 0.9) + many(50, "home", presence, normal=True)
        assert select_postprocessing(home).min_presence == 0.0


def test_no_lesion_that_a_gate_takes_the_mask_from_is_answered_with_a_plain_none():
    home = many(100, "home", 0.9) + many(50, "home", 0.01, normal=True)
    abroad = many(99, "abroad", 0.9) + many(1, "abroad", 0.015)
    rules = select_postprocessing(home + abroad)
    assert (rules.min_presence, rules.unsure_presence) == (0.02, 0.0)
    assert select_postprocessing(home).unsure_presence == 0.02  # no lesion is gated: plain none


def test_a_plain_none_is_for_what_is_very_unlikely_whatever_a_few_cases_allow():
    home = many(100, "home", 0.9) + many(50, "home", 0.015, normal=True)
    rules = select_postprocessing(home)
    assert (rules.min_presence, rules.unsure_presence) == (0.02, 0.02)


def test_the_threshold_is_the_one_that_is_best_on_the_worst_set():
    home, abroad = lesion_map(250, 150), lesion_map(120, 60)
    away = replace(abroad, case=replace(abroad.case, dataset="abroad"))
    rules = select_postprocessing([home] * 9 + [away])
    low, high = dice_of([home, away], rules)
    for threshold in (0.3, 0.65):  # the best for the one set, or the other
        assert min(dice_of([home, away], PostProcessing(threshold))) <= min(low, high)


def test_the_operating_curve_counts_missed_lesions_and_masked_normals():
    maps = many(3, "home", 0.9) + many(1, "home", 0.3) + many(2, "home", 0.5, normal=True)
    scores = [score_case(m, "", PostProcessing()) for m in maps]
    rows = {row["gate"]: row for row in operating_curve(scores, 0.5)["home"]}
    assert rows[0.0] == {"gate": 0.0, "missed": 0.0, "masked": 1.0}
    assert rows[0.4] == {"gate": 0.4, "missed": 0.25, "masked": 1.0}
    assert rows[0.6] == {"gate": 0.6, "missed": 0.25, "masked": 0.0}
    [abroad] = [score_case(m, "", PostProcessing()) for m in many(1, "abroad", 0.5)]
    assert operating_curve([abroad], 0.5)["abroad"][0]["masked"] is None
    assert CaseScore.from_dict(json.loads(json.dumps(to_dict(abroad)))) == abroad


def test_the_sweep_agrees_with_the_rules_at_each_threshold():
    maps = [lesion_map(200, 150), lesion_map(120, 30), normal_map(160)]
    rules = PostProcessing(0.5, min_area=0.001)
    for row in sweep(maps, rules):
        at = PostProcessing(row["threshold"], rules.min_area)
        dice = dice_of(maps, at)
        assert row["dice_all"] == pytest.approx(np.mean(dice))
        assert row["dice_lesion"] == pytest.approx(np.mean(dice[:2]))
        assert row["normal_with_mask"] == segment(maps[2].prediction.probability_u8, at).any()


def test_fit_writes_a_whole_bundle(tiny_bundle):
    names = {str(path.relative_to(tiny_bundle)) for path in tiny_bundle.rglob("*.*")}
    assert names == {
        "README.md", "cases.csv", "config.json", "history.csv", "metadata.json", "metrics.json",
        "model.onnx", "model.weights.h5", "unet.json",
        "plots/learning_curves.png", "plots/phantoms.png",
        "plots/threshold_sweep_test.png", "plots/threshold_sweep_train.png",
        "plots/threshold_sweep_validation.png", "plots/calibration_test.png",
        "plots/calibration_train.png", "plots/calibration_validation.png",
        "plots/operating_curve_test.png", "plots/operating_curve_train.png",
        "plots/operating_curve_validation.png",
    }  # fmt: skip
    figures = tiny_bundle.parent / "run" / "figures"
    assert len(list(figures.glob("*.png"))) == 9  # three for each split


def test_the_summary_is_the_mean_of_the_rows(tiny_bundle):
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    with open(tiny_bundle / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    split = {name: set(ids) for name, ids in read_info(tiny_bundle).split.items()}
    for name, summary in metrics["splits"].items():
        mine = [row for row in rows if row["split"] == name]
        assert {row["id"] for row in mine} == split[name]
        lesion = [row for row in mine if row["label"] != "normal"]
        for score in ("dice", "iou", "precision", "recall"):
            mean = np.mean([float(row[score]) for row in mine])
            assert summary["postprocessed"]["all_images"][score]["value"] == pytest.approx(
                mean, abs=1e-4
            )
            mean = np.mean([float(row[score]) for row in lesion])
            assert summary["postprocessed"]["lesion_images"][score]["value"] == pytest.approx(
                mean, abs=1e-4
            )
        mean = np.mean([float(row["network_resolution_cross_entropy"]) for row in mine])
        value = summary["network_resolution"]["cross_entropy"]["value"]
        assert value == pytest.approx(mean, abs=1e-4)


def untimed(bundle: Path) -> list[str]:
    return [line for line in card_of(bundle).splitlines() if "Milliseconds" not in line]


def test_evaluate_repeats_the_numbers_of_fit_and_keeps_the_other_splits(
    tiny_bundle, phantoms, tmp_path, capsys
):
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    before = json.loads((copy / "metrics.json").read_text())
    evaluate(copy, [str(phantoms)], "test", None, tmp_path / "figures")
    after = json.loads((copy / "metrics.json").read_text())
    for name in ("train", "validation"):
        assert after["splits"][name] == before["splits"][name]
    old, new = (m["splits"]["test"]["postprocessed"]["all_images"]["dice"] for m in (before, after))
    assert new == pytest.approx(old, abs=1e-6)
    assert untimed(copy) == untimed(tiny_bundle)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["split", "test"]


def test_rows_of_an_older_evaluation_may_have_other_columns(tiny_bundle, phantoms, tmp_path):
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    with open(copy / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [{k: v for k, v in row.items() if k != "diagnosis"} for row in rows]
    with open(copy / "cases.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    evaluate(copy, [str(phantoms)], "test", None, tmp_path / "figures")
    with open(copy / "cases.csv", newline="") as file:
        found = {row["id"]: row for row in csv.DictReader(file)}
    for row in rows:
        expected = row["diagnosis"] if row["split"] == "test" else ""
        assert found[row["id"]]["diagnosis"] == expected


def test_other_data_is_evaluated_apart_from_the_bundle(tiny_bundle, tmp_path):
    from unet.data.phantom import write_dataset

    other = write_dataset(tmp_path / "other", 3, seed=7)
    with pytest.raises(UserError, match=r"give --split all and --out"):
        evaluate(tiny_bundle, [str(other)], "test", None, tmp_path / "figures")
    evaluate(tiny_bundle, [str(other)], "all", tmp_path / "results", tmp_path / "figures")
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert metrics["splits"]["all"]["cases"] == 4


def test_results_of_two_networks_or_two_data_sets_are_not_mixed(tiny_bundle, phantoms, tmp_path):
    from unet.data.phantom import write_dataset

    out = tmp_path / "results"
    evaluate(tiny_bundle, [str(phantoms)], "test", out, tmp_path / "figures")
    written = (out / "metrics.json").read_text()
    made_by = json.loads(written)["splits"]["test"]["made_by"]
    assert made_by["weights"] == read_info(tiny_bundle).sha256["model.weights.h5"]
    assert made_by["data"]

    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    weights = other / "model.weights.h5"
    with h5py.File(weights, "r+") as file:
        file.attrs["changed"] = 1
    info = json.loads((other / "unet.json").read_text())
    info["sha256"]["model.weights.h5"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (other / "unet.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match="holds results of another network"):
        evaluate(other, [str(phantoms)], "validation", out, tmp_path / "figures")

    for number, seed in enumerate((7, 8)):
        data = [str(write_dataset(tmp_path / f"data{number}", 3, seed=seed))]
        arguments = (tiny_bundle, data, "all", tmp_path / "all", tmp_path / "figures")
        if number == 0:
            evaluate(*arguments)
        else:
            with pytest.raises(UserError, match="holds results of other data as 'all'"):
                evaluate(*arguments)
    assert (out / "metrics.json").read_text() == written


def test_scores_are_told_by_data_set_and_scanner_where_there_are_several():
    def result(dataset, scanner, inside):
        m = lesion_map(inside, 0)
        case = replace(m.case, dataset=dataset, scanner=scanner)
        return score_case(replace(m, case=case), "test", PostProcessing())

    results = [result("BUSI", "", 200), result("BUS-BRA", "A", 100), result("BUS-BRA", "B", 200)]
    summary = summarise(results)
    found = {name: part["postprocessed"]["lesion_images"]["dice"]["value"]
             for name, part in summary["by_dataset"].items()}  # fmt: skip
    assert found == {"BUSI": 1.0, "BUS-BRA": 0.5}
    assert list(summary["by_dataset"]["BUS-BRA"]["by_scanner"]) == ["A", "B"]
    assert not {"by_scanner"} & {*summary, *summary["by_dataset"]["BUSI"]}
    missed = summary["postprocessed"]["lesion_images_without_mask"]
    assert (missed["count"], missed["of"]) == (1, 3)
    assert "by_dataset" not in summarise(results[:1])


def test_confidence_is_scored_by_its_words():
    results = []
    for inside, agreement in ((200, 0.9), (200, 0.3), (100, 0.9)):
        m = lesion_map(inside, 0)
        limits = Confidence(low=0.5, high=0.8)
        prediction = replace(m.prediction, agreement=agreement, confidence=limits)
        results.append(score_case(replace(m, prediction=prediction), "test", PostProcessing()))
    found = dice_by_confidence(results)
    # The third has no mask, and nothing in its map beyond 100 of 255: sure, and wrong.
    assert found == {
        "high": {"images": 2, "dice": 0.5, "missed": 1},
        "low": {"images": 1, "dice": 1.0, "missed": 0},
    }


def test_four_of_five_lesions_without_a_mask_are_said_with_low_confidence():
    from unet.training.calibration import fit_confidence_thresholds

    found = with_presence(lesion_map(200, 0), 0.9)
    found = replace(found, prediction=replace(found.prediction, agreement=0.9))
    missed = [with_presence(lesion_map(50, 0), value) for value in (0.05, 0.12, 0.2, 0.3, 0.4)]
    limits = fit_confidence_thresholds([found, *missed], PostProcessing())
    assert limits.none == 0.12
    assert fit_confidence_thresholds([found], PostProcessing()).none == 1.0


def test_rules_are_chosen_anew_with_other_data_sets_and_these_are_scored(
    tiny_bundle, phantoms, tmp_path
):
    from unet.data.phantom import make_phantom

    other = tmp_path / "elsewhere"
    for name in ("images", "masks"):
        (other / name).mkdir(parents=True)
    for number in range(12):
        phantom = make_phantom(70 + number, "benign", 100, 140)
        Image.fromarray(phantom.image).save(other / "images" / f"{number}.png")
        Image.fromarray(phantom.mask).save(other / "masks" / f"{number}.png")
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    calibrate(copy, [str(phantoms), str(other)], tmp_path / "figures")
    info = read_info(copy)
    assert info.sha256 == read_info(tiny_bundle).sha256
    assert info.training["rules_chosen_on"] == [phantoms.name, "elsewhere"]
    metrics = json.loads((copy / "metrics.json").read_text())
    external = metrics["splits"]["external"]
    assert external["cases"] == 3  # of 12, a quarter is for testing
    validation = metrics["splits"]["validation"]["postprocessed"]["lesion_images_without_mask"]
    plain = metrics["splits"]["validation"]["threshold_0.5"]["lesion_images_without_mask"]
    assert validation["count"] <= max(plain["count"], 0.03 * plain["of"])
    text = card_of(copy)
    assert "| elsewhere, test split, a data set it was not trained on, 3 images |" in text
    assert f"Chosen on validation cases of {phantoms.name} + elsewhere" in text
