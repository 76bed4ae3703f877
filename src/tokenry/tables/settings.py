"""What `link` and the verbs on top of it let a caller choose, and how it becomes a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import Aids, Linker
from tokenry.ops.guards import ROUNDING
from tokenry.progress import showing
from tokenry.tables import aids, blocking, sides
from tokenry.tables.duckdb_engine import MEMORY
from tokenry.tables.engine import Engine
from tokenry.tables.frames import Frame
from tokenry.tables.links import Links
from tokenry.tables.normalise import Form, rule
from tokenry.tables.pipeline import run
from tokenry.tables.plan import Plan
from tokenry.tables.stages import SPILL, Stages, fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

    Columns = str | Sequence[str]

ENGINES = {
    "duckdb": "tokenry.tables.duckdb_engine:DuckDBEngine",
    "daft": "tokenry.tables.daft_engine:DaftEngine",
}
"""Engines by name; each is made with the memory it may use and a folder to spill to."""
METHOD = "hybrid"
"""What links where no method is named."""


class Settings(TypedDict, total=False):
    """What all verbs over tables take; each may be left out.

    Attributes:
        method: A linker by name, with settings as in "fuzzy(scorer=jaro-winkler)", or an instance;
            "hybrid" when not given.
        block: Which rows are compared, as rules: "city", "zip+year" (both), "name:3" (the first
            three characters), "name:words" (a word in common), "city=town" (other names). A pair
            is compared when one rule allows it. Without rules each row is compared with all.
        max_block: Pairs of a block, 1,000,000 when not given; larger blocks are left out and
            reported.
        k: How many right rows of each left row may become links; without a block the method looks
            for so many. When not given: with a block all, without one 1 if `assign` is best_left
            and else 10.
        threshold: The score from which on a pair is a link; the method's own when not given.
        normalise: "text" (case, punctuation and spaces do not count, the default), "letters" (nor
            do accents), "none", or a function from text to text.
        encoder: What gives texts vectors, for methods that need some: `zoo:NAME`, a folder, a name
            on the Hub, an encoder, or a function; zoo:minilm-l6 when not given and installed.
        picture: A function that gives pictures vectors.
        referee: A language model to ask: a causal one by name, folder or (model, tokenizer), the
            address of an OpenAI-compatible endpoint as in http://localhost:8000/v1#model, or
            anything that `tokenry.method.Referee` describes.
        tables: Further tables that a method may need, by name.
        known: Labelled pairs to learn from: a table with columns left, right and label.
        gold: True pairs to measure with: a table with columns left and right.
        id: The column, or one for each table, of ids that `known` and `gold` name rows by; numbers
            of rows from 0 when not given.
        folder: Keeps each finished stage. The same call goes on there where it was stopped, and
            after a change only what depends on it is done again.
        memory: What the engine may hold before it spills to disk, "1GB" when not given. The
            linker's own tables come on top.
        engine: What joins, by name ("duckdb" or "daft"), or a function from a folder to an engine.
        device: Where a named encoder runs.
        progress: Show bars; None shows them on a terminal.
    """

    method: str | Linker
    block: Columns | None
    max_block: int
    k: int | None
    threshold: float | None
    normalise: Form | Callable[[str], str | None]
    encoder: Any
    picture: Any
    referee: Any
    tables: Mapping[str, Any] | None
    known: Any
    gold: Any
    id: str | tuple[str, str] | None
    folder: str | PathLike[str] | None
    memory: str
    engine: str | Callable[[Path], Engine]
    device: str | None
    progress: bool | None


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Run:
    """One verb over one or two tables.

    Attributes:
        who: The verb, for messages.
        left: The left table.
        right: The right one; the same object to search one table for duplicates.
        on: The key columns of both.
        assign: How many links a row may have.
        settings: The others.
        apart: How far below the threshold pairs are kept, as `Plan` says.
    """

    who: str
    left: Frame
    right: Frame
    on: tuple[tuple[str, ...], tuple[str, ...]]
    assign: str
    settings: Settings
    apart: float = 0.0

    def links(self) -> Links:
        """Go through all stages."""
        return self.found()[0]

    def found(self) -> tuple[Links, pa.Table | None]:
        """Go through all stages, and give what was kept for a guard too.

        Raises:
            UsageError: If a setting is not allowed.
            UnknownNameError: If there is no such setting.
        """
        for name in self.settings:
            if name not in Settings.__annotations__:
                raise UnknownNameError(f"{self.who}: the setting", name, Settings.__annotations__)
        method = catalog.configured(self.settings.get("method", METHOD), Linker, self.who)
        given, true = self._given()
        folder = self.settings.get("folder")
        shown = showing(self.settings.get("progress"))
        with shown, Stages(None if folder is None else Path(folder)) as stages:
            made, names = given.aids(stages.folder / "vectors", stages.lasting)
            if stages.lasting:
                stages.mix([fingerprint(one.table) for one in (self.left, self.right)])
            plan = self._plan(method, made, names, true)
            found = run(plan, self.left, self.right, stages)
        links = Links(
            table=found.links,
            left=self.left,
            right=self.right,
            on=self.on,
            method=method.describe(),
            threshold=found.threshold,
            assign=self.assign,
            facts=found.facts,
            stages=tuple(stages.done),
            notes=found.notes,
            matcher=found.matcher,
        )
        return links, found.near

    def _given(self) -> tuple[aids.Given, NDArray[np.int64] | None]:
        """What linkers may ask for, and the true pairs."""
        chosen = self.settings
        ids = aids.Ids(self.left, self.right, _pair(chosen.get("id")))
        for frame, column in zip((self.left, self.right), ids.columns or (), strict=False):
            frame.check(self.who, (column,))
        known, gold = chosen.get("known"), chosen.get("gold")
        found = aids.Given(
            encoder=chosen.get("encoder"),
            picture=chosen.get("picture"),
            referee=chosen.get("referee"),
            tables=chosen.get("tables"),
            known=None if known is None else aids.labelled(known, ids, self.who),
            device=chosen.get("device"),
        )
        alone = self.right is self.left
        return found, None if gold is None else aids.gold(gold, ids, alone, self.who)

    def _plan(self, method: Linker, made: Aids, names: Any, gold: NDArray[np.int64] | None) -> Plan:
        chosen = self.settings
        check_reachable(self.who, method, made, chosen.get("threshold"))
        form = chosen.get("normalise", "text")
        columns = (self.left.table.column_names, self.right.table.column_names)
        return Plan(
            who=self.who,
            left=self.on[0],
            right=self.on[1],
            method=method,
            aids=made,
            names=names,
            rules=blocking.rules(chosen.get("block"), *columns, self.who),
            max_block=chosen.get("max_block", blocking.MAX_BLOCK),
            k=chosen.get("k"),
            threshold=chosen.get("threshold"),
            apart=self.apart,
            assign=self.assign,
            normalise=rule(form),
            normaliser=_form(form),
            engine=self._engine(),
            gold=gold,
        )

    def _engine(self) -> Callable[[Stages], Engine]:
        given = self.settings.get("engine", "duckdb")
        memory = self.settings.get("memory", MEMORY)
        if callable(given):
            return lambda stages: given(stages.folder / SPILL)
        if given not in ENGINES:
            raise UsageError(
                f"{self.who}: engine={given!r} is unknown; give {', '.join(ENGINES)}, or a "
                "function from a folder to a tokenry.tables.engine.Engine."
            )
        module, _, name = ENGINES[given].partition(":")
        build = getattr(import_module(module), name)
        return lambda stages: build(memory=memory, spill=stages.folder / SPILL)


def between(
    who: str,
    left: Frame,
    right: Frame,
    on: tuple[Columns | None, Columns | None, Columns | None],
    assign: str,
    settings: Settings,
) -> Links:
    """Link two tables.

    Args:
        who: The verb, for messages.
        left: One table.
        right: The other one.
        on: What the caller gave as `on`, `left_on` and `right_on`.
        assign: How many links a row may have.
        settings: The others.
    """
    keys = sides.named(*on, left, right, who)
    return Run(who=who, left=left, right=right, on=keys, assign=assign, settings=settings).links()


def check_reachable(who: str, method: Linker, aids: Aids, threshold: float | None) -> None:
    """Refuse a threshold that no score reaches.

    Raises:
        UsageError: If it is above the highest score of the linker.
    """
    least = method.threshold if threshold is None else threshold
    highest = method.highest(aids)
    if least is not None and least > highest + ROUNDING:
        raise UsageError(
            f"{who}: threshold={least:g} is above {highest:g}, the highest score of "
            f"{method.card.slug}; give at most {highest:g}, or nothing for the linker's own."
        )


def _form(given: Any) -> str:
    """What says how texts are normalised, as plain data."""
    return given if isinstance(given, str) else f"{given.__module__}.{given.__qualname__}"


def _pair(given: str | tuple[str, str] | None) -> tuple[str, str] | None:
    return (given, given) if isinstance(given, str) else given
