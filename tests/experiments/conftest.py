import pytest
from PIL import Image

from unet.data.phantom import make_phantom


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """A folder of 8 other cases, two to a patient, two of them normal."""
    folder = tmp_path_factory.mktemp("data") / "elsewhere"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    lines = ["name,group"]
    for number in range(8):
        phantom = make_phantom(50 + number, "normal" if number > 5 else "benign", 120, 160)
        Image.fromarray(phantom.image).save(folder / "images" / f"{number}.png")
        Image.fromarray(phantom.mask).save(folder / "masks" / f"{number}.png")
        lines.append(f"{number},{number // 2}")
    (folder / "groups.csv").write_text("\n".join(lines) + "\n")
    return folder
