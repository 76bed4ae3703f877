"""An encoder without a model: each word has a vector of its own, drawn from its letters."""

import contextlib
import os
import re
import zlib

import pytest
import torch

from tokenry.ops.ragged import Ragged, offsets
from tokenry.ops.similarity import unit
from tokenry.plugs.token_encoder import TokenTexts


class Words:
    """Encodes words as random directions; counts what it encoded."""

    def __init__(self, dimension=64, name="words"):
        self.dimension, self.pooled, self.name, self.encoded = dimension, dimension, name, 0

    def fingerprint(self):
        return {"model": self.name, "dimension": self.dimension}

    def encode(self, texts, mode="document"):
        self.encoded += len(texts)
        vectors, spans, counts, pooled = [], [], [], []
        for text in texts:
            found = list(re.finditer(r"\w+", text))
            rows = [self._vector(match[0].lower()) for match in found]
            vectors += rows
            spans += [match.span() for match in found]
            counts.append(len(found))
            pooled.append(sum(rows) if rows else torch.zeros(self.dimension))
        values = torch.stack(vectors) if vectors else torch.zeros(0, self.dimension)
        places = torch.tensor(spans, dtype=torch.int64).reshape(-1, 2)
        return TokenTexts(
            Ragged(values.half(), offsets(counts)), places, unit(torch.stack(pooled)).half()
        )

    def _vector(self, word):
        seed = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        source = torch.Generator().manual_seed(seed)
        return unit(torch.randn(1, self.dimension, generator=source))[0]


@pytest.fixture
def encoder():
    return Words()


@pytest.fixture(scope="session")
def words():
    """For indexes that several tests share."""
    return Words


@pytest.fixture
def not_root():
    """Root may do everything, so what is inside goes on as a user that owns nothing."""

    @contextlib.contextmanager
    def not_root():
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return not_root
