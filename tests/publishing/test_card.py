import json
import re

from huggingface_hub import ModelCard

from unet.publishing.card import NOTICE
from unet.publishing.tables import interval


def numbers_in(value) -> set[str]:
    """Every value and bound in the metrics, as the card prints it."""
    found = set()
    if isinstance(value, dict):
        if {"value", "low", "high"} <= set(value):
            found.add(interval(value))
        for child in value.values():
            found |= numbers_in(child)
    return found


def test_every_interval_in_the_card_is_in_the_metrics(tiny_bundle):
    card = (tiny_bundle / "README.md").read_text()
    metrics = json.loads((tiny_bundle / "metrics.json").read_text())
    printed = set(re.findall(r"-?[\d.]+ \[[\d.]+–[\d.]+\]", card))
    assert len(printed) > 10
    assert printed <= numbers_in(metrics)


def test_the_cards_metadata_is_valid_and_its_notice_is_there(tiny_bundle):
    card = ModelCard((tiny_bundle / "README.md").read_text())
    assert card.data.library_name == "keras"
    assert card.data.pipeline_tag == "image-segmentation"
    assert NOTICE in card.text


def test_every_picture_in_the_card_exists(tiny_bundle):
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (tiny_bundle / "README.md").read_text())
    assert pictures
    for picture in pictures:
        assert (tiny_bundle / picture).stat().st_size > 5_000
