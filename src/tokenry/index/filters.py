"""What a search asks of metadata, as a condition of SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenry.errors import UsageError

ORDERS = (">=", "<=", ">", "<")
_HELD = "json_extract(metadata, ?)"
_KIND = "json_type(metadata, ?)"
_ANY = "EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE value IN ({0}))"
_ONE_OF = f"({_HELD} IN ({{0}}) OR {_KIND} = 'array' AND {_ANY})"
_TEXT = f"({_KIND} = 'text' AND {_HELD} {{0}} ?)"
# Cells of csv are texts, and so are dates: they count as the number that they begin with.
_NUMBER = (
    f"(CASE WHEN {_KIND} IN ('integer', 'real') THEN {_HELD} WHEN {_KIND} = 'text' AND "
    f"({_HELD} GLOB '[0-9]*' OR {_HELD} GLOB '[-+.][0-9]*') THEN CAST({_HELD} AS REAL) END {{0}} ?)"
)


def condition(wanted: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A condition on the documents, and the values for its question marks.

    Args:
        wanted: By the name of what the metadata hold: a value, a list of allowed ones, or bounds
            such as `{">=": 2020, "<": 2025}`. Metadata that is a list has a value if it holds it.

    Raises:
        UsageError: If it asks for something else.

    >>> condition({})
    ('1', [])
    """
    tests, values = [], list[Any]()
    for name, value in wanted.items():
        path = f'$."{name}"'
        bounds = value if isinstance(value, Mapping) else {}
        options = list(value) if isinstance(value, list | tuple | set) else [value]
        known = [*bounds.values()] if bounds else options
        if '"' in name or not all(isinstance(one, str | int | float) for one in known):
            raise UsageError(
                f"Index: where asks for {name!r}={value!r}; give a string, a number, a boolean "
                "or a list of them, or bounds such as {'>=': 2020}, under a name without quotes."
            )
        for order, bound in bounds.items():
            test = _order(name, order, bound)
            tests.append(test)
            values += [path] * (test.count("?") - 1) + [bound]
        if not bounds:
            tests.append(_ONE_OF.format(", ".join("?" * len(options))))
            values += [path, *options, path, path, *options]
    return " AND ".join(tests) or "1", values


def _order(name: str, order: str, bound: str | int | float) -> str:
    if order not in ORDERS:
        raise UsageError(f"Index: where asks for {name!r} {order}; give {', '.join(ORDERS)}.")
    return (_TEXT if isinstance(bound, str) else _NUMBER).format(order)
