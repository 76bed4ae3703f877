"""`tokenry.transform_rows`: a language model writes the texts of a table anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.method import Referee
from tokenry.ops.fields import joined
from tokenry.ops.questions import rewritten
from tokenry.ops.replies import read_text
from tokenry.progress import showing, track
from tokenry.tables import frames, sides
from tokenry.tables.aids import judged_by
from tokenry.tables.engine import arrow
from tokenry.tables.normalise import rule
from tokenry.tables.stages import Facts, Stages
from tokenry.tables.widened import Widened

if TYPE_CHECKING:
    import pyarrow as pa

TASK = "Correct the spelling."
PART = 64
"""Texts that are written anew and kept at a time."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Transformed(Widened):
    """A table with a text that was written for each of its rows.

    Attributes:
        frame: The table.
        column: The column that is added.
        texts: What it holds; None where there was nothing to write anew, or nothing was written.
        asked: Of how many distinct texts the model was asked.
        kept: Of how many of them it had been asked by an earlier run, in the same folder.
        silent: Of how many of them it wrote nothing.
    """

    column: str
    texts: list[str | None]
    asked: int
    kept: int = 0
    silent: int

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, without the rows."""
        written = sum(text is not None for text in self.texts)
        return {
            "rows": len(self),
            "column": self.column,
            "written": written,
            "asked": self.asked,
            "kept": self.kept,
            "silent": self.silent,
        }

    def __str__(self) -> str:
        found = self.to_dict()
        rows = f"{found['written']:,} of {counted(len(self), 'row')}"
        asked = counted(self.asked, "distinct text was", "distinct texts were")
        kept = f", {self.kept:,} of them by an earlier run" if self.kept else ""
        none = f"; of {self.silent:,} nothing was written" if self.silent else ""
        return f"A new text in {self.column!r} for {rows}: {asked} asked about{kept}{none}."

    def _table(self) -> pa.Table:
        pa = arrow()
        return self.frame.table.append_column(self.column, pa.array(self.texts, pa.string()))


def transform_rows(
    table: Any,
    on: str | Sequence[str],
    task: str = TASK,
    *,
    referee: Any,
    shots: Sequence[tuple[str, str]] = (),
    column: str | None = None,
    tokens: int = 64,
    folder: str | PathLike[str] | None = None,
    encoding: str | None = None,
    progress: bool | None = None,
) -> Transformed:
    """Let a language model write the texts of a table anew: spell out, translate, take apart.

    Each distinct text is asked about once, and of a reply the first line is taken. The column is
    new; what a model wrote is worth a look before anything is linked by it.

    Args:
        table: A table of any type that `tokenry.link` takes.
        on: The column, or columns; several become one text with spaces between them.
        task: What shall be done with a text, as a sentence.
        referee: The language model: `zoo:NAME`, a folder, a name on the Hub, a pair (model,
            tokenizer), an address as in `tokenry.link`, or a `Referee`.
        shots: Examples of a text and what it shall become; small models need some.
        column: The name of the new column; `transformed_` with the name of the old one when not
            given.
        tokens: The longest reply.
        folder: Keeps what was written, some texts at a time; the same call goes on there where it
            was stopped.
        encoding: Of a csv or jsonl file.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If no language model was named, the new column is there already, or `tokens` is
            less than 1.
        UnknownNameError: If there is no such column.
        StoreError: If the folder cannot be written, or another process writes to it.
    """
    frame = frames.read(table, "the table", encoding=encoding)
    names = (on,) if isinstance(on, str) else tuple(on)
    frame.check("transform_rows", names)
    new = "transformed_" + "-".join(names) if column is None else column
    if new in frame.table.column_names or not names or tokens < 1:
        raise UsageError(
            f"transform_rows: on={on!r}, column={new!r}, tokens={tokens}; name one column at "
            "least, give the new one a name that the table does not have, and allow one token."
        )
    keys = sides.normalised(frame, names, rule("none"))
    texts = joined([keys.column(name).to_pylist() for name in names], " ")
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    asking = _Asking(task=task, shots=tuple(shots), tokens=tokens, referee=_checked(referee))
    with showing(progress), Stages(None if folder is None else Path(folder)) as stages:
        written, kept = asking.written(distinct, stages)
    found = dict(zip(distinct, written, strict=True))
    return Transformed(
        frame=frame,
        column=new,
        texts=[None if text is None else found[text] for text in texts],
        asked=len(distinct),
        kept=kept,
        silent=written.count(None),
    )


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class _Asking:
    """What a language model is asked of texts."""

    task: str
    shots: tuple[tuple[str, str], ...]
    tokens: int
    referee: Any

    def written(self, texts: list[str], stages: Stages) -> tuple[list[str | None], int]:
        """What is written for each text, and how many of them an earlier run had written."""
        pa = arrow()
        fresh = [0]

        def make(facts: Facts, done: int) -> Iterator[Any]:
            judge = self._opened()
            step = facts.setdefault("portion", PART)
            starts = range(done * step, len(texts), step)
            for start in track(starts, "writing", unit="part"):
                some = texts[start : start + step]
                asked = [rewritten(text, self.task, self.shots) for text in some]
                found = [_valid(read_text(one)) for one in judge.write(asked, self.tokens)]
                fresh[0] += len(found)
                yield pa.table({"text": pa.array(found, pa.large_string())})

        settings = [texts, self.task, self.shots, self.tokens]
        if stages.lasting:
            settings.append(judged_by(self.referee, self._given()))
        schema = pa.schema([("text", pa.large_string())])
        made = stages.keep("written", settings, schema, make, goes_on=True)
        return made.read().column("text").to_pylist(), len(texts) - fresh[0]

    def _given(self) -> Referee | None:
        """The language model where it need not be loaded to be told from others."""
        given = self.referee
        return None if isinstance(given, str | Path) else self._opened()

    def _opened(self) -> Referee:
        given = self.referee
        if isinstance(given, str | tuple | Path):
            from tokenry.plugs.referee import referee

            return referee(given)
        checked: Referee = given
        return checked


def _valid(text: str | None) -> str | None:
    """A text that files can hold; a server may send half of a character."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _checked(given: Any) -> Any:
    if not isinstance(given, str | tuple | Path | Referee):
        raise UsageError(
            f"transform_rows: referee is a {type(given).__name__}; name a language model, such as "
            "referee='zoo:smollm2-135m' or an address."
        )
    return given
