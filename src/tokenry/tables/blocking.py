"""Blocking: only rows that share a key are compared.

A rule is a short text: `city` (the same city), `zip+year` (both), `name:3` (the same first three
characters), `name:words` (one word in common), `city=town` (columns that are called differently).
A row without a value has no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.tables.engine import Engine, Held, arrow

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BLOCK = 1_000_000
"""Pairs of a block that are compared; a larger block is left out, and reported."""
CHUNK = 1 << 18
"""Rows whose keys are made at a time."""
NAMED = 5
"""Left-out blocks that are named."""
_MARK = "\x1f"
_PART = re.compile(r"(?P<left>.+?)(?:=(?P<right>.+?))?(?::(?P<how>words|[1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class Part:
    """One column of a rule.

    Attributes:
        left: Its name in the left table.
        right: Its name in the right one.
        how: Nothing for the whole text, `words` for each word, or how many first characters.
    """

    left: str
    right: str
    how: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """When two rows are compared: when they agree in all parts.

    Attributes:
        text: As it was given; candidates are labelled with it.
        parts: What must agree.
    """

    text: str
    parts: tuple[Part, ...]

    @property
    def several(self) -> bool:
        """Whether a row can have several keys."""
        return any(part.how == "words" for part in self.parts)


def rules(
    given: str | Sequence[str] | None, left: Iterable[str], right: Iterable[str], who: str = "link"
) -> tuple[Rule, ...]:
    """Blocking rules, read.

    Args:
        given: One rule or several; pairs that any of them brings are compared.
        left: Columns of the left table; a rule that is the name of one is that column.
        right: Columns of the right table.
        who: What messages call the caller.

    Raises:
        UsageError: If a rule cannot be read, is given twice, or names a column that is not there.

    >>> [rule.parts for rule in rules("zip+name:3", ["zip", "name"], ["zip", "name"])]
    [(Part(left='zip', right='zip', how=''), Part(left='name', right='name', how='3'))]
    """
    texts = [given] if isinstance(given, str) else list(given or ())
    known, others = set(left), set(right)
    if len(set(texts)) < len(texts):
        raise UsageError(f"{who}: a block is given twice in {texts}; leave one out.")
    found = []
    for text in texts:
        pieces = [text] if text in known & others else text.split("+")
        parts = tuple(_part(piece, text, known & others, who) for piece in pieces)
        for part in parts:
            for name, columns, side in ((part.left, known, "left"), (part.right, others, "right")):
                if name not in columns:
                    raise UsageError(
                        f"{who}: block={text!r} names {name!r}, which the {side} table has not; "
                        f"it has {', '.join(sorted(columns)) or 'no columns'}."
                    )
        found.append(Rule(text, parts))
    return tuple(found)


def _part(piece: str, text: str, known: set[str], who: str) -> Part:
    if piece in known:
        return Part(piece, piece)
    match = _PART.fullmatch(piece.strip())
    if match is None:
        raise UsageError(
            f"{who}: block={text!r} cannot be read; write column, column+column, column:3, "
            "column:words or left=right."
        )
    return Part(match["left"], match["right"] or match["left"], match["how"] or "")


def columns(some: Sequence[Rule], side: str) -> tuple[str, ...]:
    """The columns that rules read, each once.

    >>> columns(rules(["a=b", "a+c"], "ac", "abc"), "right")
    ('b', 'a', 'c')
    """
    return tuple(dict.fromkeys(getattr(part, side) for rule in some for part in rule.parts))


def keys(
    table: pa.Table, some: Sequence[Rule], side: str, among: pa.Table | None = None
) -> pa.Table:
    """The keys of all rows: columns `side` (the row's number), `rule` and `key`.

    Args:
        table: The columns that the rules read, normalised.
        some: The rules.
        side: Whose columns are read: `left` or `right`.
        among: Keys of the other table; those that it has not are left out.
    """
    pa = arrow()
    from pyarrow import compute as pc

    schema = pa.schema([(side, pa.int64()), ("rule", pa.int64()), ("key", pa.large_string())])
    wanted = None if among is None else pc.unique(among.column("key"))
    made = [schema.empty_table()]
    for start in range(0, table.num_rows, CHUNK):
        part = table.slice(start, CHUNK)
        for number, rule in enumerate(some):
            found = _keys_of(part, rule, number, side, start).cast(schema)
            if wanted is not None:
                found = found.filter(pc.is_in(found.column("key"), wanted))
            made.append(found)
    return pa.concat_tables(made)


def _keys_of(table: pa.Table, rule: Rule, number: int, side: str, start: int) -> pa.Table:
    from pyarrow import compute as pc

    pa = arrow()
    rows: Any = pa.array(np.arange(table.num_rows))
    key: Any = pa.array([str(number)] * table.num_rows, pa.large_string())
    mark = pa.scalar(_MARK, pa.large_string())
    for part in rule.parts:
        texts = _combined(table.column(getattr(part, side))).take(rows)
        if part.how == "words":
            lists = pc.utf8_split_whitespace(texts)
            parents = pc.list_parent_indices(lists)
            texts, key, rows = pc.list_flatten(lists), key.take(parents), rows.take(parents)
        elif part.how:
            texts = pc.utf8_slice_codeunits(texts, 0, int(part.how))
        key = pc.binary_join_element_wise(key, texts, mark)
        there = pc.is_valid(key)
        key, rows = key.filter(there), rows.filter(there)
    found = pa.table({side: pc.add(rows, start), "key": key})
    if rule.several:
        found = found.group_by([side, "key"]).aggregate([])
    return found.append_column("rule", pa.array(np.full(len(found), number))).select(
        [side, "rule", "key"]
    )


def _combined(column: pa.ChunkedArray) -> pa.Array:
    return column.cast(arrow().large_string()).combine_chunks()


@dataclass(slots=True)
class Blocks:
    """What blocking did.

    Attributes:
        shared: Keys that both tables have.
        pairs: Pairs that the rules bring, each counted for each rule that brings it.
        dropped: Blocks that were left out because they were too large.
        dropped_pairs: Pairs in them.
        largest: The largest blocks that were left out: rule, key and pairs.
    """

    shared: int = 0
    pairs: int = 0
    dropped: int = 0
    dropped_pairs: int = 0
    largest: list[tuple[str, str, int]] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.dropped:
            return counted(self.shared, "shared key")
        named = "; ".join(
            f"{rule}={key!r}: {counted(pairs, 'pair')}" for rule, key, pairs in self.largest
        )
        return (
            f"Left out as larger than max_block: {self.dropped:,} of "
            f"{counted(self.shared, 'block')} with {counted(self.dropped_pairs, 'pair')} ({named})"
        )


def candidates(
    left: pa.Table, right: pa.Table, some: Sequence[Rule], engine: Engine, most: int, alone: bool
) -> tuple[Blocks, Iterator[pa.Table]]:
    """Pairs of rows that share a key, each once with the first rule that brings it.

    Args:
        left: Keys of the left table, from `keys`.
        right: Keys of the right one.
        some: The rules that they are of.
        engine: What joins.
        most: Pairs of a block; larger ones are left out.
        alone: Whether both tables are the same one; then each pair is there once, left < right.

    Returns:
        What happened to the blocks, and the pairs as they are found: left, right, source.
    """
    held, other = engine.take(left), engine.take(right)
    found, large = _measured(held, other, some, engine, most, alone)
    if large:
        held = engine.take(_without(left, large))
    pairs = engine.equi_join(
        held, engine.take(right.drop_columns(["rule"])), ["key"], below=_below(alone)
    )
    if len(some) > 1 or some[0].several:
        columns = ["left", "right", "rule"]
        pairs = engine.group_topk(engine.select(pairs, columns), columns[:2], [("rule", False)], 1)
    return found, _named(engine.batches(pairs), some)


def _below(alone: bool) -> tuple[str, str] | None:
    return ("left", "right") if alone else None


def _measured(
    left: Held, right: Held, some: Sequence[Rule], engine: Engine, most: int, alone: bool
) -> tuple[Blocks, list[str]]:
    """How large the blocks are, and the keys of those that are too large."""
    from pyarrow import compute as pc

    found, large = Blocks(), []
    sizes = engine.equi_join(
        engine.count(left, ["rule", "key"], "lefts"),
        engine.count(right, ["key"], "rights"),
        ["key"],
    )
    for batch in engine.batches(sizes):
        lefts, rights = (batch.column(name).cast("int64") for name in ("lefts", "rights"))
        pairs = pc.multiply(lefts, rights)
        if alone:
            pairs = pc.divide(pc.multiply(lefts, pc.subtract(lefts, 1)), 2)
        over = batch.append_column("pairs", pairs).filter(pc.greater(pairs, most))
        found.shared += len(batch)
        found.pairs += pc.sum(pairs).as_py() or 0
        found.dropped += len(over)
        found.dropped_pairs += pc.sum(over.column("pairs")).as_py() or 0
        large += over.column("key").to_pylist()
        found.largest += [
            (some[row["rule"]].text, _shown(row["key"]), row["pairs"]) for row in over.to_pylist()
        ]
        found.largest = sorted(found.largest, key=lambda one: (-one[2], one[1]))[:NAMED]
    return found, large


def _shown(key: str) -> str:
    """A key without the number of its rule."""
    return "+".join(key.split(_MARK)[1:])[:80]


def _without(table: pa.Table, keys: list[str]) -> pa.Table:
    from pyarrow import compute as pc

    pa = arrow()
    return table.filter(pc.invert(pc.is_in(table.column("key"), pa.array(keys, pa.large_string()))))


def _named(batches: Iterable[pa.RecordBatch], some: Sequence[Rule]) -> Iterator[pa.Table]:
    """Pairs with the text of their rule in the place of its number."""
    pa = arrow()
    texts = pa.array([rule.text for rule in some], pa.string())
    for batch in batches:
        yield pa.table(
            {
                "left": batch.column("left"),
                "right": batch.column("right"),
                "source": texts.take(batch.column("rule")),
            }
        )
