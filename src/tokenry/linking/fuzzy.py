"""Edit similarity of whole texts, by rapidfuzz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from tokenry.card import Card
from tokenry.errors import MissingExtraError
from tokenry.method import Aids, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.nearest import Ranked, nearest_by, rounded

Scorer = Literal["token-sort", "jaro-winkler"]

_THRESHOLDS: dict[Scorer, float] = {"token-sort": 0.8, "jaro-winkler": 0.9}


@final
@dataclass(frozen=True, kw_only=True)
class Fuzzy(Linker):
    """How few letters differ: by inserting and deleting with words sorted, or by Jaro-Winkler.

    Args:
        threshold: The score from which on a pair is a match; None for what known pairs say,
            or without them for 0.8, and 0.9 by Jaro-Winkler.
        scorer: "token-sort" is 1 minus insertions and deletions over both lengths, words in
            alphabetical order; "jaro-winkler" rewards a common beginning, for short names.

    Raises:
        UsageError: If a setting is out of range.

    >>> left = Side(columns={"name": ["bel air hotel"]}, keys=("name",), count=1)
    >>> right = Side(columns={"name": ["hotel bel air", "hotel"]}, keys=("name",), count=2)
    >>> Fuzzy().prepare(left, right, Aids()).nearest(2).score.round(3).tolist()
    [1.0, 0.556]
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="fuzzy",
        name="Fuzzy",
        title="Edit similarity of whole texts: token sort or Jaro-Winkler",
        summary="What most people reach for first; slower than character n-grams on long tables.",
        family="linking",
        have="short names with typing errors, or with their words in another order",
        want="scores that people can check by counting letters",
        dial="none: a linker has no share of tokens to keep",
    )

    scorer: Annotated[Scorer, "how two texts are compared"] = "token-sort"

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Put the texts into the form that is compared.

        Raises:
            MissingExtraError: If rapidfuzz is not installed.
        """
        try:
            from rapidfuzz import distance
        except ImportError as error:
            raise MissingExtraError("Fuzzy", 'pip install "tokenry[linking]"') from error
        by: Callable[..., float] = distance.JaroWinkler.normalized_similarity
        texts = left.texts()
        others = texts if right is left else right.texts()
        if self.scorer == "token-sort":  # as token_sort_ratio, and words are sorted once
            by = distance.Indel.normalized_similarity
            texts = _sorted(texts)
            others = texts if right is left else _sorted(others)
        usual = _THRESHOLDS[self.scorer]
        matcher = _Edits(texts, others, by, usual)
        matcher.threshold = self.cut(matcher, aids.known, usual)
        return matcher


def _sorted(texts: Sequence[str | None]) -> list[str | None]:
    return [None if text is None else " ".join(sorted(text.split())) for text in texts]


class _Edits(PresentMatcher):
    def __init__(
        self,
        left: Sequence[str | None],
        right: Sequence[str | None],
        by: Callable[..., float],
        threshold: float,
    ) -> None:
        super().__init__(left, right, threshold)
        self._by = by

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """The similarity of each pair."""
        from rapidfuzz import process

        found = process.cpdist(
            [self.left[row] for row in left],
            [self.right[row] for row in right],
            scorer=self._by,
            dtype=np.float64,
        )
        return rounded(found)

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The most similar right rows, some thousand at a time."""
        from rapidfuzz import process

        def score(some: slice, others: slice) -> Float[np.ndarray, "t u"]:
            table: Any = process.cdist(
                self.left[some], self.right[others], scorer=self._by, dtype=np.float64
            )
            return np.asarray(table)

        shape = len(self.left), len(self.right)
        return nearest_by(score, shape, k, least, itself=self.itself, rows=rows)
