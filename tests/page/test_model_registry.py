import shutil

import pytest

from unet.errors import UserError
from unet.page.model_registry import ModelRegistry


def test_the_page_says_that_a_network_is_loading_and_when_it_is_there(tiny_bundle):
    networks = ModelRegistry([tiny_bundle])
    assert networks.status("tiny") == "Network **tiny** (bundled), loading…"
    assert not networks.is_settled("tiny")
    networks.load_in_background("tiny").join(60)
    assert networks.is_settled("tiny")
    assert networks.status("tiny") == "Network **tiny** (bundled)."


def test_one_that_cannot_be_loaded_is_said_and_the_others_serve(tiny_bundle, tmp_path, capsys):
    broken = shutil.copytree(tiny_bundle, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"half")
    networks = ModelRegistry([broken, tiny_bundle])
    networks.load_in_background("broken").join(60)
    assert networks.is_settled("broken")
    assert "it cannot be loaded, choose another one" in networks.status("broken")
    assert "sha256 differs" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"^The network broken cannot be loaded") as error:
        networks.get("broken")
    assert "/" not in str(error.value)
    assert networks.get("tiny").name == "tiny"
    networks = ModelRegistry([tiny_bundle, broken])
    with pytest.raises(UserError):
        networks.get("broken")  # as where a visitor chooses it
    assert networks.is_settled("broken")
