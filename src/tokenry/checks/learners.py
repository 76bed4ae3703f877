"""Checks of what a `TokenizerTrainer` learns, from texts that every one of them takes."""

from __future__ import annotations

from functools import cache

import numpy as np
from tokenizers import Tokenizer

from tokenry.errors import UsageError
from tokenry.method import TokenizerTrainer

SIZE = 6000
"""Tokens that may be learned: room for all runs of six letters."""


def bases(count: int = 8, seed: int = 0) -> list[str]:
    """Texts of A, C, G and T: those that learn from genomes take no others."""
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice([*"ACGT"], 50, p=(0.4, 0.3, 0.2, 0.1))) for _ in range(count)]


def _made(cls: type[TokenizerTrainer]) -> TokenizerTrainer:
    """The method with room for much, as it is set for a few texts."""
    return cls(size=SIZE, **cls.for_few_texts)


@cache
def _learned(cls: type[TokenizerTrainer]) -> tuple[Tokenizer, str]:
    """What it learns, and how it changed."""
    method = _made(cls)
    before = repr(vars(method))
    made = method.train(bases())
    after = repr(vars(method))
    return made, "" if before == after else f"the method changed: {before} became {after}."


def size(cls: type[TokenizerTrainer]) -> str:
    """There are no more tokens than `size`, with special and added ones."""
    made = _learned(cls)[0].get_vocab_size(with_added_tokens=True)
    return f"it makes {made} tokens, not at most {SIZE}." if made > SIZE else ""


def repeat(cls: type[TokenizerTrainer]) -> str:
    """The same texts give the same tokenizer."""
    one, other = _learned(cls)[0], _made(cls).train(bases())
    return "" if one.to_str() == other.to_str() else "the same texts give different tokenizers."


def written(cls: type[TokenizerTrainer]) -> str:
    """Every letter of a text is in the tokens, in order, also of texts it has not seen."""
    made, _ = _learned(cls)
    for text in bases(8, seed=1):
        spans = [span for span in made.encode(text).offsets if span[0] < span[1]]
        if {place for start, end in spans for place in range(start, end)} != {*range(len(text))}:
            return "a letter of a text is in none of its tokens."
        if spans != sorted(spans):
            return "the tokens of a text are not in the order of the text."
    return ""


def saved(cls: type[TokenizerTrainer]) -> str:
    """Its file gives a tokenizer that writes the same."""
    made, _ = _learned(cls)
    again = Tokenizer.from_str(made.to_str())
    same = all(again.encode(text).ids == made.encode(text).ids for text in bases(8, seed=1))
    return "" if same else "the tokenizer writes otherwise once it was saved."


def nothing(cls: type[TokenizerTrainer]) -> str:
    """Texts that hold nothing are refused with a reason."""
    for texts in ([], [""]):
        try:
            _made(cls).train(texts)
        except UsageError:
            continue
        return f"it learns something from {texts}."
    return ""


def untouched(cls: type[TokenizerTrainer]) -> str:
    """The method stays as it is."""
    return _learned(cls)[1]
