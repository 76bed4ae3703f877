"""A unigram vocabulary as `tokenizers` trains it: what others are measured against."""

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
class Unigram(TokenizerTrainer):
    """Takes away, from many candidates, the tokens that the likelihood of the text needs least.

    Text is split into words as GPT-2 does; the letters are bytes, so that every text can be
    written and comes back as it was.

    Args:
        size: Most tokens, special ones included; 257 hold the bytes and the end of a text.

    Raises:
        UsageError: If `size` is too small.
    """

    card: ClassVar[Card] = Card(
        slug="unigram",
        name="Unigram",
        title="A unigram language model over pieces, as SentencePiece has it, over bytes",
        summary="Each token has a probability, and a text is written in the likeliest way.",
        family="vocab",
        have="texts",
        want="a vocabulary to measure others against",
        dial="none: there is no keep; `size` says how many tokens there may be",
    )

    expected_failures: ClassVar[dict[str, str]] = {
        "repeat": "the library sums in an order that changes from run to run, and scores with it",
    }

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts.

        The library adds up in an order that changes from run to run: the scores of the tokens
        differ by about a hundredth, and where candidates are nearly even so may the tokens.

        Raises:
            UsageError: If `size` is below 257, or the texts hold nothing to learn from.
        """
        self.room(1 + len(LETTERS))
        tokenizer = by_words(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=self.size,
            special_tokens=[END],
            initial_alphabet=list(LETTERS),
            show_progress=shown(),
        )
        tokenizer.train_from_iterator(self.some(texts), trainer)
        return tokenizer
