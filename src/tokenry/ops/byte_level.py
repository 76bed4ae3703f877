"""What stands around a model of the `tokenizers` library that reads the byte alphabet."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers

LINE = 512
"""Most letters of a line that are read as one piece; longest-prefix search is quadratic in it."""


def by_words(model: Any) -> Tokenizer:
    """A tokenizer that splits into words as GPT-2's does; any text comes back as it was.

    Args:
        model: A model of the `tokenizers` library, or a class of one.
    """
    return _around(model, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))


def by_lines(model: Any) -> Tokenizer:
    """A tokenizer whose tokens may hold spaces but end with their line, at most `LINE` letters.

    Args:
        model: A model of the `tokenizers` library.
    """
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split("\n", "merged_with_previous")
    steps = [split, pre_tokenizers.FixedLength(LINE), letters]
    return _around(model, pre_tokenizers.Sequence(steps))


def _around(model: Any, split: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
