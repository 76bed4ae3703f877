from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def red() -> Image.Image:
    return Image.new("RGB", (6, 4), (255, 0, 0))


@pytest.fixture
def noise() -> Image.Image:
    """A picture whose file is long enough to be cut."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8))


@pytest.fixture
def folder(tmp_path: Path, noise: Image.Image) -> Path:
    """Two classes of three pictures each."""
    root = tmp_path / "pets"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for i in range(3):
            noise.rotate(90 * i, expand=True).save(root / label / f"{i}.png")
    return root
