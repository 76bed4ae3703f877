"""Static vectors of words by gensim: learned from sentences, or read from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tokenry.errors import DataError, MissingExtraError, UsageError
from tokenry.method import WordVectors

_EXTRA = 'pip install "tokenry[vocab]"'


def learn_words(
    sentences: Sequence[Sequence[str]],
    *,
    width: int = 100,
    epochs: int = 5,
    least: int = 5,
    seed: int = 0,
) -> WordVectors:
    """Vectors of words and of their n-grams, as fastText learns them (CBOW, 10 negatives).

    Args:
        sentences: Words in order.
        width: Numbers in a vector.
        epochs: How often the sentences are read.
        least: How often a word occurs at least.
        seed: Of all that is drawn; the same one gives the same vectors.

    Raises:
        UsageError: If no word occurs often enough.
        MissingExtraError: If gensim is not installed.
    """
    model = _models().FastText(
        vector_size=width, min_count=least, negative=10, sg=0, workers=1, seed=seed
    )
    model.build_vocab(sentences)
    if not len(model.wv):
        raise UsageError(
            f"learn_words: no word occurs {least} times in {len(sentences)} sentences; give more "
            "text, or a smaller least."
        )
    model.train(sentences, total_examples=len(sentences), epochs=epochs)
    return _Vectors(model.wv)


def read_words(path: str | Path, limit: int | None = None) -> WordVectors:
    """Vectors from a file.

    Args:
        path: Of fastText: a .bin file, which knows n-grams, or its text form (.vec; also packed as
            .vec.gz), which knows whole words only.
        limit: At most so many words, the most frequent; for the text form.

    Raises:
        DataError: If there is no such file, or it holds something else.
        MissingExtraError: If gensim is not installed.
    """
    models = _models()
    path = Path(path).expanduser()
    try:
        if path.suffix == ".bin":
            return _Vectors(models.fasttext.load_facebook_vectors(str(path)))
        return _Vectors(models.KeyedVectors.load_word2vec_format(str(path), limit=limit))
    except (OSError, ValueError, NotImplementedError, EOFError) as error:
        raise DataError(
            f"{path}: cannot be read as word vectors ({error}); give a .bin or .vec file of "
            "fastText."
        ) from error


def _models() -> Any:
    try:
        from gensim import models
    except ImportError as error:
        raise MissingExtraError("learning or reading word vectors", _EXTRA) from error
    return models


class _Vectors:
    """Vectors that gensim holds."""

    def __init__(self, held: Any) -> None:
        self._held = held
        self._ngrams = hasattr(held, "vectors_ngrams")

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """The words that were learned, with how often each was seen."""
        held = self._held
        return {word: int(held.get_vecattr(word, "count")) for word in held.index_to_key}

    def vectors(self, words: Sequence[str]) -> Float[np.ndarray, "n e"]:
        """A row per word; of zeros where nothing is known about it."""
        found = np.zeros((len(words), self._held.vector_size), dtype=np.float32)
        for row, word in zip(found, words, strict=True):
            if word and (self._ngrams or word in self._held.key_to_index):
                row[:] = self._held[word]
        return found
