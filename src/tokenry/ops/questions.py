"""What a language model is asked about columns and records, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NONE = "none of these"

_LONGEST = 400  # characters of a cell that are shown


class Column(NamedTuple):
    """A column of a table, known by names only.

    Attributes:
        name: Its name.
        table: The name of its table; empty where it is not known.
        others: Names of other columns of this table.
    """

    name: str
    table: str = ""
    others: tuple[str, ...] = ()

    def lines(self) -> str:
        r"""What is known of it.

        >>> Column("dob", "staff", ("id", "sex")).lines()
        'Table: staff\nOther columns: id, sex\nColumn: dob'
        """
        known = {"Table": self.table, "Other columns": ", ".join(self.others), "Column": self.name}
        return "\n".join(f"{key}: {plain(value)}" for key, value in known.items() if value)


def in_tables(
    names: Sequence[str | None], tables: Sequence[Any], context: int
) -> list[Column | None]:
    """Columns with the others of their table, None where there is no name.

    Args:
        names: Of the columns.
        tables: The table of each; None where it is not known.
        context: How many other columns are named at most.

    >>> in_tables(["a", "b"], ["t", "t"], 5)[0]
    Column(name='a', table='t', others=('b',))
    """
    members: dict[Any, dict[str, None]] = {}
    for name, table in zip(names, tables, strict=True):
        if table is not None and name is not None:
            members.setdefault(table, {})[name] = None
    found: list[Column | None] = []
    for name, table in zip(names, tables, strict=True):
        if name is None:
            found.append(None)
            continue
        others = islice((one for one in members.get(table, ()) if one != name), context)
        found.append(Column(name, "" if table is None else str(table), tuple(others)))
    return found


SHOTS: tuple[tuple[Column, str], ...] = (
    (
        Column("hire_dt", "employees", ("emp_id", "fname", "dept")),
        "date on which the employee was hired",
    ),
    (Column("qty", "order_lines", ("ord_no", "sku", "uprice")), "number of units ordered"),
    (Column("elev_m", "stations", ("stn", "lat", "lon")), "height above the sea in metres"),
)
"""Columns with what they hold, to show what is wanted."""


def plain(value: Any) -> str:
    r"""A value on one line, cut where it is too long.

    >>> plain("a\n  b")
    'a b'
    """
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"


def describe(column: Column, shots: Sequence[tuple[Column, str]]) -> str:
    """Ask what a column holds."""
    shown = [f"{one.lines()}\nDescription: {plain(text)}" for one, text in shots]
    task = f"What does the column {plain(column.name)} hold? Describe it in a few words, as above."
    return "\n\n".join([*shown, column.lines(), task])


def describes(column: Column, text: str) -> str:
    """Ask whether a description, or an entry of a glossary, fits a column."""
    return (
        f"{column.lines()}\nDescription: {plain(text)}\n\n"
        "Does the description say what the column holds? Answer yes or no."
    )


def which(column: Column, options: Sequence[str]) -> str:
    """Ask which of some descriptions fits a column; the caller names none among them."""
    listed = [f"{letter}. {plain(text)}" for letter, text in zip(LETTERS, options, strict=False)]
    return "\n".join(
        [
            column.lines(),
            "",
            "Which of these says what the column holds?",
            *listed,
            "",
            "Answer with one letter.",
        ]
    )


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """Ask whether two records are of the same thing, yes or no."""
    return f"{_both(left, right)}\n\nAre both records of the same thing? Answer yes or no."


def verdict(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """The same, to be answered in JSON with a confidence."""
    return (
        f"{_both(left, right)}\n\nAre both records of the same thing? Answer with nothing but JSON:"
        ' {"match": true or false, "confidence": how sure you are, from 0 to 1}'
    )


def rewritten(text: str, task: str, shots: Sequence[tuple[str, str]] = ()) -> str:
    r"""Ask for a text in other words; it is shown whole.

    >>> rewritten("acme  corp.", "Leave out the legal form.", [("Foo Ltd", "Foo")]).splitlines()[-1]
    'Leave out the legal form. Answer with the new text alone.'
    """
    shown = [f"Text: {_line(one)}\nNew text: {_line(other)}" for one, other in shots]
    # The task comes last: small models forget one that stands in front of examples.
    return "\n\n".join([*shown, f"Text: {_line(text)}", f"{task} Answer with the new text alone."])


def _line(text: str) -> str:
    return " ".join(text.split())


def _both(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    sides = {"left": left, "right": right}
    shown = {
        side: {key: plain(value) for key, value in record.items() if value is not None}
        for side, record in sides.items()
    }
    return json.dumps(shown, ensure_ascii=False)
