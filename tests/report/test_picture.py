import io

import numpy as np
import pytest
from PIL import Image

from tokenry.errors import StoreError
from tokenry.report.picture import picture


def read(path):
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def test_draws_plot_and_tokens(build, tmp_path):
    pixels = read(picture(build(), tmp_path / "a.png"))
    assert pixels.shape == (740, 1600, 3)
    plot, strip = pixels[140:, :950], pixels[:, 1000:]
    assert (plot == (11, 95, 211)).all(-1).sum() > 200
    assert (strip.std(-1) > 20).mean() > 0.3


def test_without_pictures_the_plot_takes_the_width(build, tmp_path):
    pixels = read(picture(build(groups=lambda *_: None), tmp_path / "a.png"))
    assert (pixels[140:650, 1200:1560] != 255).any()


def test_names_a_path_that_cannot_be_written(build, tmp_path):
    with pytest.raises(StoreError, match=r"picture: .*cannot be written"):
        picture(build(groups=lambda *_: None), tmp_path / "missing" / "a.png")
