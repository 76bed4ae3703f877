"""Tables of pairs as an encoder is tuned on them: rows of two texts, and the thing of each text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.ops.fields import SEPARATOR, joined
from tokenry.ops.splits import Part
from tokenry.plugs.text_encoder import separator_of
from tokenry.plugs.tuning_examples import of_pairs
from tokenry.tables.frames import Frame
from tokenry.tables.labels import truth
from tokenry.tables.sides import listed, normalised


class Columns(NamedTuple):
    """Which columns hold what; `right` is empty where texts come with their thing."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    label: str | None
    cluster: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Rows of a table, or of a part of it.

    Attributes:
        rows: Two texts each.
        labels: Whether they are the same; None where all are.
        thing: The number of the thing that each text names.
        apart: Whether left texts are looked for among right texts, and not all among all.
        notes: What was left out.
    """

    rows: list[tuple[str, str]]
    labels: list[bool] | None
    thing: Mapping[str, int]
    apart: bool
    notes: tuple[str, ...] = ()

    def things(self) -> list[int]:
        """The things of all texts, by first occurrence."""
        return list(dict.fromkeys(self.thing[text] for row in self.rows for text in row))

    def joined(self) -> list[tuple[int, int]]:
        """The two things of each row."""
        return [(self.thing[left], self.thing[right]) for left, right in self.rows]

    def lefts(self) -> list[str]:
        """The distinct left texts."""
        return list(dict.fromkeys(left for left, _ in self.rows))

    def rights(self) -> list[str]:
        """The distinct right texts."""
        return list(dict.fromkeys(right for _, right in self.rows))

    def groups(self) -> list[int] | None:
        """The thing of each row; None where labels say what belongs together."""
        if self.labels is not None:
            return None
        return [self.thing[left] for left, _ in self.rows]

    def measurable(self) -> bool:
        """Whether there is something to find."""
        if self.labels is not None:
            return any(self.labels) and not all(self.labels)
        return any(left != right for left, right in self.rows) or (self.apart and bool(self.rows))

    def split(self, parts: Mapping[Any, Part]) -> dict[str, Examples]:
        """The rows of each part; a row between two parts is in none."""
        found: dict[str, Examples] = {}
        of = [tuple(parts[self.thing[text]] for text in row) for row in self.rows]
        for name in ("train", "validation", "test"):
            own = [i for i, (left, right) in enumerate(of) if left == right == name]
            found[name] = Examples(
                rows=[self.rows[i] for i in own],
                labels=None if self.labels is None else [self.labels[i] for i in own],
                thing=self.thing,
                apart=self.apart,
            )
        return found


def columns_of(
    left: str | Sequence[str] | None,
    right: str | Sequence[str] | None,
    label: str | None,
    text: str | Sequence[str] | None,
    cluster: str | None,
) -> Columns:
    """Which of the three forms a table has.

    Raises:
        UsageError: If it has none, or more than one.
    """
    pairs, texts = (left, right, label), (text, cluster)
    if any(one is not None for one in pairs) == any(one is not None for one in texts):
        raise UsageError(
            "tune: give left and right (and label, if pairs are labelled), or text and cluster."
        )
    if (left is None) != (right is None) or (text is None) != (cluster is None):
        raise UsageError("tune: left and right go together, and so do text and cluster.")
    if left is None and text is None:
        raise UsageError("tune: label says nothing without left and right.")
    first = listed(left if text is None else text)
    return Columns(first, listed(right), label, cluster)


def read(
    frame: Frame, columns: Columns, own: Callable[[str], str | None], encoder: Any
) -> Examples:
    """The rows of a table that say something.

    Raises:
        UnknownNameError: If a column is not there.
        UsageError: If a label is neither yes nor no, or nothing is left.
    """
    extra = tuple(name for name in (columns.label, columns.cluster) if name is not None)
    frame.check("tune", (*columns.left, *columns.right, *extra))
    separator = separator_of(encoder) or SEPARATOR

    def texts(names: tuple[str, ...]) -> list[str | None]:
        table = normalised(frame, names, own)
        return joined([table.column(name).to_pylist() for name in names], separator)

    first = texts(columns.left)
    if columns.cluster is not None:
        things = frame.table.column(columns.cluster).to_pylist()
        return _of_clusters(first, things)
    second = texts(columns.right)
    marks = None if columns.label is None else frame.table.column(columns.label).to_pylist()
    return _of_pairs(first, second, None if marks is None else [truth(one) for one in marks])


def _of_pairs(
    first: list[str | None], second: list[str | None], marks: list[bool | None] | None
) -> Examples:
    rows: dict[tuple[str, str], bool] = {}
    both: set[tuple[str, str]] = set()  # whoever labels thousands of pairs slips at some
    empty = 0
    for i, (left, right) in enumerate(zip(first, second, strict=True)):
        mark = True if marks is None else marks[i]
        if left is None or right is None or mark is None:
            empty += 1
        elif rows.setdefault((left, right), mark) is not mark:
            both.add((left, right))
    rows = {row: mark for row, mark in rows.items() if row not in both}
    if not rows:
        raise UsageError(
            f"tune: no pair of texts in {counted(len(first), 'row')}; {empty} without one, "
            f"{counted(len(both), 'pair')} labelled both ways."
        )
    same = [row for row, mark in rows.items() if mark]
    every = list(dict.fromkeys(text for row in rows for text in row))
    found = of_pairs([*same, *((text, text) for text in every)])
    return Examples(
        rows=list(rows),
        labels=None if marks is None else list(rows.values()),
        thing=dict(zip(every, found[len(same) :], strict=True)),
        apart=True,
        notes=left_out(empty, "row", "without a text or label")
        + left_out(len(both), "pair", "labelled as the same and as not the same"),
    )


def _of_clusters(texts: list[str | None], things: list[Any]) -> Examples:
    held: dict[str, set[Any]] = {}
    empty = 0
    for text, thing in zip(texts, things, strict=True):
        if text is None or thing is None or thing != thing:
            empty += 1
        else:
            held.setdefault(text, set()).add(thing)
    numbers: dict[Any, int] = {}
    of = {
        t: numbers.setdefault(min(s, key=str), len(numbers)) for t, s in held.items() if len(s) == 1
    }
    members: dict[int, list[str]] = {}
    for text, number in of.items():
        members.setdefault(number, []).append(text)
    if all(len(some) < 2 for some in members.values()):
        raise UsageError(
            f"tune: no two of {len(of)} texts name the same thing; the cluster column says nothing."
        )
    # Each text with the next one of its thing, so that objectives over pairs read them all.
    rows = [
        (text, some[(i + 1) % len(some)])
        for some in members.values()
        for i, text in enumerate(some)
    ]
    notes = left_out(empty, "row", "without a text or cluster")
    notes += left_out(len(held) - len(of), "text", "of several things")
    return Examples(rows=rows, labels=None, thing=of, apart=False, notes=notes)


def left_out(count: int, what: str, why: str) -> tuple[str, ...]:
    """A sentence about what was left out, or none about none."""
    return (f"Left out: {counted(count, what)} {why}.",) if count else ()
