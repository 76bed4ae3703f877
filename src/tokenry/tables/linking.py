"""`tokenry.link`: which rows of two tables are the same thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import Aids, Linker
from tokenry.tables import blocking, frames, sides
from tokenry.tables.duckdb_engine import MEMORY, DuckDBEngine
from tokenry.tables.engine import Engine
from tokenry.tables.links import Links
from tokenry.tables.normalise import Form, rule
from tokenry.tables.pipeline import Assign, Plan, run
from tokenry.tables.stages import Stages, fingerprint

METHOD = "hybrid"
"""What links where no method is named."""


def link(
    left: Any,
    right: Any,
    on: str | Sequence[str] | None = None,
    *,
    left_on: str | Sequence[str] | None = None,
    right_on: str | Sequence[str] | None = None,
    method: str | Linker = METHOD,
    block: str | Sequence[str] | None = None,
    max_block: int = blocking.MAX_BLOCK,
    k: int | None = None,
    threshold: float | None = None,
    assign: Assign = "best_left",
    normalise: Form | Callable[[str], str | None] = "text",
    folder: str | PathLike[str] | None = None,
    memory: str = MEMORY,
    encoding: str | None = None,
) -> Links:
    """Link the rows of two tables that are the same thing."""
    first = frames.read(left, "the left table", encoding=encoding)
    second = frames.read(right, "the right table", encoding=encoding)
    linker = catalog.make(method) if isinstance(method, str) else method
    if not isinstance(linker, Linker):
        raise UsageError(f"link: {method!r} is no linker; `tokenry list --family linking`.")
    keys = sides.named(on, left_on, right_on, first, second)

    def engine(stages: Stages) -> Engine:
        return DuckDBEngine(memory=memory, spill=stages.folder / "spill")

    plan = Plan(
        left=keys[0],
        right=keys[1],
        method=linker,
        aids=Aids(),
        names=[],
        rules=blocking.rules(block, first.table.column_names, second.table.column_names),
        max_block=max_block,
        k=k,
        threshold=threshold,
        assign=assign,
        normalise=rule(normalise),
        engine=engine,
    )
    with Stages(None if folder is None else Path(folder)) as stages:
        if folder is not None:
            stages.mix([fingerprint(first.table), fingerprint(second.table)])
        found = run(plan, first, second, stages)
    return Links(
        table=found.links,
        left=first,
        right=second,
        on=keys,
        method=linker.describe(),
        threshold=found.threshold,
        assign=assign,
        facts=found.facts,
        stages=tuple(stages.done),
        notes=found.notes,
        matcher=found.matcher,
    )
