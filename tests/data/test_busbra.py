import numpy as np
import pytest
from PIL import Image

from unet.data import busbra
from unet.data.cases import Case, DatasetError
from unet.data.loading import load_datasets, sources_of
from unet.data.splits import split_cases


@pytest.fixture
def folder(tmp_path):
    """Two patients, three images, in the data set's layout; the table lists one more."""
    root = tmp_path / "BUS-BRA"
    for name in ("Images", "Masks"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    for name, case, pathology in (
        ("0002-l", 2, "benign"), ("0002-r", 2, "malignant"), ("0014-s", 14, "benign"),
        ("0099-s", 99, "benign"),
    ):  # fmt: skip
        rows.append(f'bus_{name},{case},x,{pathology},4,GE Logiq 7 @10-14MHz,1,1,left,"[1,2,3,4]"')
        if case == 99:
            continue
        Image.fromarray(random.integers(0, 255, (40, 60), np.uint8)).save(
            root / "Images" / f"bus_{name}.png"
        )
        mask = np.zeros((40, 60), bool)
        mask[5:20, 10:40] = True
        Image.fromarray(mask).save(root / "Masks" / f"mask_{name}.png")
    (root / busbra.TABLE).write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("parent", [False, True])
def test_cases_have_their_patient_scanner_and_pathology(folder, parent):
    dataset = load_datasets([folder.parent if parent else folder], 32)
    assert [(c.id, c.label, c.scanner) for c in dataset.cases] == [
        ("BUS-BRA/bus_0002-l", "benign", "GE Logiq 7"),
        ("BUS-BRA/bus_0002-r", "malignant", "GE Logiq 7"),
        ("BUS-BRA/bus_0014-s", "benign", "GE Logiq 7"),
    ]
    assert [c.group for c in dataset.cases] == [0, 0, 2]  # two images of one patient
    assert dataset.masks.any(axis=(1, 2, 3)).all()
    (source,) = sources_of(dataset.cases)
    assert "Medical Physics 51" in source["citation"]


def test_an_image_of_an_unknown_patient_or_without_a_mask_is_said(folder):
    (folder / "Masks" / "mask_0014-s.png").unlink()
    (folder / "Images" / "bus_0500-l.png").write_bytes(
        (folder / "Images" / "bus_0002-l.png").read_bytes()
    )
    with pytest.raises(DatasetError) as error:
        load_datasets([folder], 32)
    assert "bus_0014-s.png: image without a mask (expected Masks/mask_0014-s.png)" in str(
        error.value
    )
    assert "bus_0500-l.png: not listed in bus_data.csv" in str(error.value)


def test_a_folder_given_twice_is_said(folder):
    with pytest.raises(DatasetError, match="BUS-BRA/bus_0002-l: there twice"):
        load_datasets([folder, folder], 32)


def test_a_second_data_set_leaves_the_firsts_split_alone(tmp_path):
    def cases(dataset: str, first: int) -> list[Case]:
        kinds = ("benign", "malignant", "normal")
        return [
            Case(f"{dataset}/{i}", kinds[i % 3], tmp_path, (), first + i, dataset)
            for i in range(90)
        ]

    alone, other = cases("BUSI", 0), cases("BUS-BRA", 100)
    other[5] = Case("shared", "benign", tmp_path, (), 7, "BUS-BRA")  # a near-duplicate of BUSI's
    options = {"test": 0.1, "validation": 0.2, "seed": 0}
    before, after = split_cases(alone, **options), split_cases(alone + other, **options)
    for name, indices in before.items():
        assert [i for i in after[name] if i < 90] == indices
        if 7 in indices:
            assert 95 in after[name]
