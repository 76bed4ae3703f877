"""Tiny vocabularies of two languages, and texts written with them, for the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry.method import Embeddings, Move, Usage, Vocab
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary

Kind = Literal["BPE", "Unigram", "WordPiece"]

# fmt: off
OLD = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "house",
    "mouse", "water", "fire",
)
NEW = (
    "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "Haus",
    "Maus", "Wasser", "Feuer",
)
# fmt: on
WIDTH = 6


def texts(language: Sequence[str], count: int = 24, seed: int = 0) -> list[str]:
    """Sentences of a language's words, the same on every run."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(np.array(language), 9).tolist()) for _ in range(count)]


@cache
def learned(language: tuple[str, ...], kind: Kind = "BPE") -> Vocab:
    """A vocabulary learned from a language's sentences."""
    made: Any = Tokenizer(models.BPE())
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<end>"]
    how: Any = {"special_tokens": special, "show_progress": False}
    if kind == "BPE":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, **how)
    elif kind == "Unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        how["special_tokens"] = ["<unk>", "<end>"]
        trainer = trainers.UnigramTrainer(vocab_size=60, unk_token="<unk>", **how)  # noqa: S106
    else:
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
        made.pre_tokenizer, made.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
        how["special_tokens"] = ["[UNK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=60, **how)
    made.train_from_iterator(texts(language), trainer)
    return vocabulary(made, f"{kind} of {language[0]}")


def written(vocab: Vocab) -> list[Usage]:
    """Both languages written with a vocabulary, a category each."""
    return usage([vocab], {"old": texts(OLD, seed=1), "new": texts(NEW, seed=1)}, words=True)[0]


def embeddings(vocab: Vocab, tied: bool = False, dtype: torch.dtype = torch.float32) -> Embeddings:
    """Random rows for a vocabulary, two more than it has tokens."""
    source, rows = torch.Generator().manual_seed(0), len(vocab) + 2
    first, second, third = (
        torch.randn(rows, width, generator=source).to(dtype) for width in (WIDTH, WIDTH, 1)
    )
    return Embeddings(
        input=first, output=None if tied else second, bias=None if tied else third[:, 0]
    )


def move(tied: bool = False, dtype: torch.dtype = torch.float32) -> Move:
    """From the old language to the new one, with all that a rule may learn from."""
    source = learned(OLD)
    return Move(
        source=source,
        target=learned(NEW),
        embeddings=embeddings(source, tied, dtype),
        source_texts=texts(OLD),
        target_texts=texts(NEW),
        dictionary=list(zip(OLD, NEW, strict=True)),
        learn=_learn,
    )


class _Words:
    """A vector per word, drawn by the word alone."""

    def __init__(self, counts: Mapping[str, int], width: int) -> None:
        self.counts, self._width = counts, width

    def vectors(self, words: Sequence[str]) -> Float[np.ndarray, "n e"]:
        rows = [
            np.random.default_rng([*word.encode()]).normal(size=self._width)
            if word in self.counts
            else np.zeros(self._width)
            for word in words
        ]
        return np.array(rows)


def _learn(
    sentences: Sequence[Sequence[str]], *, width: int, epochs: int, least: int, seed: int
) -> _Words:
    counts: dict[str, int] = {}
    for sentence in sentences:
        for word in sentence:
            counts[word] = counts.get(word, 0) + 1
    return _Words({word: n for word, n in counts.items() if n >= least}, width)
