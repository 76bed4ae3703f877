"""`tokenry.transform_rows`: a language model writes the texts of a table anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.method import Referee
from tokenry.ops.fields import joined
from tokenry.ops.questions import rewritten
from tokenry.ops.replies import read_text
from tokenry.tables import frames, sides
from tokenry.tables.engine import arrow
from tokenry.tables.normalise import rule
from tokenry.tables.widened import Widened

if TYPE_CHECKING:
    import pyarrow as pa

TASK = "Correct the spelling."


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Transformed(Widened):
    """A table with a text that was written for each of its rows.

    Attributes:
        frame: The table.
        column: The column that is added.
        texts: What it holds; None where there was nothing to write anew, or nothing was written.
        asked: Of how many distinct texts the model was asked.
        silent: Of how many of them it wrote nothing.
    """

    column: str
    texts: list[str | None]
    asked: int
    silent: int

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, without the rows."""
        written = sum(text is not None for text in self.texts)
        return {
            "rows": len(self),
            "column": self.column,
            "written": written,
            "asked": self.asked,
            "silent": self.silent,
        }

    def __str__(self) -> str:
        found = self.to_dict()
        rows = f"{found['written']:,} of {counted(len(self), 'row')}"
        asked = counted(self.asked, "distinct text was", "distinct texts were")
        none = f"; of {self.silent:,} nothing was written" if self.silent else ""
        return f"A new text in {self.column!r} for {rows}: {asked} asked about{none}."

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
    encoding: str | None = None,
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
        encoding: Of a csv or jsonl file.

    Raises:
        UsageError: If no language model was named, the new column is there already, or `tokens` is
            less than 1.
        UnknownNameError: If there is no such column.
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
    judge = _opened(referee)
    keys = sides.normalised(frame, names, rule("none"))
    texts = joined([keys.column(name).to_pylist() for name in names], " ")
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    replies = judge.write([rewritten(text, task, shots) for text in distinct], tokens)
    found = dict(zip(distinct, map(read_text, replies), strict=True))
    return Transformed(
        frame=frame,
        column=new,
        texts=[None if text is None else found[text] for text in texts],
        asked=len(distinct),
        silent=sum(text is None for text in found.values()),
    )


def _opened(given: Any) -> Referee:
    if isinstance(given, str | tuple | Path):
        from tokenry.plugs.referee import referee

        return referee(given)
    if not isinstance(given, Referee):
        raise UsageError(
            f"transform_rows: referee is a {type(given).__name__}; name a language model, such as "
            "referee='zoo:smollm2-135m' or an address."
        )
    return given
