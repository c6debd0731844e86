import numpy as np
import pytest
from scipy import ndimage

from unet.data.phantom import KINDS, make_phantom, write_dataset


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_pixels_and_another_seed_others(kind):
    one, same, other = (make_phantom(seed, kind, 120, 160) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.mask, same.mask)
    assert (one.image != other.image).mean() > 0.5


def test_a_lesion_is_one_piece_darker_than_what_surrounds_it():
    for seed in range(10):
        for kind in ("benign", "malignant"):
            phantom = make_phantom(seed, kind)
            assert ndimage.label(phantom.mask)[1] == 1
            assert 0.003 < phantom.mask.mean() < 0.2
            ring = ndimage.binary_dilation(phantom.mask, iterations=15) & ~phantom.mask
            assert phantom.image[phantom.mask].mean() < 0.7 * phantom.image[ring].mean()


def test_a_lesion_shows_as_much_of_itself_as_its_contrast_says():
    def darker(contrast: float) -> float:
        phantom = make_phantom(3, "benign", contrast=contrast)
        ring = ndimage.binary_dilation(phantom.mask, iterations=15) & ~phantom.mask
        return 1 - phantom.image[phantom.mask].mean() / phantom.image[ring].mean()

    assert darker(1) > darker(0.5) > darker(0.2) > 0
    np.testing.assert_array_equal(
        make_phantom(3, "benign", contrast=0.2).mask, make_phantom(3, "benign").mask
    )


def test_a_normal_phantom_has_no_lesion():
    assert not make_phantom(0, "normal").mask.any()


def below(phantom) -> float:
    """Brightness right below the lesion relative to beside that place."""
    rows, columns = np.nonzero(phantom.mask)
    middle = slice(*np.percentile(columns, [35, 65]).astype(int))
    strip = slice(rows.max() + 8, rows.max() + 40)
    beside = np.r_[0 : max(columns.min() - 15, 1), min(columns.max() + 15, 499) : 500]
    return phantom.image[strip, middle].mean() / phantom.image[strip][:, beside].mean()


def test_benign_lesions_enhance_and_malignant_ones_shadow():
    assert np.median([below(make_phantom(seed, "benign")) for seed in range(8)]) > 1.05
    assert np.median([below(make_phantom(seed, "malignant")) for seed in range(8)]) < 0.8


def test_speckle_before_compression_is_rayleigh_distributed():
    from unet.data.phantom import _speckle

    envelope = _speckle(np.random.default_rng(0), 400, 400, np.zeros((400, 400)))[180:220]
    # A Rayleigh variable's mean over its deviation is sqrt(π / (4 − π)) = 1.913.
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, rel=0.05)


@pytest.mark.parametrize("arguments", [(0, "cyst"), (0, "benign", 10, 500)])
def test_what_cannot_be_made_is_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        make_phantom(*arguments)


def test_a_written_data_set_has_the_asked_size_and_busis_layout(phantoms, tmp_path):
    images = [path for path in phantoms.rglob("*.png") if "_mask" not in path.name]
    assert len(images) == 18
    again = write_dataset(tmp_path, 18, seed=1)
    for path in images:
        assert path.read_bytes() == (again / path.relative_to(phantoms)).read_bytes()
