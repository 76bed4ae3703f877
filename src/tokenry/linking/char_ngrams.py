"""The classical linker: texts are alike when they share rare runs of three characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.method import Aids, In, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.grams import LONGEST, spelled, tfidf
from tokenry.ops.nearest import Ranked, sparse_nearest, sparse_products

_THRESHOLD = 0.5
_NAMED = 12
"""Grams that `parts` names; the others are one part."""


@final
@dataclass(frozen=True, kw_only=True)
class CharNgrams(Linker):
    r"""The cosine of TF-IDF weights of all runs of n characters in the key columns.

    $s = \sum_g w_{lg} w_{rg}$ with $w_{tg} \propto f_{tg} (\ln \frac{1 + N}{1 + n_g} + 1)$, rows
    of length one; N counts the rows of both tables, $n_g$ those that hold the gram.

    Args:
        threshold: The score from which on a pair is a match; None for what known pairs say,
            or 0.5 without them.
        n: Characters of a run; a space stands before and after each text.

    Raises:
        UsageError: If a setting is out of range.

    >>> left = Side(columns={"name": ["arnie mortons"]}, keys=("name",), count=1)
    >>> right = Side(columns={"name": ["hotel", "arnie mortin s"]}, keys=("name",), count=2)
    >>> CharNgrams().prepare(left, right, Aids()).nearest(1).right
    array([1])
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="char-ngrams",
        name="Character n-grams",
        title="Cosine of TF-IDF weights of runs of three characters",
        summary="No model, seconds for thousands of rows, and on names and addresses hard to beat.",
        family="linking",
        have="names, addresses or titles that are spelled almost alike",
        want="matches in seconds, and the bar that a neural linker has to clear",
        dial="none: a linker has no share of tokens to keep",
        claims=(
            Claim(
                paper="No paper: the classical scorer that neural linkers are to be shown beside.",
                effect="Its best F1 is above that of edit similarity and of equal texts.",
                test="tests/linking/test_classical_claims.py::test_claim_rare_runs_find_more",
                measured="500 x 500 emoji names, mutual best pairs: .739 (fuzzy .596, exact .393).",
            ),
            Claim(
                paper="No paper: the reference point of Fodors-Zagats, 112 true pairs.",
                effect="The best of each restaurant is the true one by name, address and city.",
                test="tests/linking/test_classical_claims.py::test_claim_restaurants",
                measured="best one right .973 by name, 1.000 by name, address and city; F1 at the "
                "best threshold, mutual best pairs, .919 and .973.",
            ),
            Claim(
                paper="No paper: FEBRL4, 5,000 persons in two tables, ten columns as one text.",
                effect="One to one, precision and recall are at least .99 at the usual threshold.",
                test="tests/linking/test_classical_claims.py::test_claim_persons",
                measured="precision 1.000, recall .9986 at 0.5; both 1.000 at 0.41.",
            ),
        ),
    )

    n: Annotated[int, In(1, LONGEST), "how many characters a run has"] = 3

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Weigh the grams of both tables."""
        texts = left.texts()
        others = texts if right is left else right.texts()
        matcher = _Cosine(texts, others, self.n, _THRESHOLD)
        matcher.threshold = self.cut(matcher, aids.known, _THRESHOLD)
        return matcher


class _Cosine(PresentMatcher):
    def __init__(
        self, left: Sequence[str | None], right: Sequence[str | None], n: int, threshold: float
    ) -> None:
        super().__init__(left, right, threshold)
        self._n = n
        self._grams = tfidf(self.left, self.right, n)

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """The cosine of each pair."""
        return sparse_products(self._grams.left, self._grams.right, left, right)

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The right rows of the highest cosine."""
        both = self._grams.left, self._grams.right
        return sparse_nearest(*both, k, least, itself=self.itself, rows=rows)

    def shares(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What each shared gram adds: the heaviest by name, then all others."""
        both = self._grams.left[left].multiply(self._grams.right[right]).tocsc()
        weights = np.asarray(both.sum(axis=0)).ravel()
        order = np.argsort(-weights, kind="stable")
        order = order[weights[order] > 0]
        named, others = order[:_NAMED], order[_NAMED:]
        names = spelled(self._grams.codes[named], self._n)
        found = {
            repr(name): both[:, [at]].toarray().ravel()
            for name, at in zip(names, named, strict=True)
        }
        if len(others):
            found["other grams"] = np.asarray(both[:, others].sum(axis=1)).ravel()
        return found
