import pickle
from dataclasses import replace

import keras
import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image

from unet.config import RECIPES
from unet.core.image import to_input
from unet.networks import build_network, imagenet

MILITARY_UNIFORM, BOW_TIE = 652, 457  # classes of ImageNet


def test_the_encoder_and_the_published_head_recognise_what_a_photo_shows():
    network = build_network(replace(RECIPES["efficientnet-unet"].model, input_size=224))
    imagenet.load_imagenet_encoder(network)
    head = imagenet.imagenet_arrays()
    photo = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    encoder = keras.Model(network.input, network.get_layer("encoder_7_1_project_norm").output)
    x = np.asarray(encoder(to_input(photo.crop((0, 0, 512, 512)), 224)[None]))  # (1, 7, 7, 352)
    x = x @ head["_conv_head.weight"][:, :, 0, 0].T
    x = (x - head["_bn1.running_mean"]) / np.sqrt(head["_bn1.running_var"] + 1e-3)
    x = np.clip(x * head["_bn1.weight"] + head["_bn1.bias"], 0, 6).mean(axis=(1, 2))
    scores = (x @ head["_fc.weight"].T + head["_fc.bias"])[0]
    assert scores.argmax() in (MILITARY_UNIFORM, BOW_TIE)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print is not expected"):
        imagenet.read_torch_file(path)
