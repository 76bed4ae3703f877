"""The commands about tables; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console
from tokenry.cli_arguments import Flag
from tokenry.cli_files import columns, writable
from tokenry.errors import UsageError

if TYPE_CHECKING:
    from tokenry.tables.clusters import Clusters
    from tokenry.tables.links import Links

Assign = Literal["many", "best_left", "best_right", "mutual", "one_to_one", "greedy"]
How = Literal["left", "inner", "right", "outer"]
_PASSED = (
    *("method", "max_block", "k", "threshold", "encoder", "referee", "known", "gold"),
    *("folder", "memory", "engine", "device", "encoding"),
)
SHOWN = 10
"""Links that are printed where no file is written."""

app = App(name="tokenry", help_format="markdown")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the commands about tables share.

    Args:
        method: A linker, with settings as in `"fuzzy(scorer=jaro-winkler)"`; `tokenry list --family
            linking` shows all. `hybrid` when not given.
        block: Which rows are compared, as rules joined by commas: `city`, `zip+year` (both),
            `name:3` (the first three characters), `name:words` (a word in common), `city=town`
            (other names). All with all when not given.
        max_block: Pairs of a block; larger blocks are left out and reported.
        k: How many rows of the other table a row may be linked with.
        threshold: The score from which on a pair is a link; the method's own when not given.
        normalise: `text` (case, punctuation and spaces do not count), `letters` (nor do accents) or
            `none`.
        encoder: What gives texts vectors: `zoo:NAME`, a folder, or a name on the Hub.
        referee: A language model that the method asks: `zoo:NAME`, a folder, a name on the Hub, or
            `http://HOST/v1#MODEL`; a key for the latter stands in TOKENRY_API_KEY.
        table: A further table that the method needs, as NAME=FILE; may be given several times.
        known: A table of labelled pairs to learn from, with columns left, right and label.
        gold: A table of true pairs to measure with, with columns left and right.
        id: The column of ids that `known`, `gold` and `pairs` name rows by; two joined by a comma
            where they are called differently; numbers of rows from 0 when not given.
        folder: Keeps each finished stage; the same command goes on there where it was stopped.
        memory: What the engine may hold before the rest goes to disk; 1GB when not given.
        engine: What joins: `duckdb` (when not given) or `daft`.
        device: Where the encoder runs, such as `cuda`.
        encoding: Of csv and jsonl files, or of each of two, joined by a comma; UTF-8 when not
            given.
        report: Also write a report of the run, an HTML file that opens offline.
        pairs: Also write the links alone, a table with columns left, right, score and source, for
            `tokenry evaluate-links` or `tokenry cluster`.
        formulas: Write csv cells as they are; otherwise those that spreadsheets take for formulas
            get an apostrophe in front.
    """

    method: str | None = None
    block: str | None = None
    max_block: int | None = None
    k: Annotated[int | None, Parameter(name=["-k", "--k"])] = None
    threshold: float | None = None
    normalise: Literal["text", "letters", "none"] = "text"
    encoder: str | None = None
    referee: str | None = None
    table: Annotated[list[str] | None, Parameter(negative="")] = None
    known: Path | None = None
    gold: Path | None = None
    id: str | None = None
    folder: Path | None = None
    memory: str | None = None
    engine: str | None = None
    device: str | None = None
    encoding: str | None = None
    report: Path | None = None
    pairs: Path | None = None
    formulas: Flag = False

    def check(self, who: str, out: Path | None) -> None:
        """Refuse now what could not be written at the end."""
        writable(who, out, self.report)
        writable(who, self.pairs)

    def ids(self, who: str) -> tuple[str, str] | None:
        """The columns of ids of both tables."""
        if self.id is None:
            return None
        names = columns(self.id)
        if not 1 <= len(names) <= 2:
            raise UsageError(f"{who}: id={self.id!r} does not name one column, or two.")
        return names[0], names[-1]

    def _encodings(self, who: str) -> tuple[str, str]:
        first, *others = columns(self.encoding or "")
        if len(others) != 1 or who == "dedupe":
            most = "one" if who == "dedupe" else "one or two"
            raise UsageError(f"{who}: encoding={self.encoding!r}; give {most}, as in cp1252.")
        return first, others[0]

    def settings(self, who: str) -> dict[str, Any]:
        """The settings of the public functions; what was not given is left to them."""
        console.quiet_models()
        found = {name: getattr(self, name) for name in _PASSED if getattr(self, name) is not None}
        found["normalise"] = self.normalise
        if self.block is not None:
            found["block"] = catalog.split(self.block)
        if (ids := self.ids(who)) is not None:
            found["id"] = ids
        if self.encoding is not None and "," in self.encoding:
            found["encoding"] = self._encodings(who)
        if self.table:
            found["tables"] = dict(_further(one, who) for one in self.table)
        return found


_USUAL = Chosen()


@app.command
def link(
    left: Path,
    right: Path,
    /,
    *,
    on: str | None = None,
    left_on: str | None = None,
    right_on: str | None = None,
    assign: Assign = "best_left",
    how: How = "left",
    suffixes: str = "_left,_right",
    label: int | None = None,
    labels: Path = Path("labels.jsonl"),
    out: Path | None = None,
    json: Flag = False,
    chosen: Chosen = _USUAL,
) -> None:
    r"""Find the rows of two tables that are the same thing, and merge them.

    The table of `--out` is what `tokenry.merge` gives; its `validate` is `--assign` here: `m:1` is
    `best_left`, `1:m` is `best_right`, `1:1` is `one_to_one` and `m:m` is `many`. For example:

    ```
    tokenry link a.csv b.csv --on name --out links.csv --report links.html

    tokenry link a.csv b.parquet --left-on name,city --right-on title,town \
        --block "city=town,name:words" --assign one_to_one --folder run --out links.parquet

    tokenry link a.csv b.csv --on name --label 50 --out links.csv
    ```

    Args:
        left: A .csv, .tsv, .jsonl or .parquet table.
        right: The other one.
        on: Key columns that both have, joined by commas; a name with a comma stands in quotation
            marks of its own, as in `'name,"last, first"'`.
        left_on: Key columns of the left table, where the names differ.
        right_on: Key columns of the right table, in the same order.
        assign: How many links a row may have: `best_left` (each left row its best), `best_right`,
            `mutual` (the best of both), `one_to_one` (the greatest sum), `greedy` (the same,
            quicker and nearly as good), or `many` (all).
        how: Which rows without a partner are written: those of the left table, `inner` (none),
            those of the right one, or `outer` (all).
        suffixes: What column names that both tables have end with, joined by a comma.
        label: Ask about so many pairs first, in the terminal; the method learns from the answers,
            and precision, recall and F1 are estimated with intervals.
        labels: Keeps the answers as they come; those that are there are not asked for again.
        out: The merged table to write; a few links are printed when it is not given.
        json: Print the findings for machines instead.
        chosen: What all these commands share.
    """
    chosen.check("link", out)
    ends = _suffixes(suffixes)
    linked: Callable[..., Links] = partial(
        tokenry.link,
        left,
        right,
        _columns(on),
        left_on=_columns(left_on),
        right_on=_columns(right_on),
    )
    settings = {"assign": assign, **chosen.settings("link")}
    with _asking(linked, settings, label, labels) as (settings, facts):
        found = linked(**settings)
    if out is not None:
        found.write(out, how, suffixes=ends, formulas=chosen.formulas)
    _say(found, out, json, chosen, facts)


@app.command
def dedupe(
    table: Path,
    /,
    *,
    on: str | None = None,
    apart: float | None = None,
    largest: int | None = None,
    density: float = 0.0,
    bridges: Flag = False,
    source: str | None = None,
    label: int | None = None,
    labels: Path = Path("labels.jsonl"),
    labelled: Flag = False,
    out: Path | None = None,
    json: Flag = False,
    chosen: Chosen = _USUAL,
) -> None:
    r"""Find the rows of a table that are the same thing, and write it without duplicates.

    For example:

    ```
    tokenry dedupe people.csv --on name,born --block name:3,born --out unique.csv

    tokenry dedupe people.csv --on name --largest 20 --bridges --labelled --out clusters.csv

    tokenry dedupe people.csv --on name --label 50 --out unique.csv
    ```

    Args:
        table: A .csv, .tsv, .jsonl or .parquet table.
        on: Key columns, joined by commas.
        apart: How many times as far as a cluster reaches the nearest row outside is at least; 1.5
            where neither a threshold nor known pairs are given, and else 0, which asks for nothing.
        largest: Rows of a cluster; a larger one is solved again at a higher threshold.
        density: The share of a cluster's possible pairs that must be links.
        bridges: Cut single weak links between groups that hold together well.
        source: A column that says where a row is from; no cluster has two rows of one source.
        label: Ask about so many pairs first, in the terminal; the method and its threshold learn
            from the answers, and precision, recall and F1 of links are estimated with intervals.
        labels: Keeps the answers as they come; those that are there are not asked for again.
        labelled: Write all rows with the number of their cluster, not the first of each.
        out: The table to write.
        json: Print the findings for machines instead.
        chosen: What all these commands share.
    """
    chosen.check("dedupe", out)
    deduped: Callable[..., Clusters] = partial(
        tokenry.dedupe,
        table,
        _columns(on),
        apart=apart,
        largest=largest,
        density=density,
        bridges=bridges,
        source=source,
    )

    def linked(**settings: Any) -> Any:
        return deduped(**settings).links

    with _asking(linked, chosen.settings("dedupe"), label, labels) as (settings, facts):
        found = deduped(**settings)
    if out is not None:
        found.write(out, first=not labelled, formulas=chosen.formulas)
    _say(found, out, json, chosen, facts)


@app.command
def aggregate(
    fine: Path,
    coarse: Path,
    /,
    *,
    on: str | None = None,
    left_on: str | None = None,
    right_on: str | None = None,
    out: Path | None = None,
    json: Flag = False,
    chosen: Chosen = _USUAL,
) -> None:
    r"""Bring the rows of a fine table under those of a coarse list, each under its best.

    For example:

    ```
    tokenry aggregate products.csv groups.csv --left-on product --right-on group --out out.csv
    ```

    Args:
        fine: A .csv, .tsv, .jsonl or .parquet table.
        coarse: The list that its rows are brought under.
        on: Key columns that both have, joined by commas.
        left_on: Key columns of the fine table, where the names differ.
        right_on: Key columns of the coarse list.
        out: The table to write.
        json: Print the findings for machines instead.
        chosen: What all these commands share.
    """
    chosen.check("aggregate", out)
    found = tokenry.aggregate(
        fine,
        coarse,
        _columns(on),
        left_on=_columns(left_on),
        right_on=_columns(right_on),
        **chosen.settings("aggregate"),
    )
    if out is not None:
        found.write(out, formulas=chosen.formulas)
    _say(found, out, json, chosen)


@contextmanager
def _asking(
    linked: Callable[..., Links], settings: dict[str, Any], label: int | None, labels: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The settings to go on with, and what answers say, if any are asked for."""
    if label is None:
        yield settings, {}
        return
    from tokenry.cli_labelling import labelled

    with labelled(linked, settings, label, labels) as asked:
        yield asked


def _say(
    found: Links | Clusters,
    out: Path | None,
    json: bool,
    chosen: Chosen,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Print what was found and where it is, and write the report and the pairs."""
    links: Any = getattr(found, "links", found)
    if chosen.pairs is not None:
        links.write_pairs(chosen.pairs, chosen.ids("link"), formulas=chosen.formulas)
    if chosen.report is not None:
        tokenry.report(found, chosen.report)
    if json:
        written = None if out is None else str(out)
        console.write_json({**found.to_dict(), "out": written, **facts})
        return
    console.write(str(found))
    places = {"Report": chosen.report, "Pairs": chosen.pairs, "Table": out}
    for name, place in places.items():
        if place is not None:
            console.write(f"{name}: {place}")
    if out is None:
        for line in found.shown(SHOWN):
            console.write(line)


def _columns(text: str | None) -> list[str] | None:
    return None if text is None else columns(text)


def _suffixes(text: str) -> tuple[str, str]:
    left, comma, right = text.partition(",")
    if not comma or "," in right or left == right:
        raise UsageError(f"link: suffixes={text!r} are not two, as in _left,_right.")
    return left, right


def _further(text: str, who: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"{who}: table={text!r} is not like aliases=aliases.csv.")
    return name, Path(path)
