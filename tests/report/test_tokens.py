import io
import re

import numpy as np
import pytest
import vl_convert
from PIL import Image

from tokenry.errors import StoreError
from tokenry.report import tokens

RED, BLUE = (200, 0, 0), (0, 0, 100)


@pytest.fixture
def halves():
    image = Image.new("RGB", (40, 40), RED)
    image.paste(BLUE, (20, 0, 40, 40))
    return image


def draw(groups, image):
    rows, cols = groups.shape
    overlay = tokens.overlay(groups, image)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{cols * 10}" height="{rows * 10}" '
        f'viewBox="0 0 {cols} {rows}"><style>.seam{{display:none}}.hatch{{display:none}}'
        f".gone{{fill:#000}}</style>{overlay}</svg>"
    )
    return np.asarray(Image.open(io.BytesIO(vl_convert.svg_to_png(svg))).convert("RGBA"))


def test_a_group_is_one_tile_in_its_mean_colour(halves):
    groups = np.array([[0, 0], [1, 2]], np.int16)
    pixels = draw(groups, halves)
    mean = (100, 0, 50, 255)
    assert tuple(pixels[5, 5]) == tuple(pixels[5, 15]) == mean
    assert pixels[15, 5, 3] == pixels[15, 15, 3] == 0


def test_a_group_apart_is_one_element(halves):
    groups = np.array([[0, 1], [2, 0]], np.int16)
    assert re.findall(r'fill="(#\w+)"', tokens.overlay(groups, halves)) == ["#640032"]


def test_dropped_patches_are_covered_and_hatched(halves):
    groups = np.array([[0, -1], [1, -1]], np.int16)
    overlay = tokens.overlay(groups, halves)
    assert '<path class="gone" d="M1 0h1v1h-1zM1 1h1v1h-1z"/>' in overlay
    assert '<path class="hatch"' in overlay
    assert draw(groups, halves)[5, 15].tolist() == [0, 0, 0, 255]


def test_everything_dropped(halves):
    overlay = tokens.overlay(np.full((2, 2), -1, np.int16), halves)
    assert overlay.count("h2v1") == 4


def test_untouched_image_has_no_seams(halves):
    groups = np.arange(4, dtype=np.int16).reshape(2, 2)
    assert tokens.overlay(groups, halves) == '<path class="seam" d=""/>'


def test_seams_part_groups_and_nothing_else(halves):
    groups = np.array([[0, 0, 1], [0, 0, 2]], np.int16)
    assert tokens.overlay(groups, halves).endswith('<path class="seam" d="M2 0v2"/>')


def test_every_patch_is_covered_once(halves):
    groups = np.random.default_rng(0).integers(-1, 5, (7, 9)).astype(np.int16)
    opaque = draw(groups, halves)[5::10, 5::10, 3] == 255
    sizes = np.bincount(groups[groups >= 0])
    assert (opaque == ((groups < 0) | (sizes[groups.clip(0)] > 1))).all()


def test_data_uri_is_small_webp():
    uri = tokens.data_uri(Image.effect_noise((2000, 1000), 60).convert("RGB"))
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < 120_000


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000)])
def test_refuses_a_huge_picture(size):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    with pytest.raises(StoreError, match="at most 4096 x 4096"):
        tokens.image(buffer.getvalue())


def test_light_is_mostly_white(halves):
    assert tokens.is_light(Image.new("RGB", (4, 4), "white"))
    assert not tokens.is_light(halves)
