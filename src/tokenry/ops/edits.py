"""Edits of a token sequence: what differs between two, and where each token comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class Edit:
    """Tokens `start` up to (not with) `stop` of a sequence give way to `new`.

    `start == stop` inserts; an empty `new` deletes. Places count in the sequence as it is before
    any edit.
    """

    start: int
    stop: int
    new: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is taken and nothing is given."""
        return self.start == self.stop and not self.new


def differences(old: Sequence[int], new: Sequence[int]) -> tuple[Edit, ...]:
    """The edits that turn one token sequence into the other, from left to right.

    What both have in common at the two ends is set aside first: the usual single edit costs one
    pass, however long the sequences are.

    >>> differences([1, 2, 3, 4, 5], [1, 9, 3, 4, 7, 5])
    (Edit(start=1, stop=2, new=(9,)), Edit(start=4, stop=4, new=(7,)))
    """
    head = shared(old, new)
    tail = shared(old[head:][::-1], new[head:][::-1])
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return tuple(
        Edit(head + i, head + j, tuple(after[k:end]))
        for kind, i, j, k, end in matcher.get_opcodes()
        if kind != "equal"
    )


def shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common.

    >>> shared([1, 2, 3], [1, 2, 4, 5])
    2
    """
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def checked(length: int, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits as they are, if they can be made on a sequence of this length.

    Raises:
        UsageError: If one lies outside the sequence, or two overlap or stand in wrong order.
    """
    for edit in edits:
        if not 0 <= edit.start <= edit.stop <= length:
            raise UsageError(
                f"edit: start={edit.start}, stop={edit.stop} is not a range of the text's {length} "
                f"tokens; allowed is 0 <= start <= stop <= {length}."
            )
    for left, right in pairwise(edits):
        if right.start < left.stop or right.start == left.start:
            raise UsageError(
                f"edit: [{left.start}, {left.stop}) and [{right.start}, {right.stop}) overlap or "
                "are not in order; give edits from left to right, in places of the old text."
            )
    return tuple(edits)


def spliced(ids: Sequence[int], edits: Sequence[Edit]) -> tuple[int, ...]:
    """The sequence after the edits.

    >>> spliced((1, 2, 3, 4), (Edit(1, 2, (9, 9)), Edit(4, 4, (5,))))
    (1, 9, 9, 3, 4, 5)
    """
    result: list[int] = []
    at = 0
    for edit in checked(len(ids), edits):
        result += [*ids[at : edit.start], *edit.new]
        at = edit.stop
    return (*result, *ids[at:])


def origins(length: int, edits: Sequence[Edit]) -> Int[Tensor, " n"]:
    """For each token after the edits, its place before them; -1 for a new one.

    >>> origins(4, (Edit(1, 2, (9, 9)),)).tolist()
    [0, -1, -1, 2, 3]
    """
    new = [Edit(edit.start, edit.stop, (-1,) * len(edit.new)) for edit in edits]
    return torch.tensor(spliced(range(length), new), dtype=torch.int64)
