"""What an encoder is tuned on: pairs or single texts, their groups and labels, and their order."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.method import PairObjective
from tokenry.ops.batches import by_group, rounds

Pair = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What is read in training.

    Attributes:
        texts: Two texts for each; of an objective over single texts, the same one twice.
        groups: The number of the group of each; None where pairs that share a text are one.
        labels: Whether the two are the same; None where nobody asks.
        alone: Whether an objective over single texts reads them.
    """

    texts: Sequence[tuple[str, str]]
    groups: Sequence[int] | None
    labels: Sequence[bool] | None
    alone: bool

    def batches(self, batch_size: int, per_group: int, draw: random.Random) -> Iterator[list[int]]:
        """The examples of each step, without end."""
        if self.alone and self.groups is not None:
            return by_group(self.groups, batch_size, per_group, draw)
        return rounds(len(self.texts), batch_size, draw)


def examples(
    rule: PairObjective,
    pairs: Sequence[Pair],
    groups: Sequence[Hashable] | None,
    labels: Sequence[bool] | None,
) -> Examples:
    """Pairs as an objective reads them.

    Raises:
        UsageError: If groups or labels are not one for each pair, are missing, or are of no use.
    """
    for name, given in (("groups", groups), ("labels", labels)):
        if given is not None and len(given) != len(pairs):
            raise UsageError(
                f"tune: {len(given)} {name} for {len(pairs)} pairs; give one for each."
            )
    if rule.labelled is not (labels is not None):
        what = "needs labels of the pairs" if rule.labelled else "has no use for labels"
        raise UsageError(f"tune: {type(rule).__name__} {what}; {_OTHER[rule.labelled]}.")
    texts = [(one, one) if isinstance(one, str) else one for one in pairs]
    numbers = None if groups is None else numbered(groups)
    if not rule.alone:
        return Examples(texts=texts, groups=numbers, labels=labels, alone=False)
    known: dict[str, int] = {}
    for pair, group in zip(texts, of_pairs(texts) if numbers is None else numbers, strict=True):
        for text in pair:
            if known.setdefault(text, group) != group:
                raise UsageError(
                    f"tune: {text[:60]!r} is in two groups, and {type(rule).__name__} asks for one."
                )
    return Examples(
        texts=[(text, text) for text in known],
        groups=list(known.values()),
        labels=None,
        alone=True,
    )


_OTHER = {True: "pass labels=[...], 1 for the same", False: "`online-contrastive` reads them"}


def of_pairs(pairs: Sequence[tuple[Hashable, Hashable]]) -> list[int]:
    """A number for the group of each pair; those that share a text are one, through others too.

    >>> of_pairs([("a", "b"), ("c", "d"), ("d", "b"), ("e", "e")])
    [0, 0, 0, 3]
    """
    above: dict[Hashable, Hashable] = {}

    def root(one: Hashable) -> Hashable:
        above.setdefault(one, one)
        while above[one] != one:
            above[one] = above[above[one]]
            one = above[one]
        return one

    for left, right in pairs:
        above[root(right)] = root(left)
    first: dict[Hashable, int] = {}
    return [first.setdefault(root(left), i) for i, (left, _) in enumerate(pairs)]


def numbered(groups: Sequence[Hashable]) -> list[int]:
    """A number for each group, in the order in which they come first."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(one, len(numbers)) for one in groups]


class Best:
    """Keeps the weights that `watch` likes best.

    Args:
        encoder: What is trained.
        watch: Says how good it is; None where nobody looks.
        steps: Steps of the training.
        looks: How often it is asked.
    """

    def __init__(
        self, encoder: Any, watch: Callable[[], float] | None, steps: int, looks: int
    ) -> None:
        self._encoder, self._watch = encoder, watch
        self._when = {round(steps * look / looks) for look in range(looks + 1)}
        self._kept: dict[str, Tensor] = {}
        self.seen: tuple[tuple[int, float], ...] = ()
        self.look(0)

    def look(self, step: int) -> None:
        """Ask, where it is time, and keep the weights if they are the best."""
        if self._watch is None or step not in self._when:
            return
        before = self._encoder.training
        self._encoder.eval()
        with torch.no_grad():
            found = self._watch()
        self._encoder.train(before)
        if all(found > other for _, other in self.seen):
            self._kept = {
                name: value.detach().clone() for name, value in self._encoder.state_dict().items()
            }
        self.seen += ((step, found),)

    def restore(self) -> None:
        """Put the best weights back."""
        if self._kept:
            self._encoder.load_state_dict(self._kept)
