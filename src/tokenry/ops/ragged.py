"""Lists of rows of different lengths in one tensor, without padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ragged:
    """Several lists of rows, one behind the other; list i is rows offsets[i] to offsets[i + 1].

    Args:
        values: All rows: token vectors, or token ids where a row is a number.
        offsets: Where each list begins, and at the end the number of rows.

    Raises:
        UsageError: If the offsets do not run from 0 to the number of rows without going back.

    >>> texts = Ragged.of([torch.ones(2, 3), torch.zeros(0, 3), torch.zeros(1, 3)])
    >>> len(texts), texts.lengths.tolist(), tuple(texts[0].shape)
    (3, [2, 0, 1], (2, 3))
    """

    values: Shaped[Tensor, "n *d"]
    offsets: Int[Tensor, " o"]

    def __post_init__(self) -> None:
        ends = self.offsets
        fits = len(ends) > 0 and int(ends[0]) == 0 and int(ends[-1]) == len(self.values)
        if not fits or bool((ends.diff() < 0).any()):
            raise UsageError(
                f"Ragged: offsets run from {int(ends[0]) if len(ends) else 'nothing'} to "
                f"{int(ends[-1]) if len(ends) else 'nothing'}; they must rise from 0 to the "
                f"number of rows, {len(self.values)}."
            )

    @classmethod
    def of(cls, lists: Iterable[Shaped[Tensor, "_ *d"]], width: int | None = None) -> Ragged:
        """Put lists of rows behind each other.

        Args:
            lists: One tensor per list, alike but for the number of rows.
            width: Length of a row, for the case that there is no list; None for numbers.
        """
        given = list(lists)
        empty = torch.zeros(0) if width is None else torch.zeros(0, width)
        return cls(torch.cat(given) if given else empty, offsets(map(len, given)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Shaped[Tensor, "_ *d"]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Ragged: there is no list {index} among {len(self)}.")
        index %= len(self)
        return self.values[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def __iter__(self) -> Iterator[Shaped[Tensor, "_ *d"]]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> Int[Tensor, " b"]:
        """Rows of each list."""
        return self.offsets.diff()

    @property
    def owners(self) -> Int[Tensor, " n"]:
        """For each row, the number of its list."""
        return torch.repeat_interleave(self.lengths)

    def take(self, lists: Sequence[int] | Int[Tensor, " c"]) -> Ragged:
        """Some of the lists, in the order given."""
        chosen = torch.as_tensor(lists, dtype=torch.int64, device=self.offsets.device)
        lengths = self.lengths[chosen]
        ends = offsets(lengths.tolist()).to(self.offsets.device)
        shift = self.offsets[chosen] - ends[:-1]
        rows = torch.arange(int(ends[-1]), device=ends.device)
        return Ragged(self.values[rows + shift.repeat_interleave(lengths)], ends)

    def map(self, values: Shaped[Tensor, "n *e"]) -> Ragged:
        """The same lists with other rows."""
        return Ragged(values, self.offsets)

    def keep(self, rows: Bool[Tensor, " n"]) -> Ragged:
        """The lists without the rows that are False."""
        before = torch.cat([self.offsets.new_zeros(1), rows.long().cumsum(0)])
        return Ragged(self.values[rows], before[self.offsets])

    def padded(self) -> tuple[Shaped[Tensor, "b m *d"], Bool[Tensor, "b m"]]:
        """The lists as one tensor with zeros behind the short ones, and where rows are real."""
        longest = int(self.lengths.max()) if len(self) else 0
        places = torch.arange(longest, device=self.offsets.device)
        real = places < self.lengths[:, None]
        full = self.values.new_zeros(len(self), longest, *self.values.shape[1:])
        full[real] = self.values
        return full, real

    def chunks(self, rows: int) -> Iterator[tuple[int, int]]:
        """Ranges of lists that hold about `rows` rows each, at least one list.

        >>> list(Ragged.of([torch.ones(4)] * 5).chunks(8))
        [(0, 2), (2, 4), (4, 5)]
        """
        start = 0
        while start < len(self):
            most = self.offsets[start] + rows
            stop = int(torch.searchsorted(self.offsets, most, right=True)) - 1
            stop = min(max(stop, start + 1), len(self))
            yield start, stop
            start = stop


def offsets(lengths: Iterable[int]) -> Int[Tensor, " o"]:
    """Where lists of these lengths begin, and at the end how many rows there are."""
    counts = torch.tensor([0, *lengths], dtype=torch.int64)
    return counts.cumsum(0)


def vectors(lists: Ragged) -> Float[Tensor, "n d"]:
    """The rows in float32.

    Raises:
        UsageError: If the rows are not vectors.
    """
    if lists.values.ndim != 2 or not lists.values.is_floating_point():
        raise UsageError(
            f"Ragged: got rows of {lists.values.dtype} and shape "
            f"{tuple(lists.values.shape[1:])}; scoring takes vectors of floating point."
        )
    return lists.values.float()
