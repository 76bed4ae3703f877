"""The commands about search; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console
from tokenry.cli_arguments import Flag, check_folders
from tokenry.counted import counted
from tokenry.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from tokenry.index.building import Built
    from tokenry.index.documents import Hit

_REASONS = 10  # that are shown
_WHERE = re.compile(r"([^<>=]+)(>=|<=|>|<|=)(.*)", re.DOTALL)

app = App(name="tokenry", help_format="markdown")


@app.command
def chunks(
    documents: str,
    questions: Path | None = None,
    /,
    *,
    chunkers: str | None = None,
    encoder: str | None = None,
    tokens: str | None = None,
    metric: str = "chunk-metrics",
    out: Path | None = None,
    seed: int = 0,
    json: Flag = False,
) -> None:
    r"""Say which chunks of your documents bring back most evidence and least of the rest.

    For example:

    ```
    tokenry chunks handbook/ questions.jsonl --out report.html

    tokenry chunks chunking --encoder zoo:minilm-l6 \
        --chunkers "fixed-chunks(size=100),cluster-chunks(size=200)" --metric "chunk-metrics(k=0)"
    ```

    Args:
        documents: A folder, file or table of texts, or `chunking`, which ships with questions.
        questions: A table with columns question, document and evidence: quotes, or start and end.
            When not given, the documents' headings are the questions.
        chunkers: Names, joined by commas, with settings as in the example; each is compared with
            the first.
        encoder: What ranks chunks and cuts by meaning, such as `zoo:minilm-l6`; BM25 ranks when it
            is not given.
        tokens: The tokenizer that sizes count in; words when neither it nor an encoder is given.
        metric: What is measured, with settings.
        out: Also write a report, an HTML file that opens offline.
        seed: Of the resampling.
        json: Print the findings for machines instead.
    """
    check_folders("chunks", out)
    console.quiet_models()
    found = tokenry.chunks(
        documents,
        questions,
        None if chunkers is None else catalog.split(chunkers),
        encoder=encoder,
        tokens=tokens,
        metric=metric,
        seed=seed,
    )
    if out is not None:
        tokenry.report(found, out)
    if json:
        console.write_json({**found.to_dict(), "report": None if out is None else str(out)})
    else:
        console.write(str(found) if out is None else f"{found}\n\nReport: {out}")


@app.command
def index(
    source: Path,
    /,
    *,
    out: Path,
    encoder: str | None = None,
    store: str | None = None,
    dimension: int | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    encoding: str | None = None,
    forget: Flag = False,
    compact: Flag = False,
    compress: int | None = None,
    json: Flag = False,
) -> None:
    r"""Make a folder or a table searchable, or bring an index up to date.

    Only what is new or changed is encoded: the same command goes on where it was stopped.

    For example:

    ```
    tokenry index notes/ --out notes-index

    tokenry index articles.jsonl --out idx --encoder colbert-folder --forget --compress 4
    ```

    Args:
        source: A folder of text files, a text file, a .csv, .jsonl or .parquet table, or a
            collection in the form of BEIR or TREC.
        out: The folder of the index.
        encoder: `zoo:NAME`, a folder, or a name on the Hub; zoo:minilm-l6 for a new index.
        store: Where a new index keeps its token vectors: segments (when not given), lance, graph
            or qdrant, with settings as in "lance(ann=True)".
        dimension: Dimensions that a new index brings token vectors to; those of the encoder when
            not given.
        text_column: Tables: the column of texts.
        id_column: Tables: the column of ids.
        encoding: Of files that are not UTF-8, such as latin-1; they are left out when not given.
        forget: Take out what the source no longer holds.
        compact: Give back the space of what was taken out or changed, at the end.
        compress: Bits per dimension, 2 or 4, to compress all token vectors to at the end.
        json: Print the findings for machines instead.
    """
    from tokenry.index.building import build
    from tokenry.index.passages import printable
    from tokenry.index.sources import Source

    console.quiet_models()
    read = Source(source, text_column=text_column, id_column=id_column, encoding=encoding)
    found = build(
        read,
        out,
        forget=forget,
        compact=compact,
        compress=compress,
        encoder=encoder,
        store=store,
        dimension=dimension,
    )
    if json:
        console.write_json(found.to_dict())
        return
    for remark in _remarks(found):
        console.say(printable(remark))
    console.write(str(found))


@app.command
def search(
    idx: Path,
    query: tuple[str, ...],
    /,
    *,
    k: Annotated[int, Parameter(name=["-k", "--k"])] = 10,
    rankers: str | None = None,
    where: Annotated[list[str] | None, Parameter(negative="")] = None,
    width: int = 300,
    json: Flag = False,
) -> int:
    r"""Find the documents of an index that answer a query, and mark the words that do.

    For example:

    ```
    tokenry search notes-index "how do I renew a certificate"

    tokenry search idx "merge of tokens" -k 3 --rankers "bm25>maxsim" --where "year>=2020"
    ```

    Args:
        idx: The folder of the index.
        query: What is looked for.
        k: Most documents.
        rankers: bm25, pooled, maxsim or xtr; a+b fuses two, a>b lets b order what a found.
        where: What the metadata holds, as name=value, or bounds as in year>=2020; may be given
            several times. Of several values of one name any will do, all else must hold.
        width: Letters of each document that are shown.
        json: Print the hits for machines instead.
    """
    from tokenry.index.index import Index
    from tokenry.index.searching import RANKERS

    if width < 1:
        raise UsageError(f"search: width={width} letters show nothing; give 1 or more.")
    console.quiet_models()
    wanted = _wanted(where or [])
    with Index.open(idx) as held:
        hits = held.search(" ".join(query), k, rankers=rankers or RANKERS, where=wanted or None)
    if json:
        console.write_json([hit.to_dict() for hit in hits])
    elif not hits:
        console.say(f"{idx}: nothing found.")
    else:
        for number, hit in enumerate(hits, 1):
            console.write(_marked(number, hit, width))
    return 0


@app.command(name=("evaluate", "eval"))
def evaluate(
    idx: Path,
    queries: Path,
    /,
    *,
    rankers: str | None = None,
    split: str | None = None,
    worst: int = 5,
    seed: int = 0,
    json: Flag = False,
) -> None:
    r"""Say how well an index answers queries whose answers are known.

    For example:

    ```
    tokenry evaluate notes-index queries.jsonl

    tokenry evaluate idx scifact/ --split test --rankers "bm25,bm25+pooled>maxsim,maxsim"
    ```

    Args:
        idx: The folder of the index.
        queries: A .jsonl file with a text under `query` and ids of documents under `relevant` on
            each line, or a folder in the form of BEIR or TREC. Where nobody knows the answers,
            agreement with exact MaxSim is counted.
        rankers: Ways to search, joined by commas; each is compared with the first.
        split: Of a folder: which part of the qrels.
        worst: How many of the worst queries are named.
        seed: Of the resampling.
        json: Print the findings for machines instead.
    """
    from tokenry.index.searching import RANKERS

    console.quiet_models()
    ways = [way.strip() for way in (rankers or RANKERS).split(",")]
    with warnings.catch_warnings(record=True) as noted:
        found = tokenry.evaluate(idx, queries, rankers=ways, split=split, worst=worst, seed=seed)
    for one in noted:
        console.say(str(one.message))
    console.write_found(found, json)


@app.command
def copy(idx: Path, target: Path, /, *, store: str = "segments", json: Flag = False) -> None:
    r"""Copy an index to another folder, with its token vectors in the same or another store.

    No text is encoded again. A copy that was stopped goes on when the same is called again; the
    source stays as it is, and can be searched meanwhile.

    For example:

    ```
    tokenry copy notes-index notes-lance --store lance

    tokenry copy notes-index notes-server --store "qdrant(at='http://localhost:6333')"
    ```

    Args:
        idx: The folder of an index.
        target: The folder of the copy, which holds no index yet.
        store: Where the copy keeps its token vectors: segments, lance, graph or qdrant, with
            settings as in the example.
        json: Print the findings for machines instead.
    """
    from tokenry.index.copying import copy_index

    size = copy_index(idx, target, store=store)
    if json:
        console.write_json({**asdict(size), "out": str(target), "store": store})
    else:
        held = f"{counted(size.documents, 'document')}, {counted(size.tokens, 'token')}"
        console.write(f"{target}: {held} in {store}.")


def _remarks(found: Built) -> Iterator[str]:
    """What was not read, and what is there no more."""
    from tokenry.index.sources import listed

    yield from (f"left out: {reason}" for reason in found.skipped[:_REASONS])
    if len(found.skipped) > _REASONS:
        yield f"left out: {len(found.skipped) - _REASONS} more, which --json lists."
    if found.others:
        count = counted(sum(found.others.values()), "file")
        yield f"not read: {count} of other kinds ({listed(found.others)})."
    if found.absent:
        count = counted(found.absent, "document")
        yield f"no longer in the source: {count}; --forget takes them out."


def _marked(number: int, hit: Hit, width: int) -> Text:
    """A hit with its matching words set off: the nearer, the stronger."""
    from rich.text import Text

    from tokenry.index.passages import passage, printable

    shown = passage(hit, width)
    body = Text(shown.text)
    for start, stop, similarity in shown.marks:
        body.stylize("bold reverse" if similarity > 0.7 else "bold", start, stop)
    before, behind = ("… " if shown.cut[0] else ""), (" …" if shown.cut[1] else "")
    head = Text(f"{number}. {printable(hit.id)}", "bold")
    return Text.assemble(head, f"  {hit.score:.3f}\n   {before}", body, f"{behind}\n")


def _wanted(where: list[str]) -> dict[str, Any]:
    """What `Index.search` takes: of each name values or bounds."""
    values: dict[str, list[Any]] = {}
    bounds: dict[str, dict[str, Any]] = {}
    for text in where:
        found = _WHERE.fullmatch(text)
        if not found:
            raise UsageError(f"search: where={text!r} is not like year=2024 or year>=2020.")
        name, sign, value = found.groups()
        if sign == "=":
            values.setdefault(name, []).extend(_values(value))
        else:
            bounds.setdefault(name, {})[sign] = _values(value)[-1]
    if both := sorted(values.keys() & bounds.keys()):
        raise UsageError(f"search: where asks for values and bounds of {both[0]!r}; give one.")
    return {**values, **bounds}


def _values(text: str) -> list[Any]:
    """A number, true or false as that and as a text."""
    if text in ("true", "false"):
        return [text, text == "true"]
    try:
        number = int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return [text]
    return [text, number] if abs(number) < 2**63 else [text]
