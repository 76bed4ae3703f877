"""`tokenry.link`, and `merge` and `aggregate` on top of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.tables import frames
from tokenry.tables.links import NO_THRESHOLD, SUFFIXES, How, Links
from tokenry.tables.settings import Settings, between

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenry.tables.plan import Assign
    from tokenry.tables.settings import Columns

Validate = Literal["1:1", "1:m", "m:1", "m:m"]
"""How many partners a row may have: 1:m lets a left row have several right ones, and so on."""
Encodings = str | tuple[str | None, str | None] | None
"""The encoding of files: one for both tables, or one for each."""
_ASSIGN = {"1:1": "one_to_one", "1:m": "best_right", "m:1": "best_left", "m:m": "many"}


def link(
    left: Any,
    right: Any,
    on: Columns | None = None,
    *,
    left_on: Columns | None = None,
    right_on: Columns | None = None,
    assign: Assign = "best_left",
    encoding: Encodings = None,
    **settings: Unpack[Settings],
) -> Links:
    """Find the rows of two tables that are the same thing.

    Keys are normalised before they are compared (the tables themselves stay as they are), and rows
    without a key are in no link.

    Args:
        left: A pandas or polars frame, an Arrow table, a DuckDB relation, a dict of columns, a list
            of dicts, or the path of a .csv, .tsv, .jsonl or .parquet file.
        right: The other table, of any of these types.
        on: Key columns that both tables have.
        left_on: Key columns of the left table, where the names differ.
        right_on: Key columns of the right table, in the same order.
        assign: "best_left" (each left row its best), "best_right", "mutual" (the best of both),
            "one_to_one" (each row at most one, the greatest sum), "greedy" (the same, quicker and
            nearly as good), or "many" (all).
        encoding: Of csv and jsonl files, or one for each table; UTF-8 when not given.
        **settings: What all verbs over tables share: `tokenry.tables.settings.Settings`.

    Raises:
        UsageError: If an argument is not one of those above.
        UnknownNameError: If there is no such column, method or setting.
        DataError: If a file cannot be read.
        MemoryLimitError: If memory and disk do not suffice; finished stages stay.
        MissingExtraError: If a package of the extra `linking` is missing.

    >>> left = {"name": ["Café de Flore", "Les Deux Magots"]}
    >>> right = {"name": ["deux magots (les)", "cafe DE flore"], "seats": [120, 90]}
    >>> links = link(left, right, on="name", normalise="letters", method="char-ngrams")
    >>> links.merged()["seats"]
    [90, 120]
    """
    both = _both(left, right, encoding)
    return between("link", *both, (on, left_on, right_on), assign, settings)


def merge(
    left: Any,
    right: Any,
    on: Columns | None = None,
    *,
    left_on: Columns | None = None,
    right_on: Columns | None = None,
    how: How = "left",
    validate: Validate | None = None,
    suffixes: tuple[str, str] = SUFFIXES,
    encoding: Encodings = None,
    **settings: Unpack[Settings],
) -> Any:
    """Merge two tables on keys that are the same thing, though not the same text.

    Args:
        left: One table, of any type that `tokenry.link` takes.
        right: The other one.
        on: Key columns that both tables have.
        left_on: Key columns of the left table, where the names differ.
        right_on: Key columns of the right table.
        how: Which rows without a partner are there: those of the "left" table, "inner" (none),
            "right" or "outer" (all).
        validate: How many partners a row may have, which is kept to: "1:1", "1:m", "m:1" or "m:m".
            When not given: "m:1", each left row its best right row, or "m:m" where k is above 1.
        suffixes: What column names that both tables have end with.
        encoding: Of csv and jsonl files, or one for each table.
        **settings: Further settings of `tokenry.link`; k asks for the k best right rows of each
            left row.

    Returns:
        Both tables' columns and `score`, in the type of the left table.

    Raises:
        UsageError: If k or `validate` is not allowed, and as `tokenry.link`.

    >>> left, right = {"name": ["Ada L."]}, {"name": ["ada l", "Alan"], "born": [1815, 1912]}
    >>> merge(left, right, on="name", method="exact")
    {'name_left': ['Ada L.'], 'name_right': ['ada l'], 'born': [1815], 'score': [1.0]}
    """
    k = settings.get("k")
    several = k is not None and k > 1
    chosen = validate or ("m:m" if several else "m:1")
    if chosen not in get_args(Validate):
        raise UsageError(
            f"merge: validate={validate!r} is unknown; give {', '.join(get_args(Validate))}."
        )
    if several and chosen.endswith(":1"):
        raise UsageError(
            f"merge: k={k} asks for several right rows of a left row, and validate={validate!r} "
            "allows one; leave one of them out."
        )
    both = _both(left, right, encoding)
    found = between("merge", *both, (on, left_on, right_on), _ASSIGN[chosen], settings)
    return found.merged(how, suffixes=suffixes)


def aggregate(
    fine: Any,
    coarse: Any,
    on: Columns | None = None,
    *,
    left_on: Columns | None = None,
    right_on: Columns | None = None,
    encoding: Encodings = None,
    **settings: Unpack[Settings],
) -> Links:
    """Bring fine rows under a coarse list: each fine row to its best coarse row, many to one.

    Unlike `tokenry.link` it takes the best coarse row whatever it scores, unless a threshold is
    given: a list that shall hold everything has a place for everything.

    Args:
        fine: The table of fine rows, of any type that `tokenry.link` takes.
        coarse: The list that they are brought under.
        on: Key columns that both tables have.
        left_on: Key columns of the fine table, where the names differ.
        right_on: Key columns of the coarse list.
        encoding: Of csv and jsonl files, or one for each table.
        **settings: Further settings of `tokenry.link`.

    Raises:
        UsageError: If a row of the coarse list is there twice, and as `tokenry.link`.

    >>> fine, coarse = {"name": ["red wine", "white wine"]}, {"name": ["wine"]}
    >>> found = aggregate(fine, coarse, on="name", method="fuzzy")
    >>> found.counts().to_pylist()
    [{'name': 'wine', 'rows': 2}]
    """
    chosen: Settings = {"threshold": NO_THRESHOLD, **settings}
    both = _both(fine, coarse, encoding, ("the fine table", "the coarse list"))
    found = between("aggregate", *both, (on, left_on, right_on), "best_left", chosen)
    strangers = int((found.scores == 0).sum())
    if not strangers:
        return found
    note = (
        f"{counted(strangers, 'row scores', 'rows score')} 0: like none of the list, and under the "
        "first of it that scores no less; a threshold leaves such rows out."
    )
    return replace(found, notes=(*found.notes, note))


def _both(
    left: Any,
    right: Any,
    encoding: Encodings,
    names: tuple[str, str] = ("the left table", "the right table"),
) -> tuple[frames.Frame, frames.Frame]:
    """Both tables; a table that is given twice is still two."""
    encodings = encoding if isinstance(encoding, tuple) else (encoding, encoding)
    found = [
        frames.read(one, name, encoding=read_as)
        for one, name, read_as in zip((left, right), names, encodings, strict=True)
    ]
    if found[0] is found[1]:
        found[1] = found[0].copy(names[1])
    return found[0], found[1]
