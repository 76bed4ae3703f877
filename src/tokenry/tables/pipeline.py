"""The stages from two tables to links: normalise, block, score, assign.

Each stage is a function from Arrow tables to Arrow tables; `tokenry.tables.stages` measures them
and keeps what they made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.method import Matcher, Scored, Side
from tokenry.ops.agreement import agreement
from tokenry.ops.assignment import ASSIGNMENTS
from tokenry.ops.clusters import components
from tokenry.ops.link_measures import blocking_measures
from tokenry.progress import track
from tokenry.tables import blocking, sides
from tokenry.tables.engine import arrow
from tokenry.tables.frames import Frame
from tokenry.tables.plan import Plan
from tokenry.tables.stages import Facts, Kept, Stages

if TYPE_CHECKING:
    import pyarrow as pa

NEAREST = "nearest"
"""The source of pairs that no blocking rule brought."""
PART = 1 << 14
"""Pairs that are scored and written at a time."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What the stages brought.

    Attributes:
        links: left, right, score, source.
        matcher: The linker, once it is asked for.
        threshold: The score from which on pairs were links.
        near: left, right and score of pairs below the threshold between rows that no links join;
            None where none were kept.
        facts: Figures by name.
        notes: What a reader should know.
    """

    links: pa.Table
    matcher: Callable[[], Matcher] = field(repr=False)
    threshold: float
    near: pa.Table | None
    facts: Facts
    notes: tuple[str, ...]


def run(plan: Plan, left: Frame, right: Frame, stages: Stages) -> Found:
    """Put two tables through all stages; the same one twice is searched for duplicates."""
    alone = right is left
    made = _normalised(plan, left, right, stages)
    both = _sides(plan, left, right, made)

    @cache
    def matcher() -> Matcher:
        with stages.measured("prepare") as counted:
            found = plan.method.prepare(*both, plan.aids)
            counted[0] = both[0].count + (0 if alone else both[1].count)
        return found

    stages.mix([plan.method.describe(), plan.names])
    candidates = _candidates(plan, made, stages, alone) if plan.rules else None
    if candidates is None:
        scored, looked = _searched(plan, matcher, stages, len(left), alone)
    else:
        scored, looked = _scored(plan, matcher, candidates, stages), candidates.rows
    threshold = scored.facts["threshold"]
    links = _assigned(plan, scored, threshold, stages)
    facts = {"candidates": looked}
    if plan.gold is not None:
        rows = (len(left), len(right), alone)
        facts |= _against(plan.gold, links, scored if candidates is None else candidates, rows)
    notes = [*left.notes, *(() if alone else right.notes)]
    if candidates is not None:
        facts["dropped_pairs"] = candidates.facts["dropped_pairs"]
        notes += candidates.facts["notes"]
    near = _near(scored, links, threshold, len(left)) if plan.apart else None
    return Found(links, matcher, threshold, near, facts, tuple(notes))


Both = tuple["pa.Table", "pa.Table"]


def _normalised(plan: Plan, left: Frame, right: Frame, stages: Stages) -> Both:
    pa = arrow()
    found: list[Any] = []
    for side, frame, keys in (("left", left, plan.left), ("right", right, plan.right)):
        if side == "right" and right is left:
            return found[0], found[0]
        columns = tuple(dict.fromkeys((*keys, *blocking.columns(plan.rules, side))))
        schema = pa.schema([(name, pa.large_string()) for name in columns])

        def make(facts: Facts, done: int, frame: Frame = frame, columns: Any = columns) -> Any:
            yield sides.normalised(frame, columns, plan.normalise)

        found.append(
            stages.keep(f"normalise-{side}", [plan.normaliser, *columns], schema, make).read()
        )
    return found[0], found[1]


def _sides(plan: Plan, left: Frame, right: Frame, made: Both) -> tuple[Side, Side]:
    first = sides.side(left, made[0], plan.left, plan.left)
    return first, first if right is left else sides.side(right, made[1], plan.right, plan.left)


def _candidates(plan: Plan, made: Both, stages: Stages, alone: bool) -> Kept:
    """Pairs that a rule brings."""
    pa = arrow()
    schema = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("source", pa.string())])

    def make(facts: Facts, done: int) -> Iterator[Any]:
        second = blocking.keys(made[1], plan.rules, "right")
        first = blocking.keys(made[0], plan.rules, "left", None if alone else second)
        engine = plan.engine(stages)
        try:
            blocks, pairs = blocking.candidates(
                first, second, plan.rules, engine, plan.max_block, alone
            )
            facts["dropped_pairs"] = blocks.dropped_pairs
            facts["notes"] = [f"{blocks}."] if blocks.dropped else []
            count = blocks.pairs - blocks.dropped_pairs
            with track(None, "blocking", unit="pair", unit_scale=True, total=count) as bar:
                for part in _gathered(pairs, schema):
                    bar.update(len(part))
                    yield part
        finally:
            engine.close()

    settings = [[rule.text for rule in plan.rules], plan.max_block]
    return stages.keep("candidates", settings, schema, make)


def _gathered(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables joined until they have a million rows: not a file for each."""
    pa = arrow()
    waiting: list[Any] = []
    for table in tables:
        waiting.append(table.cast(schema))
        if sum(map(len, waiting)) >= 1 << 20:
            yield pa.concat_tables(waiting)
            waiting = []
    yield pa.concat_tables([schema.empty_table(), *waiting])


def _scored(plan: Plan, matcher: Callable[[], Matcher], candidates: Kept, stages: Stages) -> Kept:
    """Candidates that score enough."""

    def make(facts: Facts, done: int) -> Iterator[Any]:
        read = matcher()
        floor = plan.floor(_least(plan, read, facts))
        count = -(-candidates.rows // PART)
        bar = track(candidates.batches(PART), "scoring", unit="part", total=count)
        for number, batch in enumerate(bar):
            if number >= done:
                yield _enough(read, batch, floor)

    settings = [plan.threshold, plan.apart, None, PART]
    return stages.keep("scored", settings, _schema(), make, goes_on=True)


def _searched(
    plan: Plan, matcher: Callable[[], Matcher], stages: Stages, count: int, alone: bool
) -> tuple[Kept, int]:
    """The best right rows of each left row, and how many there are; some rows at a time."""

    def make(facts: Facts, done: int) -> Iterator[Any]:
        read = matcher()
        floor = plan.floor(_least(plan, read, facts))
        step = facts.setdefault("portion", read.portion)
        first = min(count, done * step)
        told = {"unit": "row", "unit_scale": True, "total": count, "initial": first}
        with track(None, "searching", **told) as bar:
            for start in range(first, count, step):
                rows = slice(start, min(start + step, count))
                yield _pairs(read.nearest(plan.most, floor, rows))
                bar.update(rows.stop - start)

    def once(facts: Facts, done: int) -> Iterator[Any]:
        facts |= found.facts
        yield _each_once(found.read())

    settings = [plan.threshold, plan.apart, plan.most]
    found = stages.keep("nearest", settings, _schema(), make, goes_on=True)
    looked = found.rows
    return stages.keep("scored", None, _schema(), once) if alone else found, looked


def _schema() -> pa.Schema:
    pa = arrow()
    kinds = [("left", pa.int64()), ("right", pa.int64()), ("score", pa.float64())]
    return pa.schema([*kinds, ("source", pa.string())])


def _least(plan: Plan, matcher: Matcher, facts: Facts) -> float:
    """The score from which on a pair is a link, which is noted."""
    least = matcher.threshold if plan.threshold is None else plan.threshold
    facts["threshold"] = float(least)
    return least


def _enough(matcher: Matcher, batch: pa.RecordBatch, least: float) -> pa.Table:
    pa = arrow()
    left, right = (batch.column(name).to_numpy() for name in ("left", "right"))
    score = np.asarray(matcher.score(left, right), dtype=np.float64)
    table = pa.table({"left": left, "right": right, "score": score, "source": batch["source"]})
    return table.filter(pa.array(score >= least))  # NaN is not enough


def _pairs(found: Scored) -> pa.Table:
    """Pairs as a table."""
    pa = arrow()
    left, right = np.asarray(found.left), np.asarray(found.right)
    score = np.asarray(found.score, dtype=np.float64)
    source = pa.array([NEAREST]).take(pa.array(np.zeros(len(left), np.int64)))
    return pa.table({"left": left, "right": right, "score": score, "source": source})


def _each_once(pairs: pa.Table) -> pa.Table:
    """Pairs within one table, each once, left < right."""
    both = np.sort([pairs.column(side).to_numpy() for side in ("left", "right")], axis=0)
    _, first = np.unique(both[0] * (both[1].max(initial=0) + 1) + both[1], return_index=True)
    kept = pairs.take(arrow().array(first))
    columns = {name: kept.column(name) for name in ("score", "source")}
    return arrow().table({"left": both[0][first], "right": both[1][first], **columns})


def _assigned(plan: Plan, scored: Kept, threshold: float, stages: Stages) -> pa.Table:
    """Which scored pairs are links, sorted by left row, falling score, right row."""

    def make(facts: Facts, done: int) -> Iterator[Any]:
        table = _strong(scored, threshold) if plan.apart else scored.read()
        order = [("left", "ascending"), ("score", "descending"), ("right", "ascending")]
        table = table.sort_by(order)
        if plan.k is not None:
            table = table.take(_first(table.column("left").to_numpy(), plan.k))
        arrays = [table.column(name).to_numpy() for name in ("left", "right", "score")]
        yield table.take(ASSIGNMENTS[plan.assign](*arrays))

    return stages.keep("links", [plan.assign, plan.k], scored.schema, make).read()


def _strong(scored: Kept, threshold: float) -> pa.Table:
    """Pairs from the threshold on; those below it are never in memory together."""
    pa = arrow()
    parts = (
        batch.filter(pa.array(batch.column("score").to_numpy() >= threshold))
        for batch in scored.batches()
    )
    return pa.Table.from_batches(list(parts), schema=scored.schema)


def _near(scored: Kept, links: pa.Table, threshold: float, count: int) -> pa.Table:
    """Pairs below the threshold of rows that no links join, neither directly nor through others."""
    pa = arrow()
    pairs = np.stack([links.column(side).to_numpy() for side in ("left", "right")], 1)
    joined = components(pairs, count)
    parts = [scored.schema.empty_table()]
    for batch in scored.batches():
        left, right = (joined[batch.column(side).to_numpy()] for side in ("left", "right"))
        weak = (batch.column("score").to_numpy() < threshold) & (left != right)
        parts.append(pa.Table.from_batches([batch.filter(pa.array(weak))]))
    return pa.concat_tables(parts).select(["left", "right", "score"])


def _against(
    gold: NDArray[np.int64],
    links: pa.Table,
    candidates: Kept,
    shape: tuple[int, int, bool],
) -> Facts:
    """Precision, recall and F1 of the links, and what the candidates still had of the gold."""
    wide = shape[1]
    true = np.sort(gold[:, 0] * wide + gold[:, 1])
    shared = int(np.isin(_codes(links, wide), true).sum())
    there = sum(int(np.isin(_codes(one, wide), true).sum()) for one in candidates.batches())
    pairs = shape[0] * (shape[0] - 1) // 2 if shape[2] else shape[0] * shape[1]
    blocking = blocking_measures(candidates.rows, there, len(true), pairs)
    return {
        "gold": len(true),
        **agreement(shared, len(links), len(true))._asdict(),
        "blocking_recall": blocking["recall"],
        "reduction": blocking["reduction"],
    }


def _codes(pairs: Any, wide: int) -> NDArray[np.int64]:
    found = pairs.column("left").to_numpy() * wide + pairs.column("right").to_numpy()
    return np.asarray(found, dtype=np.int64)


def _first(groups: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Positions of the first k of each run of equal numbers."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    places = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return np.flatnonzero(places < k)
