import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from unet.io.images import ImageError, read_image

RAMP = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)  # asymmetric: 12 high, 20 wide


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_grey_pixels_come_back_exactly(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"ramp.{suffix}", Image.fromarray(RAMP), **options)
    np.testing.assert_array_equal(read_image(path), RAMP)


def test_a_jpeg_is_read_close_to_its_pixels(tmp_path):
    path = save(tmp_path / "ramp.jpg", Image.fromarray(RAMP), quality=95)
    assert np.abs(read_image(path).astype(int) - RAMP).max() < 12


def test_sixteen_bits_are_scaled_by_their_range_not_by_their_content(tmp_path):
    values = RAMP.astype(np.uint16) * 100  # never reaches 65535
    path = save(tmp_path / "deep.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_image(path), np.round(values / 257).astype(np.uint8))


def test_colour_stays_colour_and_grey_rgb_becomes_grey(tmp_path):
    colour = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=2)
    np.testing.assert_array_equal(
        read_image(save(tmp_path / "colour.png", Image.fromarray(colour))), colour
    )
    grey = save(tmp_path / "grey.png", Image.fromarray(RAMP).convert("RGB"))
    np.testing.assert_array_equal(read_image(grey), RAMP)


def test_palette_and_one_bit_pictures_are_read(tmp_path):
    palette = save(tmp_path / "palette.png", Image.fromarray(RAMP).convert("P"))
    np.testing.assert_array_equal(read_image(palette), RAMP)
    bits = save(tmp_path / "bits.png", Image.fromarray(RAMP > 100))
    np.testing.assert_array_equal(read_image(bits), np.where(RAMP > 100, 255, 0))


def test_transparent_pixels_become_black(tmp_path):
    rgba = np.full((12, 20, 4), 200, np.uint8)
    rgba[:, :, 3] = np.where(np.arange(20) < 5, 0, 255)
    pixels = read_image(save(tmp_path / "alpha.png", Image.fromarray(rgba)))
    assert (pixels[:, :5] == 0).all()
    assert (pixels[:, 5:] == 200).all()


def test_an_exif_rotated_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # rotate a quarter turn clockwise to view
    path = save(tmp_path / "turned.png", Image.fromarray(RAMP), exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RAMP, -1))


def corrupt(path: Path, kind: str) -> Path:
    whole = save(path, Image.fromarray(np.tile(RAMP, (20, 20))))
    content = whole.read_bytes()
    if kind == "truncated":
        whole.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        whole.write_bytes(b"")
    elif kind == "text":
        whole.write_text("not an image")
    elif kind == "garbled":
        whole.write_bytes(content[:60] + b"\xff" * 50 + content[110:])
    return whole


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("truncated", "scan.png: damaged or cut off"),
        ("garbled", "scan.png: damaged or cut off"),
        ("empty", "scan.png: the file is empty"),
        ("text", "scan.png: not an image"),
    ],
)
def test_a_bad_file_gives_a_sentence_without_its_folder(tmp_path, kind, sentence):
    path = corrupt(tmp_path / "scan.png", kind)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(error.value).startswith(sentence)
    assert str(tmp_path) not in str(error.value)


def test_a_missing_file_gives_a_sentence(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: expected an image file, found none"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("side", [8_000, 20_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, side):
    path = save(tmp_path / "huge.png", Image.new("1", (side, side)))
    with pytest.raises(ImageError, match=r"huge\.png: too large; at most 16 megapixels"):
        read_image(path)


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path / "scan.jpg", Image.fromarray(RAMP), progressive=True)
    content = path.read_bytes()
    assert read_image(path).shape == RAMP.shape
    last = content[content.rfind(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + 1000 * last + content[-2:])
    with pytest.raises(ImageError, match=r"scan\.jpg: a JPEG of too many scans"):
        read_image(path)


def test_a_format_that_was_not_promised_is_refused(tmp_path):
    path = save(tmp_path / "scan.gif", Image.fromarray(RAMP))
    with pytest.raises(ImageError, match="not an image"):
        read_image(path)


def test_a_tiff_whose_white_is_0_is_read_so_at_16_bits_too(tmp_path):
    values = (np.arange(240, dtype=np.uint16) * 257).reshape(12, 20)
    path = tmp_path / "scan.tiff"
    Image.fromarray(values).save(path, tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_array_equal(read_image(path), 255 - values // 257)


def test_floating_point_pixels_are_refused_in_words(tmp_path):
    values = np.full((12, 20), np.nan, np.float32)
    path = save(tmp_path / "nan.tiff", Image.fromarray(values))
    with pytest.raises(ImageError, match="floating point"):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_upright(tmp_path, orientation):
    pixels = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "scan.tif", tiffinfo={274: orientation})
    with open(tmp_path / "scan.tif", "rb") as file, Image.open(file) as turned:
        expected = np.asarray(ImageOps.exif_transpose(turned))
    np.testing.assert_array_equal(read_image(tmp_path / "scan.tif"), expected)


def test_a_bitmap_whose_alpha_was_left_unset_is_not_black(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)
    pixels[..., 3] = 0
    header = struct.pack("<2sIHHI", b"BM", 14 + 108 + pixels.size, 0, 0, 14 + 108)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, 8, -6, 1, 32, 3, pixels.size, 0, 0, 0, 0)
    (tmp_path / "scan.bmp").write_bytes(
        header + info + masks + b"\0" * 52 + pixels[..., [2, 1, 0, 3]].tobytes()
    )
    np.testing.assert_array_equal(read_image(tmp_path / "scan.bmp"), pixels[..., :3])


def test_a_film_behind_a_photo_counts_no_scans(tmp_path):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "scan.jpg")
    with open(tmp_path / "scan.jpg", "ab") as file:
        file.write(b"\xff\xda" * 1000)
    assert read_image(tmp_path / "scan.jpg").shape == (20, 30)
