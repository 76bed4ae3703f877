"""What a rule sees of a tokenizer, and the contract of those that move a model to another one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from tokenry.errors import UsageError
from tokenry.method.base import Method

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor


class Scribe(Protocol):
    """Writes text with the tokens of a vocabulary."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, nothing put in front of it or behind it."""

    def write(self, spelled: bytes) -> list[int]:
        """How the model alone writes these bytes, as one word; empty if it cannot."""

    def words(self, text: str) -> list[bytes]:
        """The words that a text is split into before the model sees it."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Vocab:
    """A tokenizer as a rule sees it.

    Attributes:
        name: What a person calls it.
        kind: The model of the `tokenizers` library: BPE, Unigram, WordPiece, WordLevel.
        spelled: The bytes that each token stands for, by id: a space where a word begins, whatever
            mark the tokenizer uses for it. None for tokens that stand for no text (special ones)
            and for ids that nothing has.
        pieces: The same tokens as the tokenizer itself writes them; empty where there is none.
        added: Ids that the tokenizer's model did not make.
        special: Ids of special tokens by role, such as `bos_token`; further ones by themselves.
        merges: Left, right and made token of each merge, in order; no rows unless kind is BPE.
        scores: Log-probability of each token; None unless kind is Unigram.
        scribe: Writes text with them.
    """

    name: str
    kind: str
    spelled: tuple[bytes | None, ...]
    pieces: tuple[str, ...]
    added: frozenset[int]
    special: Mapping[str, int]
    merges: Int[np.ndarray, "t 3"]
    scores: Float[np.ndarray, " v"] | None
    scribe: Scribe

    def __len__(self) -> int:
        """One more than the largest id."""
        return len(self.spelled)


@runtime_checkable
class WordVectors(Protocol):
    """Static vectors of words, such as those of fastText."""

    @property
    def counts(self) -> Mapping[str, int]:
        """The words that were learned, with how often each was seen."""

    def vectors(self, words: Sequence[str]) -> Float[np.ndarray, "n e"]:
        """A row per word; of zeros where nothing is known about it.

        Vectors that know n-grams say something about words that were not learned, too.
        """


@runtime_checkable
class Learner(Protocol):
    """Learns vectors of words from sentences."""

    def __call__(
        self, sentences: Sequence[Sequence[str]], *, width: int, epochs: int, least: int, seed: int
    ) -> WordVectors:
        """The vectors, of `width` numbers, of the words that occur at least `least` times.

        Raises:
            UsageError: If no word does.
        """


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Embeddings:
    """The rows of a model that belong to tokens.

    Attributes:
        input: What the model reads.
        output: What scores are taken with; None when that is `input` itself (tied).
        bias: Added to the scores; None when there is none.
    """

    input: Float[Tensor, "v d"]
    output: Float[Tensor, "v d"] | None = None
    bias: Float[Tensor, " v"] | None = None


class Origin(IntEnum):
    """Where the row of a token comes from."""

    COPIED = 0
    """It is the row of one source token."""
    MIXED = 1
    """It is made of rows of several source tokens."""
    PREDICTED = 2
    """A trained network made it."""
    DRAWN = 3
    """Nothing was known; it was drawn at random, or is the mean of all."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class EmbeddingRows:
    """New rows for a new vocabulary, and where each comes from.

    Attributes:
        embeddings: One row per token of the target; `output` and `bias` where the source has them.
        origin: An `Origin` per token.
        parents: Source tokens that made each row, most important first; empty where none did.
            Those of a copied row are one token.
    """

    embeddings: Embeddings
    origin: Int[Tensor, " n"]
    parents: Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Move:
    """A move from one vocabulary to another.

    Attributes:
        source: The vocabulary that the model has.
        target: The one that it shall have.
        embeddings: The model's rows for `source`.
        source_texts: Text that the model knows how to read; empty when none was given.
        target_texts: Text that it shall read; empty when none was given.
        dictionary: Words of the source's language with their translations.
        source_words: Vectors of words of the source's language; None when none were given.
        target_words: Those of the target's.
        learn: Learns such vectors from text; None when nothing that can is at hand.
        seed: Of all that is drawn.
    """

    source: Vocab
    target: Vocab
    embeddings: Embeddings
    source_texts: Sequence[str] = ()
    target_texts: Sequence[str] = ()
    dictionary: Sequence[tuple[str, str]] = ()
    source_words: WordVectors | None = None
    target_words: WordVectors | None = None
    learn: Learner | None = None
    seed: int = 0

    def learned(
        self, owner: str, sentences: Sequence[Sequence[str]], *, width: int, epochs: int, least: int
    ) -> WordVectors:
        """Vectors learned from sentences, for `owner`.

        Raises:
            UsageError: If there are no sentences, or nothing to learn with.
        """
        if not any(sentences):
            raise UsageError(
                f"{owner}: it learns vectors from text, and none was given; give some."
            )
        if self.learn is None:
            raise UsageError(
                f"{owner} learns vectors from text, but the move has no `learn`; give one, or "
                "vectors that were learned before."
            )
        return self.learn(sentences, width=width, epochs=epochs, least=least, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class VocabMap(Method):
    """Gives the tokens of a new vocabulary rows in the embeddings of a model.

    Tokens with a role (`Vocab.special`) are copied role by role by whoever calls; a method sees
    them like all others and need not mind.
    """

    noun: ClassVar[str] = "map to a new vocabulary"

    @abstractmethod
    def rows(self, move: Move) -> EmbeddingRows:
        """The rows of all tokens of the target.

        Raises:
            UsageError: If the move lacks what the method needs, such as a dictionary.
        """
