"""Byte pair encoding as `tokenizers` trains it: what other vocabularies are measured against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, final

from tokenizers import Tokenizer, models, trainers

from tokenry.alphabet import LETTERS
from tokenry.card import Card
from tokenry.method import END, TokenizerTrainer
from tokenry.ops.byte_level import by_words
from tokenry.progress import shown


@final
@dataclass(frozen=True, kw_only=True)
class Bpe(TokenizerTrainer):
    """Joins the most frequent pair of neighbours until the vocabulary is full.

    Text is split into words as GPT-2 does; the letters are bytes, so that every text can be
    written and comes back as it was.

    Args:
        size: Most tokens, special ones included; 257 hold the bytes and the end of a text.

    Raises:
        UsageError: If `size` is too small.
    """

    card: ClassVar[Card] = Card(
        slug="bpe",
        name="BPE",
        title="Byte pair encoding over bytes, as GPT-2 has it",
        summary="Joins the most frequent pair of neighbours: what most models' vocabularies are.",
        family="vocab",
        have="texts",
        want="a vocabulary to measure others against",
        dial="none: there is no keep; `size` says how many tokens there may be",
    )

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If `size` is below 257, or the texts hold nothing to learn from.
        """
        self.room(1 + len(LETTERS))
        tokenizer = by_words(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=self.size,
            special_tokens=[END],
            initial_alphabet=list(LETTERS),
            show_progress=shown(),
        )
        tokenizer.train_from_iterator(self.some(texts), trainer)
        return tokenizer
