"""A second look: a linker proposes a few rows, and a language model says which are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

import numpy as np

from tokenry.card import Card
from tokenry.method import Aids, In, Linker, Matcher, Referee, Side
from tokenry.method.linker import Rows, Scored, Scores
from tokenry.method.preselected import PreselectedMatcher
from tokenry.ops.questions import same, verdict
from tokenry.ops.replies import read_verdict

_WRITTEN = 60  # tokens of a verdict
_HOW = "name a language model, such as referee='zoo:smollm2-135m' or an address."


@final
@dataclass(frozen=True, kw_only=True)
class Judged(Linker):
    """Asks a language model about the nearest rows of another linker, pair by pair.

    The score is the probability of a match: of yes against no as the next word, or what a verdict
    in JSON says with its confidence. All other pairs score 0, and so does one about which the reply
    decides nothing.

    Args:
        threshold: The probability from which on a pair is a match; None for 0.5.
        linker: What proposes pairs, by name and with settings.
        reach: How many rows it proposes for each left row.
        ask: `yes` reads the probability of the next word, which a good local model and servers with
            log-probabilities give; `verdict` reads a reply in JSON, or whatever stands for it.
        whole: Show all columns of the tables, not only the key columns.

    Raises:
        UsageError: If a setting is out of range.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="judged",
        name="Judged",
        title="A language model judges the nearest rows of another linker",
        summary="A cheap linker proposes a few rows, and a language model decides about each.",
        family="linking",
        have="a linker that finds the right row among others, and a language model",
        want="decisions by what the records mean, at a few questions for each row",
        dial="none: a linker has no share of tokens to keep",
        differs=(
            "The judge of LinkTransformer's `merge_k_judge`, for any linker: its fallback takes "
            "every reply with the word match for one, and so 'no match' too; here it denies.",
        ),
    )
    expected_failures: ClassVar[dict[str, str]] = {
        "itself": "the model of the check says by chance what fits, equal texts or not.",
        "ties": "of rows that the other linker scores alike, only the first are proposed.",
        "order": "of rows that the other linker scores alike, only the first are proposed.",
    }

    linker: Annotated[str, "what proposes pairs"] = "char-ngrams"
    reach: Annotated[int, In(1, 1000), "how many rows it proposes for each left row"] = 3
    ask: Annotated[Literal["yes", "verdict"], "how the model answers"] = "yes"
    whole: Annotated[bool, "show all columns, not only the keys"] = False

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Let the other linker propose pairs.

        Raises:
            UsageError: If no language model was named, or the other linker needs something.
        """
        referee = aids.need("Judged", "referee", _HOW)
        make = aids.need("Judged", "linker", "pass Aids(linker=tokenry.catalog.make).")
        proposed = make(self.linker).prepare(left, right, aids).nearest(self.reach)
        return _Judged(self, left, right, proposed, referee)


class _Judged(PreselectedMatcher):
    def __init__(
        self, method: Judged, left: Side, right: Side, proposed: Scored, referee: Referee
    ) -> None:
        sides = left.texts(), right.texts()
        there = [np.array([one is not None for one in side], bool) for side in sides]
        threshold = 0.5 if method.threshold is None else method.threshold
        super().__init__(proposed, there[0], there[1], right is not left, threshold)
        self._method, self._referee = method, referee
        self._sides = left, right

    def ask(self, left: Rows, right: Rows) -> Scores:
        """What the model says of these pairs."""
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        records = [(self._record(0, one), self._record(1, other)) for one, other in pairs]
        if self._method.ask == "yes":
            return np.asarray(self._referee.yes([same(*both) for both in records]))
        return _probabilities(self._referee.write([verdict(*both) for both in records], _WRITTEN))

    def _record(self, which: int, row: int) -> dict[str, Any]:
        side = self._sides[which]
        names = side.columns if self._method.whole else side.keys
        return {name: side.columns[name][row] for name in names}


def _probabilities(replies: Sequence[str]) -> Scores:
    read = [read_verdict(one) for one in replies]
    return np.array([np.nan if one is None else one.probability for one in read])
