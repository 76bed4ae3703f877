"""k-mers side by side: what genome vocabularies are measured against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Annotated, ClassVar, final

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tokenry.card import Card
from tokenry.method import In, TokenizerTrainer
from tokenry.ops.genome import BASES, UNKNOWN


@final
@dataclass(frozen=True, kw_only=True)
class Kmer(TokenizerTrainer):
    """Cuts bases into pieces of k; nothing is learned.

    All k-mers over A, C, G and T are tokens, and all shorter ones, for ends and for what lies
    before an N. An insertion shifts every token behind it. Overlapping k-mers, a token for every
    base, are `tokenry.ops.genome.kmers`.

    Args:
        size: Most tokens, special ones included.
        k: Bases of a token.

    Raises:
        UsageError: If `size` does not hold all k-mers.
    """

    card: ClassVar[Card] = Card(
        slug="kmer",
        name="k-mers",
        title="Pieces of k bases, side by side",
        summary="Cuts a genome into pieces of k bases.",
        family="vocab",
        have="genomes",
        want="a vocabulary to measure others against",
        dial="none: there is no keep; `k` says how long tokens are",
    )

    k: Annotated[int, In(1, 8), "bases of a token"] = 6

    expected_failures: ClassVar[dict[str, str]] = {
        "nothing": "all k-mers there can be are its tokens, whatever the texts hold",
    }

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer; texts are not looked at.

        Raises:
            UsageError: If `size` does not hold all k-mers.
        """
        special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
        words = ["".join(w) for n in range(1, self.k + 1) for w in product(BASES, repeat=n)]
        tokens = [*special, UNKNOWN, *words]
        self.room(len(tokens))
        vocab = {token: place for place, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))  # noqa: S106 - a token
        capitals = [normalizers.Replace(base.lower(), base) for base in BASES + UNKNOWN]
        tokenizer.normalizer = normalizers.Sequence(capitals)
        cut = [pre_tokenizers.Split(UNKNOWN, "isolated"), pre_tokenizers.FixedLength(self.k)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), *cut])
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens(special)
        return tokenizer
