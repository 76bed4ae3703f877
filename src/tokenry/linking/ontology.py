"""An ontology as a linker of mentions reads it, and the mentions of its entities in plain text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from random import Random
from typing import Any

import numpy as np
from jaxtyping import Int

from tokenry.method import Side
from tokenry.ops.mentions import CLOSE, OPEN, Names, window

SEPARATOR = "\x1f"
"""Stands after each of the names that a window for training carries within the marks."""

Windows = dict[int, list[str]]
"""Windows for training, by the entity that they mention."""


@dataclass(frozen=True, eq=False, slots=True)
class Ontology:
    """Entities by their row.

    Attributes:
        names: All names of each.
        told: What is said of each, written as a mention is; None where it has no name.
    """

    names: list[tuple[str, ...]]
    told: list[str | None]

    @classmethod
    def of(
        cls,
        who: str,
        side: Side,
        aliases: str | None = None,
        type: str | None = None,
        description: str | None = None,
    ) -> Ontology:
        """Read a table: its key columns are the name, others are named.

        Raises:
            UsageError: If the table has no such column.

        >>> side = Side(columns={"name": ["ulm"], "kind": ["city"]}, keys=("name",), count=1)
        >>> Ontology.of("kriss", side, type="kind").told
        ['<ENT> ulm </ENT> ; city']
        """
        blank: Sequence[Any] = [None] * side.count
        columns = [
            blank if name is None else side.column(who, name)
            for name in (aliases, type, description)
        ]
        names: list[tuple[str, ...]] = []
        told: list[str | None] = []
        for name, further, *said in zip(side.texts(), *columns, strict=True):
            others = split_names(further)
            names.append((name, *others) if name else others)
            also = f" ({'; '.join(others)})" if others else ""
            parts = [f"{OPEN} {name} {CLOSE}{also}", *(one for one in said if not missing(one))]
            told.append(" ; ".join(str(part) for part in parts) if name else None)
        return cls(names, told)

    def mentions(self, texts: Iterable[str | None], words: int) -> Windows:
        """Windows around the names in texts that belong to one entity alone.

        Names are found as they are written; each window carries all names of its entity.
        """
        finder, found = Names(self.names), defaultdict(list)
        for text in texts:
            for start, end, meant in finder.find(text or ""):
                if len(meant) == 1:
                    own = self.names[meant[0]]
                    found[meant[0]].append(marked(text or "", start, end, words, own))
        return dict(found)

    def pairs(self, found: Windows, seed: int) -> tuple[list[tuple[str, str]], list[int]]:
        """Pairs of mentions, and of each with what is said of its entity; and the entities."""
        draw = Random(seed)  # noqa: S311 - an order
        pairs: list[tuple[str, str]] = []
        entities: list[int] = []
        for entity, own in sorted(found.items()):
            mixed = draw.sample(own, len(own))
            both = list(zip(mixed[::2], mixed[1::2], strict=False))
            both += [(one, told) for one in mixed if (told := self.told[entity])]
            pairs += both
            entities += [entity] * len(both)
        return pairs, entities


def prototypes(found: Windows, most: int, seed: int) -> tuple[Int[np.ndarray, " p"], list[str]]:
    """Some windows of each entity, every name once before any comes again; and the entities."""
    draw, owners, shown = Random(seed), [], []  # noqa: S311 - a choice
    for entity, own in sorted(found.items()):
        by_name = defaultdict(list)
        for one in draw.sample(own, len(own)):
            by_name[names_of(one)[0]].append(with_name(one, lambda names: names[0]))
        turns = [one for turn in zip_longest(*by_name.values()) for one in turn if one][:most]
        shown += turns
        owners += [entity] * len(turns)
    return np.array(owners, dtype=np.int64), shown


def marked(text: str, start: int, end: int, words: int, names: Sequence[str] | None = None) -> str:
    """A mention with marks around it and some words on both sides; with its names, for training.

    Raises:
        UsageError: If the mention does not lie in the text.

    >>> marked("We flew to Paris, Texas, in May.", 11, 16, 2)
    'flew to <ENT> Paris </ENT> , Texas,'
    """
    before, mention, after = window(text, start, end, words)
    if names is not None:
        mention = SEPARATOR.join((*dict.fromkeys((mention, *names)), ""))
    parts = (before.strip(), OPEN, mention, CLOSE, after.strip())
    return " ".join(part for part in parts if part)


def windows(
    who: str, mentions: Side, columns: tuple[str, str, str], words: int
) -> list[str | None]:
    """A table of mentions as it is read, from its columns of texts, starts and ends.

    Raises:
        UsageError: If a column is missing, or a mention does not lie in its text.
    """
    rows = zip(*(mentions.column(who, name) for name in columns), strict=True)
    return [
        None if any(map(missing, row)) else marked(row[0], int(row[1]), int(row[2]), words)
        for row in rows
    ]


def in_sentences(side: Side) -> Side:
    """A table with each text as a mention in a sentence: what checks try a linker on."""
    texts = side.texts()
    columns = {
        **side.columns,
        "text": [None if one is None else f"We ate at {one}." for one in texts],
        "start": [None if one is None else 10 for one in texts],
        "end": [None if one is None else 10 + len(one) for one in texts],
    }
    return Side(columns=columns, keys=side.keys, count=side.count)


def names_of(text: str) -> list[str]:
    """The names that a window for training carries, the one that stands there first."""
    inside = text.partition(f"{OPEN} ")[2].partition(f" {CLOSE}")[0]
    return [name for name in inside.split(SEPARATOR) if name] if SEPARATOR in inside else []


def with_name(text: str, choose: Callable[[list[str]], str]) -> str:
    """A window for training with one of the names that it carries; any other as it is."""
    names = names_of(text)
    if not names:
        return text
    before, mark, rest = text.partition(f"{OPEN} ")
    _, close, after = rest.partition(f" {CLOSE}")
    return before + mark + choose(names) + close + after


def split_names(cell: Any) -> tuple[str, ...]:
    """The names in a cell: a list, or a text with `|` between them.

    >>> split_names("a| b"), split_names(["a"]), split_names(None)
    (('a', 'b'), ('a',), ())
    """
    if missing(cell):
        return ()
    parts = cell.split("|") if isinstance(cell, str) else cell
    return tuple(name for part in parts if (name := str(part).strip()))


def missing(cell: Any) -> bool:
    """Whether a cell is empty: None, NaN or an empty text."""
    return cell is None or (isinstance(cell, float) and cell != cell) or cell == ""
