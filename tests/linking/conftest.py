"""A stand-in for an encoder: letters in threes, hashed into 256 places."""

from __future__ import annotations

import zlib

import numpy as np
import pytest


class Trigrams:
    """Counts what it is asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        found = np.zeros((len(texts), 256))
        for row, text in zip(found, texts, strict=True):
            padded = f"  {text.casefold()} "
            for i in range(len(padded) - 2):
                row[zlib.crc32(padded[i : i + 3].encode()) % 256] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def trigrams():
    return Trigrams()
