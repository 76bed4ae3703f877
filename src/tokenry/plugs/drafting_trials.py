"""Drafts in thought: made while no draft is verified, and held against what is written then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Trial:
    """A draft that no pass verifies; the tokens that follow say what would have passed.

    Args:
        tokens: The drafted tokens.
        children: The nodes under each, -1 being the root.
        node: The last node that the text went through.

    >>> trial = Trial([5, 6, 7], {-1: [0, 1], 0: [2]})
    >>> list(trial.follow(6)), trial.over
    ([(0, False), (2, False), (1, True)], True)
    """

    tokens: Sequence[int]
    children: Mapping[int, list[int]]
    node: int | None = -1

    def follow(self, token: int) -> list[tuple[int, bool]]:
        """The nodes whose fate the next token of the text decides, and whether they pass."""
        if self.node is None:
            return []
        decided: list[tuple[int, bool]] = []
        options, self.node = self.children.get(self.node, []), None
        for option in options:
            if self.tokens[option] == token and self.node is None:
                decided.append((option, True))
                self.node = option
            else:
                decided += [(node, False) for node in self._under(option)]
        return decided

    @property
    def over(self) -> bool:
        """Whether nothing is left to decide."""
        return self.node is None or not self.children.get(self.node)

    def _under(self, node: int) -> list[int]:
        """A node and all below it."""
        below = [node]
        for one in below:
            below.extend(self.children.get(one, []))
        return below


class Trials:
    """The drafts in thought of a batch.

    Args:
        saw: Told of each node whose fate is known, whether it was there and whether it passed.
    """

    def __init__(self, saw: Callable[[int, bool, bool], None]) -> None:
        self._saw = saw
        self._open: dict[int, Trial] = {}

    def __contains__(self, row: int) -> bool:
        """Whether a row has a draft that is not decided yet."""
        return row in self._open

    def begin(
        self, row: int, tokens: Sequence[int], children: Mapping[int, list[int]], count: int
    ) -> None:
        """Take the draft of a row that was asked for `count` nodes."""
        for node in range(len(tokens), count):
            self._saw(node, False, False)
        if tokens:
            self._open[row] = Trial(tokens, children)

    def follow(self, row: int, written: Sequence[int]) -> None:
        """Hold what was written in a row against its draft."""
        trial = self._open.get(row)
        if trial is None:
            return
        for token in written:
            for node, passed in trial.follow(token):
                self._saw(node, True, passed)
        if trial.over:
            del self._open[row]
