"""The contract of those that judge a vocabulary: what it holds, how text is written with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tokenry.method.base import Method

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int

    from tokenry.method.vocab import Embeddings, Vocab


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Usage:
    """How the texts of one category, such as a language, are written with a vocabulary.

    Attributes:
        category: Its name.
        counts: How often each token was written.
        texts: How many texts there were; a long one may count as several.
        characters: Their characters.
        size: Their bytes in UTF-8.
        words: The words that the tokenizer splits texts into, with how often each occurred;
            of the first texts if there were many, or empty.
        sequences: The tokens of some of the texts, in order, for what counts cannot tell.
        blank_words: Their words between blanks.
        whole_words: Words between blanks of what the tokens spell that are one token each.
        split_words: Those that take several tokens.
        lengths: Bytes and tokens of each text.
        names: The document of each text.
        broken: Bytes that were not UTF-8.
        parts: The words of each of some equal parts of the texts, which `words` sums; what is
            resampled to say how sure a finding is.
        seconds: What writing them took.
    """

    category: str
    counts: Int[np.ndarray, " v"]
    texts: int
    characters: int
    size: int
    words: Mapping[bytes, int]
    sequences: Sequence[Int[np.ndarray, " n"]] = ()
    blank_words: int = 0
    whole_words: int = 0
    split_words: int = 0
    lengths: Int[np.ndarray, "texts 2"] | None = None
    names: Sequence[str] = ()
    broken: int = 0
    parts: Sequence[Mapping[bytes, int]] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number about a vocabulary.

    Attributes:
        value: The number.
        unit: What it counts, in words: "bytes per token", "% of produced tokens".
        better: Which way is better; None where neither is.
        low: Lower end of its interval; None where there is none.
        high: Upper end of it.
    """

    value: float
    unit: str
    better: Literal["high", "low"] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a judge found.

    Attributes:
        figures: The numbers by name; of a category as `name/category`.
        tables: Longer lists by name, each row a mapping from column to text or number.
        notes: What a reader must know to understand them, such as what could not be told.
    """

    figures: Mapping[str, Figure]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judge(Method):
    """Says what a vocabulary is like. It reads nothing but its arguments."""

    noun: ClassVar[str] = "judge of vocabularies"
    reads_words: ClassVar[bool] = False
    """Whether it needs `Usage.words`, which take as long to count as the tokens."""
    categories: ClassVar[int] = 0
    """How many categories it needs at least."""
    reads_rows: ClassVar[bool] = False
    """Whether it has something to say of a model's rows, by `judge_rows`."""

    @abstractmethod
    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """What the vocabulary is like.

        Args:
            vocab: The vocabulary.
            usage: How text is written with it, a category each; judges of the vocabulary alone
                take none.

        Raises:
            UsageError: If something is missing that this judge needs, such as text or merges.
        """

    def judge_rows(self, vocab: Vocab, embeddings: Embeddings) -> Findings:
        """What the rows of a model with this vocabulary tell besides; nothing, of most judges.

        Args:
            vocab: The vocabulary.
            embeddings: The model's rows.

        Raises:
            UsageError: If the rows are not those of the vocabulary.
        """
        return Findings(figures={})
