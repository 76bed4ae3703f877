"""What `link` and the verbs on top of it let a caller choose, and how it becomes a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import Linker
from tokenry.tables import aids, blocking, sides
from tokenry.tables.duckdb_engine import MEMORY, DuckDBEngine
from tokenry.tables.engine import Engine
from tokenry.tables.frames import Frame
from tokenry.tables.links import Links
from tokenry.tables.normalise import Form, rule
from tokenry.tables.pipeline import Plan, run
from tokenry.tables.stages import Stages, fingerprint

if TYPE_CHECKING:
    Columns = str | Sequence[str]

METHOD = "hybrid"
"""What links where no method is named."""


class Settings(TypedDict, total=False):
    """Settings that all verbs over tables share; `tokenry.link` describes them."""

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
    """

    who: str
    left: Frame
    right: Frame
    on: tuple[tuple[str, ...], tuple[str, ...]]
    assign: str
    settings: Settings

    def links(self) -> Links:
        """Go through all stages.

        Raises:
            UsageError: If a setting is not allowed.
        """
        chosen = self.settings
        method = _linker(chosen.get("method", METHOD), self.who)
        ids = aids.Ids(self.left, self.right, _pair(chosen.get("id")))
        known, gold = chosen.get("known"), chosen.get("gold")
        given = aids.Given(
            encoder=chosen.get("encoder"),
            picture=chosen.get("picture"),
            referee=chosen.get("referee"),
            tables=chosen.get("tables"),
            known=None if known is None else aids.labelled(known, ids, self.who),
            device=chosen.get("device"),
        )
        true = None if gold is None else aids.gold(gold, ids, self.right is self.left, self.who)
        folder = chosen.get("folder")
        with Stages(None if folder is None else Path(folder)) as stages:
            found_aids, names = given.aids(stages.folder / "vectors", stages.lasting)
            if stages.lasting:
                stages.mix([fingerprint(one.table) for one in (self.left, self.right)])
            plan = Plan(
                who=self.who,
                left=self.on[0],
                right=self.on[1],
                method=method,
                aids=found_aids,
                names=names,
                rules=self._rules(),
                max_block=chosen.get("max_block", blocking.MAX_BLOCK),
                k=chosen.get("k"),
                threshold=chosen.get("threshold"),
                assign=self.assign,
                normalise=rule(chosen.get("normalise", "text")),
                normaliser=_form(chosen.get("normalise", "text")),
                engine=self._engine(),
                gold=true,
            )
            found = run(plan, self.left, self.right, stages)
        return Links(
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

    def _rules(self) -> tuple[blocking.Rule, ...]:
        names = (self.left.table.column_names, self.right.table.column_names)
        return blocking.rules(self.settings.get("block"), *names, self.who)

    def _engine(self) -> Callable[[Stages], Engine]:
        given = self.settings.get("engine", "duckdb")
        memory = self.settings.get("memory", MEMORY)
        if callable(given):
            return lambda stages: given(stages.folder / "spill")
        if given != "duckdb":
            raise UsageError(
                f"{self.who}: engine={given!r} is unknown; give 'duckdb', or a function from a "
                "folder to a tokenry.tables.engine.Engine."
            )
        return lambda stages: DuckDBEngine(memory=memory, spill=stages.folder / "spill")


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


def _linker(given: str | Linker, who: str) -> Linker:
    found = catalog.make(given) if isinstance(given, str) else given
    if not isinstance(found, Linker):
        raise UsageError(
            f"{who}: method={given!r} is no linker; `tokenry list --family linking` shows those "
            "there are."
        )
    return found


def _form(given: Any) -> str:
    """What says how texts are normalised, as plain data."""
    return given if isinstance(given, str) else f"{given.__module__}.{given.__qualname__}"


def _pair(given: str | tuple[str, str] | None) -> tuple[str, str] | None:
    return (given, given) if isinstance(given, str) else given
