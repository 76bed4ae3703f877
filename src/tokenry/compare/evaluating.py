"""`tokenry.evaluate`: how well an index answers queries whose answers are known."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tokenry.compare.columns import aligned
from tokenry.compare.records import Interval
from tokenry.compare.stats import mean_interval, resampled_means
from tokenry.counted import counted
from tokenry.data import Collection, Query
from tokenry.data.collection_loader import load_queries
from tokenry.errors import UsageError
from tokenry.index.index import Index
from tokenry.index.passages import printable
from tokenry.index.searching import RANKERS, Searchable
from tokenry.ops.ranking import ndcg, overlap, recall, reciprocal_rank, relevant
from tokenry.progress import showing, track

FIRST, DEEP = 10, 100
EXACT = "maxsim"
"""The ranker that the others are held against where no answers are known."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What an index found.

    Attributes:
        index: Its folder.
        queries: Queries that count.
        measures: For each combination of rankers, the mean of each measure with its interval.
        differences: The same of the paired differences from the first combination.
        seconds: Half of the queries, and 95 of 100, took no longer than this.
        worst: The queries that the first combination answers worst, with their scores.
        absent: Documents that answer a query and are not in the index.
    """

    index: str
    queries: int
    measures: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    seconds: dict[str, tuple[float, float]]
    worst: tuple[tuple[str, float], ...]
    absent: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "index": self.index,
            "queries": self.queries,
            "absent": self.absent,
            "rankers": {
                rankers: {
                    **{name: [*astuple(interval)] for name, interval in found.items()},
                    "difference": {n: [*astuple(i)] for n, i in self.differences[rankers].items()},
                    "p50_seconds": self.seconds[rankers][0],
                    "p95_seconds": self.seconds[rankers][1],
                }
                for rankers, found in self.measures.items()
            },
            "worst": [{"query": query, "score": score} for query, score in self.worst],
        }

    def __str__(self) -> str:
        first, *others = self.measures
        measured = (
            (rankers, *map(_spanned, found.values()), *map(_spent, self.seconds[rankers]))
            for rankers, found in self.measures.items()
        )
        lines = [
            f"{counted(self.queries, 'query', 'queries')} asked of {self.index}:",
            *aligned([("rankers", *self.measures[first], "p50", "p95"), *measured], left=1),
        ]
        for rankers in others:
            name, apart = next(iter(self.differences[rankers].items()))
            lines.append(f"{rankers}: {name} {_spanned(apart, '+')} from {first}.")
        worst = [f"{score:.3f}  {_line(query)}" for query, score in self.worst]
        return "\n".join([*lines, *(["Worst:", *worst] if worst else [])])


def _spanned(interval: Interval, sign: str = "") -> str:
    """A figure with its interval."""
    ends = f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"
    return f"{interval.value:{sign}.3f} ({ends})"


def _spent(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


def _line(query: str) -> str:
    """A query on one line, without control characters."""
    return printable(" ".join(query.split()))[:200]


def evaluate(
    index: str | PathLike[str] | Searchable,
    queries: str | PathLike[str] | Collection | Sequence[str | Query],
    *,
    rankers: str | Sequence[str] = RANKERS,
    split: str | None = None,
    worst: int = 5,
    seed: int = 0,
    progress: bool | None = None,
) -> Evaluated:
    """Ask an index queries whose answers are known, and count what it finds.

    Measures are nDCG@10 (linear gains), MRR@10 and recall@100, with bootstrap intervals of 95 %
    over the queries. Where no query has known answers it is the share of the first ten documents
    of exact MaxSim that are among the first ten.

    Args:
        index: The folder of an index, or an open one.
        queries: A .jsonl file whose lines have a text under `query` and ids of documents under
            `relevant` (a list, or labels by id); a folder in the form of BEIR or TREC; a
            collection; or queries in a list.
        rankers: How the index is searched, one way or several; the first is what the others are
            compared with.
        split: Of a folder: which part of the qrels.
        worst: Queries that are named.
        seed: Of the resampling.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        DataError: If the queries cannot be read.
        StoreError: If the index cannot be read.
        UnknownNameError: If there is no such ranker.
        UsageError: If there is nothing to count.
    """
    ways = [rankers] if isinstance(rankers, str) else list(rankers)
    asked = (
        list(queries.examples) if isinstance(queries, Collection) else load_queries(queries, split)
    )
    if worst < 0:
        raise UsageError(f"evaluate: worst={worst} queries cannot be named; give 0 or more.")
    labelled = [query for query in asked if relevant(query.relevance)]
    if not asked or not ways:
        raise UsageError("evaluate: there are no queries, or no rankers; give at least one.")
    with showing(progress):
        if isinstance(index, Searchable):
            return _evaluated(index, ways, labelled or asked, bool(labelled), worst, seed)
        with Index.open(Path(index).expanduser()) as held:
            return _evaluated(held, ways, labelled or asked, bool(labelled), worst, seed)


def _evaluated(
    index: Searchable,
    ways: list[str],
    queries: list[Query],
    labelled: bool,
    worst: int,
    seed: int,
) -> Evaluated:
    there = set(index.ids())
    absent = _absent(index, queries, there)
    scores: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    _warm_up(index, ways, queries[0].text)
    bar = track(queries, unit="query")
    for number, query in enumerate(bar):
        own = query.id in there and index.get(query.id).text == query.text
        drop = query.id if own else None
        exact = [] if labelled else _names(index, query.text, EXACT, drop)[0]
        # In turn, so that a machine that slows down slows all alike.
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            names, seconds = _names(index, query.text, way, drop)
            spent[way].append(seconds)
            for name, value in _scores(names, query, exact, labelled).items():
                scores[way].setdefault(name, []).append(value)
    first = next(iter(scores[ways[0]].values()))
    order = np.argsort(first, kind="stable")[:worst]
    return Evaluated(
        index=str(index.path),
        queries=len(queries),
        measures={way: _means(found, None, seed) for way, found in scores.items()},
        differences={way: _means(found, scores[ways[0]], seed) for way, found in scores.items()},
        seconds={
            way: (float(np.quantile(found, 0.5)), float(np.quantile(found, 0.95)))
            for way, found in spent.items()
        },
        worst=tuple((queries[i].text, float(first[i])) for i in order),
        absent=absent,
    )


def _absent(index: Searchable, queries: list[Query], there: set[str]) -> int:
    """How many documents that answer queries are not there; says so if there are any."""
    absent = {n for query in queries for n in relevant(query.relevance) if n not in there}
    if absent:
        warnings.warn(
            f"{index.path}: {len(absent)} documents that answer queries are not in the index, such "
            f"as {min(absent)!r}; they count as not found.",
            stacklevel=5,
        )
    return len(absent)


def _warm_up(index: Searchable, ways: list[str], text: str) -> None:
    """Search once each way: what is loaded by then is no part of any query's time."""
    for way in ways:
        _names(index, text, way, None)


def _names(index: Searchable, text: str, way: str, drop: str | None) -> tuple[list[str], float]:
    """Ids of the documents, the best first, and seconds from text to answers.

    A document that is the query itself is no answer.
    """
    start = time.perf_counter()
    hits = index.search(text, DEEP + 1, rankers=way)
    spent = time.perf_counter() - start
    return [hit.id for hit in hits if hit.id != drop][:DEEP], spent


def _scores(names: list[str], query: Query, exact: list[str], labelled: bool) -> dict[str, float]:
    if not labelled:
        return {f"same first {FIRST}": overlap(names, exact, FIRST)}
    return {
        f"nDCG@{FIRST}": ndcg(names, query.relevance, FIRST),
        f"MRR@{FIRST}": reciprocal_rank(names, query.relevance, FIRST),
        f"recall@{DEEP}": recall(names, query.relevance, DEEP),
    }


def _means(
    found: dict[str, list[float]], base: dict[str, list[float]] | None, seed: int
) -> dict[str, Interval]:
    means = {}
    for name, values in found.items():
        apart = np.array(values) - (0.0 if base is None else np.array(base[name]))
        means[name] = mean_interval(apart, resampled_means(apart[None], seed)[0])
    return means
