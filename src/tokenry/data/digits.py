"""Handwritten digits that come with scikit-learn."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image

from tokenry.data.examples import Example, ImageData
from tokenry.data.pictures import Pixels
from tokenry.errors import MissingExtraError


def digits() -> ImageData:
    """Return 1,797 handwritten digits of 8 x 8 pixels, labelled "0" to "9".

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("the data 'digits'", 'pip install "tokenry[data]"') from error
    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # ink from 0 to 16
    return ImageData(
        name="digits",
        examples=tuple(
            Example(str(i), str(label), None, None, {}, Pixels(partial(_picture, grey[i])))
            for i, label in enumerate(bunch.target)
        ),
        license="CC BY 4.0, E. Alpaydin and C. Kaynak",
        source="UCI Optical Recognition of Handwritten Digits (test part), through scikit-learn",
    )


def _picture(grey: np.ndarray) -> Image.Image:
    return Image.fromarray(grey).convert("RGB")
