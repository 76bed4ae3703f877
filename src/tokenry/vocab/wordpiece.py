"""A vocabulary that text is written with by longest prefix, words split from each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, final

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenry.alphabet import LETTERS
from tokenry.card import Card
from tokenry.method import END, TokenizerTrainer
from tokenry.ops.byte_level import LINE, by_words
from tokenry.progress import shown


@final
@dataclass(frozen=True, kw_only=True)
class WordPiece(TokenizerTrainer):
    """Learns tokens as BPE does, and writes a word with the longest token that begins it.

    The letters are bytes and none is marked as inside a word, so that every text can be written
    and comes back as it was; BERT's has unknown words instead. Words of more than 512 letters are
    cut.

    Args:
        size: Most tokens, special ones included; 257 hold the bytes and the end of a text.

    Raises:
        UsageError: If `size` is too small.
    """

    card: ClassVar[Card] = Card(
        slug="wordpiece",
        name="WordPiece",
        title="Longest-prefix tokens inside words, over bytes",
        summary="Writes each word with the longest token that begins it, then the rest.",
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
        tokenizer = by_words(models.WordPiece(max_input_chars_per_word=LINE))
        cut = [tokenizer.pre_tokenizer, pre_tokenizers.FixedLength(LINE)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
        trainer = trainers.WordPieceTrainer(
            vocab_size=self.size,
            special_tokens=[END],
            initial_alphabet=list(LETTERS),
            show_progress=shown(),
            continuing_subword_prefix="",
        )
        tokenizer.train_from_iterator(self.some(texts), trainer)
        return tokenizer
