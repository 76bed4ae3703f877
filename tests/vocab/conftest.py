"""Tiny vocabularies and moves between them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

OLD = ("one", "two", "three", "four", "five", "six", "seven", "eight")
NEW = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht")


def _vocabulary(made):
    from tokenry.plugs.vocabulary import vocabulary

    return vocabulary(made)


class Words:
    """Word vectors from a mapping."""

    def __init__(self, table, counts=None):
        self.table, self.counts = table, counts or dict.fromkeys(table, 1)

    def vectors(self, words):
        nothing = np.zeros_like(next(iter(self.table.values())))
        return np.stack([self.table.get(word, nothing) for word in words])


def words(*pieces):
    made = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, "?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return _vocabulary(made)


def letters(*merges):
    """A byte-level tokenizer with these merges."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(pair) for pair in merges]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return _vocabulary(made)


def rows(count, width=5, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def move(source, target, **more):
    from tokenry.method import Embeddings, Move

    n = len(source)
    embeddings = Embeddings(
        input=rows(n + 2), output=rows(n + 2, 6, 1), bias=rows(n + 2, 1, 2)[:, 0]
    )
    return Move(source=source, target=target, **{"embeddings": embeddings, **more})


def random_words(names, width=6, seed=0):
    table = np.random.default_rng(seed).normal(size=(len(names), width))
    return Words(dict(zip(names, table, strict=True)))


def tables(made):
    return made.embeddings.input, made.embeddings.output, made.embeddings.bias[:, None]


def given(one):
    return one.embeddings.input, one.embeddings.output, one.embeddings.bias[:, None]


@pytest.fixture(scope="session")
def moves():
    """Two languages of eight words, and what makes vocabularies, vectors and moves of them."""
    return SimpleNamespace(
        old=OLD,
        new=NEW,
        Words=Words,
        words=words,
        letters=letters,
        rows=rows,
        move=move,
        random_words=random_words,
        tables=tables,
        given=given,
    )
