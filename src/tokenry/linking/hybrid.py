"""Several linkers as one: what each says, brought to one scale and added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Float

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Aids, In, Linker, Matcher, Scored, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.logistic import Logistic, logistic
from tokenry.ops.nearest import ALL, first_of_each, rounded


@final
@dataclass(frozen=True, kw_only=True)
class Hybrid(Linker):
    r"""The mean of several linkers' scores, or what labelled pairs say that each is worth.

    Without labels, each score s is brought to a scale on which the linker's own threshold t is a
    half, $\frac{s}{2t}$ below it and $\frac12 + \frac{s-t}{2(1-t)}$ above, and the score is the
    mean. With labelled pairs (`known`) it is the log odds of a logistic regression on the scores.
    A linker that finds a side empty is left out for that pair.

    Args:
        threshold: The score from which on a pair is a match; None for a half, or for the
            log odds with the greatest F1 on labelled pairs.
        linkers: Names of at least two linkers, settings and all: `fuzzy(scorer=jaro-winkler)`.
            None for char-ngrams with linktransformer where an encoder is given, and with fuzzy
            where none is.
        reach: How many best pairs of each linker are looked at for each row at least; what none
            of them has among so many is not found.

    Raises:
        UsageError: If a setting is out of range, or fewer than two linkers are named.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="hybrid",
        name="Hybrid",
        title="Several linkers as one, with labelled pairs or without",
        summary="Letters and meaning fail on different pairs; together they miss fewer.",
        family="linking",
        have="linkers that are right in different places",
        want="one score of all, and to see what each adds to it",
        dial="none: a linker has no share of tokens to keep",
        claims=(
            Claim(
                paper="No paper: two linkers that fail on different pairs find more together.",
                effect="Without labels, char-ngrams with linktransformer has a higher F1 at its "
                "best threshold than either alone, and falls short of neither elsewhere.",
                test="tests/linking/test_classical_claims.py::test_claim_two_find_more_than_one",
                measured="best F1, mutual best pairs, MiniLM: 500 x 500 emoji names .768 (letters "
                ".739, MiniLM .753); Fodors-Zagats by name .924 (.919, .903), by name, address "
                "and city .978 (.973, .954).",
            ),
        ),
    )

    linkers: Annotated[
        tuple[str, ...] | None, "names of the linkers that are combined, or None for two"
    ] = None
    reach: Annotated[int, In(1, 10_000), "best pairs of each linker that are looked at"] = 10

    def __post_init__(self) -> None:
        Linker.__post_init__(self)
        if self.linkers is not None and len(set(self.linkers)) < max(2, len(self.linkers)):
            raise UsageError(
                f"Hybrid: linkers={self.linkers!r}; linkers are at least two names, none twice."
            )

    def highest(self, aids: Aids) -> float:
        """Log odds have no end."""
        return self.top if aids.known is None else np.inf

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Let each linker read both tables.

        Raises:
            UsageError: If nothing gives linkers by name, a linker needs what was not given, or
                one has no threshold between 0 and 1 and there are no labelled pairs.
        """
        make = aids.need("Hybrid", "linker", "pass Aids(linker=tokenry.catalog.make).")
        second = "fuzzy" if aids.embed is None else "linktransformer"
        names = self.linkers or ("char-ngrams", second)
        matchers = {name: make(name).prepare(left, right, aids) for name in names}
        shape = left.count, right.count
        if aids.known is not None:
            known = aids.known
            scores = _scores(matchers, known.left, known.right)
            rule = logistic(scores, known.score > 0.5)
            learned = _Learned(matchers, self.reach, shape, 0.0, rule)
            learned.threshold = self.cut(learned, known, 0.0)
            return learned
        for name, matcher in matchers.items():
            if not 0 < matcher.threshold <= 1:
                raise UsageError(
                    f"Hybrid: {name} takes pairs from {matcher.threshold:g} on, which is no "
                    "share of 1; give it a threshold between 0 and 1, or give labelled pairs."
                )
        return _Mean(matchers, self.reach, shape, 0.5 if self.threshold is None else self.threshold)


class _Combined(Matcher):
    """Candidates of all linkers, each scored by all."""

    def __init__(
        self,
        matchers: Mapping[str, Matcher],
        reach: int,
        shape: tuple[int, int],
        threshold: float,
    ) -> None:
        self.threshold = threshold
        self.matchers, self.reach, self.shape = matchers, reach, shape
        self.portion = min(one.portion for one in matchers.values())

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The k best of all that a linker has among its own best."""
        wide = max(k, self.reach)
        found = [one.nearest(wide, rows=rows) for one in self.matchers.values()]
        codes = np.concatenate([one.left * self.shape[1] + one.right for one in found])
        left, right = np.divmod(np.unique(codes), max(1, self.shape[1]))
        best = first_of_each(left, right, self.score(left, right), k, least)
        return Scored(*best)

    def score(self, left: Rows, right: Rows) -> Scores:
        """The sum of the parts."""
        parts = self.parts(left, right)
        return rounded(sum(parts.values(), np.zeros(len(left))))


class _Mean(_Combined):
    def parts(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """Each linker's score on the common scale, over how many of them have one."""
        scores = _scores(self.matchers, left, right)
        there = ~np.isnan(scores)
        count = there.sum(1)
        found = {}
        for at, (name, matcher) in enumerate(self.matchers.items()):
            share = np.where(there[:, at], _on_scale(scores[:, at], matcher.threshold), 0.0)
            found[name] = np.divide(share, count, out=np.full(len(count), np.nan), where=count > 0)
        return found


class _Learned(_Combined):
    def __init__(
        self,
        matchers: Mapping[str, Matcher],
        reach: int,
        shape: tuple[int, int],
        threshold: float,
        rule: Logistic,
    ) -> None:
        super().__init__(matchers, reach, shape, threshold)
        self.rule = rule

    def parts(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What each linker adds to the log odds of a labelled pair with average scores."""
        scores = _scores(self.matchers, left, right)
        base = np.where(np.isnan(scores).all(1), np.nan, self.rule.base)
        shares = self.rule.shares(scores).T
        return {"base": base, **dict(zip(self.matchers, shares, strict=True))}


def _scores(matchers: Mapping[str, Matcher], left: Rows, right: Rows) -> Float[np.ndarray, "m f"]:
    return np.column_stack([one.score(left, right) for one in matchers.values()])


def _on_scale(scores: Scores, threshold: float) -> Scores:
    """0 at 0, a half at the threshold, 1 at 1, straight between them and beyond."""
    below = scores / (2 * threshold)
    above = 0.5 + (scores - threshold) / (2 * max(1 - threshold, 1e-9))
    return np.where(scores < threshold, below, above)
