from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tokenry.data.decode import MAX_PIXELS, decode, from_array, to_rgb
from tokenry.errors import DataError


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + crc + b"\0\0\0\x09IDAT"


def grey16() -> Image.Image:
    return Image.fromarray(np.array([[0, 257 * 128, 65535]], np.uint16))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_formats(kind, red):
    image, frames = decode(encode(red, kind), "x")
    assert (image.mode, image.size, frames) == ("RGB", (6, 4), 1)
    assert np.allclose(image.getpixel((3, 2)), (255, 0, 0), atol=3)


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("P", 0, (0, 0, 0)),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("RGBA", (9, 9, 9, 0), (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ],
)
def test_modes_become_rgb(mode, pixel, expected):
    image = to_rgb(Image.new(mode, (2, 2), pixel), "x")
    assert image.mode == "RGB"
    assert np.allclose(image.getpixel((0, 0)), expected, atol=1)


def test_palette_transparency_is_laid_on_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    rgb, _ = decode(encode(image, "PNG", transparency=0), "x")
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_cmyk_jpeg():
    rgb, _ = decode(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), "x")
    red, green, blue = rgb.getpixel((8, 8))
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    pgm = b"P5 3 1 65535\n" + np.asarray(grey16()).astype(">u2").tobytes()
    rgb, _ = decode(pgm if kind == "PPM" else encode(grey16(), kind), "x")
    assert [rgb.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_are_refused(mode):
    with pytest.raises(DataError, match=f"x: has 32-bit pixels .mode {mode}."):
        decode(encode(Image.new(mode, (2, 2)), "TIFF"), "x")


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (32, 16), "black")
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it upright
    rgb, _ = decode(encode(image, "JPEG", exif=exif), "x")
    assert rgb.size == (16, 32)
    assert rgb.getpixel((8, 4))[0] > 200
    assert rgb.getpixel((8, 28))[0] < 50


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_several(kind, red):
    others = [Image.new("RGB", red.size, color) for color in ("blue", "black")]
    data = encode(red, kind, save_all=True, append_images=others)
    image, frames = decode(data, "x")
    assert frames == 3
    assert np.allclose(image.getpixel((0, 0)), (255, 0, 0), atol=3)


def test_size_is_bounded_before_decoding():
    with pytest.raises(DataError, match=r"x: 10000 x 10000 is more than max_pixels=50,000,000;.*"):
        decode(png_header(10_000, 10_000), "x", MAX_PIXELS)
    with pytest.raises(DataError, match="max_pixels=100000000 if you trust it"):
        decode(png_header(10_000, 10_000), "x", MAX_PIXELS)


def test_bomb_is_refused_whatever_max_pixels():
    with pytest.raises(DataError, match=r"raise PIL.Image.MAX_IMAGE_PIXELS as well as max_pixels"):
        decode(png_header(60_000, 60_000), "x", 10**12)


def test_a_large_picture_passes_when_allowed(red):
    assert decode(encode(red, "PNG"), "x", 24)[0].size == (6, 4)
    with pytest.raises(DataError, match="6 x 4 is more than max_pixels=23"):
        decode(encode(red, "PNG"), "x", 23)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("draft", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated(kind, draft, share, noise):
    data = encode(noise, kind)
    with pytest.raises(DataError, match=r"^x: is (broken or cut short|not a picture)"):
        decode(data[: int(len(data) * share)], "x", draft=draft)


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"])
def test_not_a_picture(data):
    with pytest.raises(DataError, match=r"x: is not a picture .PNG, JPEG"):
        decode(data, "x")


def test_arrays_of_every_layout_are_the_same_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for array in (pixels, np.moveaxis(pixels, -1, 0), pixels / 255.0, (pixels / 255).astype("f4")):
        image = from_array(array, "x", 35, channels_first=False)
        assert np.array_equal(np.asarray(image), pixels)
    grey = [pixels[..., 0], pixels[..., :1], pixels[None, ..., 0]]
    for array in grey:
        image = from_array(array, "x", 35, channels_first=False)
        assert np.array_equal(np.asarray(image)[..., 2], pixels[..., 0])


def test_a_shape_that_fits_both_layouts_follows_its_library():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    assert from_array(pixels, "x", 99, channels_first=False).size == (5, 3)
    assert from_array(pixels, "x", 99, channels_first=True).size == (3, 5)


def test_array_alpha_is_laid_on_white():
    image = from_array(np.zeros((2, 2, 4), np.uint8), "x", 99, channels_first=False)
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2, 3), np.nan), "holds NaN or infinite pixels"),
        (np.full((2, 2, 3), np.inf), "holds NaN or infinite pixels"),
        (np.full((2, 2, 3), 200.0), r"floats lie in \[200, 200\]"),
        (np.full((2, 2, 3), -0.1), r"before any normalisation"),
        (np.zeros((2, 2, 3), np.int64), "pixels are int64"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \(2, 2, 2\) is not one picture"),
        (np.zeros((8, 2, 2, 3), np.uint8), r"shape \(8, 2, 2, 3\) is not one picture"),
        (np.zeros(5, np.uint8), "is not one picture"),
        (np.zeros((0, 5, 3), np.uint8), "holds no pixels"),
        (np.zeros((10, 11), np.uint8), "11 x 10 is more than max_pixels=100"),
    ],
)
def test_arrays_that_are_no_picture(array, message):
    with pytest.raises(DataError, match=f"^x: {message}|{message}"):
        from_array(array, "x", 100, channels_first=False)
