"""What the command line prints (texts, tables, JSON for machines), and how it hears Ctrl-C."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def described(card: dict[str, Any]) -> str:
    """A card as text."""
    paper = f"{card['title']}, {card['venue'] or card['year']}" if card["arxiv"] else card["title"]
    lines = [f"{card['slug']}: {card['name']}", paper]
    if card["arxiv"]:
        lines.append(f"https://arxiv.org/abs/{card['arxiv']}")
    if card["code"]:
        lines.append(f"Official code: {card['code']} ({card['code_license']})")
    lines += ["", card["summary"], f"Dial: {card['dial']}", f"Needs: {card['needs']}"]
    for claim in card["claims"]:
        here = claim["measured"] or f"not shown: {claim['not_shown']}"
        lines += ["", f"The paper: {claim['paper']}", f"Here: {claim['effect']} {here}"]
    if card["differs"]:
        lines += ["", "It differs from paper or official code:"]
        lines += [f"- {difference}" for difference in card["differs"]]
    return "\n".join([*lines, ""])


def table(*columns: str) -> Table:
    """An empty table; only the first column stays on one line."""
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        found.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return found


def write(content: str | Table | Text) -> None:
    """Print a text, plain or with marks, or a table as wide as the terminal."""
    from rich.console import Console

    Console(markup=False, highlight=False, soft_wrap=isinstance(content, str)).print(content)


def show(content: Table) -> None:
    """Print a table on standard error."""
    from rich.console import Console

    Console(markup=False, highlight=False, stderr=True).print(content)


def ask(question: str) -> str | None:
    """Put a question on standard error and read a line; None at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
    return line or None


def write_found(found: Any, as_json: bool) -> None:
    """Print findings, or what they are as plain data, for machines."""
    if as_json:
        write_json(found.to_dict())
    else:
        write(str(found))


def quiet_models() -> None:
    """Leave standard error to bars, unless the environment wants to hear of transformers."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def write_json(content: Any) -> None:
    """Print plain data as JSON."""
    sys.stdout.write(json.dumps(_finite(content), indent=1, ensure_ascii=False) + "\n")


def _finite(content: Any) -> Any:
    """The same with None for infinity and NaN, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content


def say(message: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"{message}\n")


@contextmanager
def noting_interrupts() -> Iterator[list[int]]:
    """Remember each Ctrl-C, which a comparison survives."""
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    if before is signal.default_int_handler:  # else Ctrl-C is ignored, or someone else's
        signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
