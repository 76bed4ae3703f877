"""The directive `bench-table`: figures come from `bench/results/`, none is typed twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).resolve().parent.parent / "bench" / "results"


class BenchTable(SphinxDirective):
    """`{bench-table} FILE PART`: one table for each block of a part of a results file."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Build the tables, or one sentence when nothing was measured yet."""
        name, part = self.arguments
        path = RESULTS / f"{name}.json"
        self.env.note_dependency(str(path))
        result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if part not in result:
            return [nodes.paragraph("", f"Not measured yet; `make bench` writes {path.name}.")]
        lines = markdown(result, part)
        container = nodes.container()
        self.state.nested_parse(StringList(lines, str(path)), self.content_offset, container)
        return container.children


def markdown(result: dict[str, Any], part: str) -> list[str]:
    """The blocks of `result[part]` as Markdown lines, and what they were measured on.

    A block is a dictionary of plain values, which become its caption, and of one list of rows
    or one dictionary, which becomes its table.
    """
    lines = []
    for block in result[part]:
        plain = {k: v for k, v in block.items() if not isinstance(v, list | dict)}
        lines += [f"**{_pairs(plain)}**", ""]
        for key, value in block.items():
            if isinstance(value, dict):
                lines += _table([{"": k, key: v} for k, v in value.items()])
            elif isinstance(value, list):
                lines += _table(value)
    return [*lines, f"Measured with {_pairs(result['environment'])}."]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    heads = " | ".join(column.replace("_", " ") for column in columns)
    body = [" | ".join(str(row.get(column, "")) for column in columns) for row in rows]
    return [f"| {line} |" for line in (heads, "|".join(["---"] * len(columns)), *body)] + [""]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("bench-table", BenchTable)
    return {"parallel_read_safe": True}
