"""The bundles that are shipped: whole, honest in their texts, and able to do their work."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from unet import Segmenter
from unet.core.metrics import Confusion
from unet.data.phantom import make_phantom
from unet.inference.bundle import find_interactive_bundle, verify
from unet.publishing import card, report

ROOT = Path(__file__).parents[1]
BUNDLES = sorted(path.parent for path in (ROOT / "weights").glob("*/unet.json"))


def test_the_papers_network_is_shipped():
    assert "unet" in [bundle.name for bundle in BUNDLES]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
class TestBundle:
    def test_it_is_whole_and_was_trained_from_a_commit(self, bundle):
        info = verify(bundle)
        assert info.model.name == bundle.name
        assert "BUSI" in info.datasets
        assert len(info.commit) == 40  # no "-dirty"

    def test_its_card_is_what_its_numbers_make(self, bundle):
        assert (bundle / "README.md").read_text() == card.card_of(bundle)

    def test_it_outlines_phantoms(self, bundle):
        segmenter = Segmenter.load(bundle)
        scores = []
        for kind in ("benign", "malignant"):
            for seed in range(100, 106):
                phantom = make_phantom(seed, kind)
                mask = segmenter.segment(phantom.image)
                scores.append(Confusion.of(mask, phantom.mask).dice)
        assert np.mean(scores) > 0.6, scores

    def test_the_numbers_hold_no_path_of_the_machine_that_made_them(self, bundle):
        texts = [path for path in bundle.iterdir() if path.suffix in (".json", ".md", ".csv")]
        assert len(texts) > 4
        for path in texts:
            assert not re.search(r"/(root|home|work|tmp|Users)/", path.read_text()), path


def test_all_have_the_same_busi_split():
    first, *others = [
        {name: {case for case in ids if not case.startswith("BUS-BRA/")} for name, ids in s.items()}
        for s in (verify(bundle).split for bundle in BUNDLES)
    ]
    assert others
    assert all(split == first for split in others)


def test_the_reports_are_made_of_the_bundles_numbers():
    text, weights = (ROOT / "README.md").read_text(), ROOT / "weights"
    shown = report.sort_by_validation(BUNDLES)
    assert report.update_readme(text, report.results_table(shown)) == text
    page = report.results_page(
        shown, report.comparison_in(weights), find_interactive_bundle(weights)
    )
    assert (ROOT / "docs" / "results.md").read_text() == page


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
