"""What the commands' arguments have in common: flags, numbers, and files that will be written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tokenry import catalog
from tokenry.errors import UsageError

Flag = Annotated[bool, Parameter(negative="", show_default=False)]


def numbers(who: str, name: str, text: str) -> list[float]:
    """Numbers that are joined by commas.

    Args:
        who: The command, for messages.
        name: The argument.
        text: What was given.

    Raises:
        UsageError: If something else stands there.
    """
    try:
        return [float(word) for word in catalog.split(text)]
    except ValueError:
        raise UsageError(f"{who}: {name}={text!r} is not numbers joined by commas.") from None


def check_folders(who: str, *files: Path | None) -> None:
    """Refuse now to write what would fail after hours.

    Raises:
        UsageError: If the folder of a file does not exist.
    """
    for path in files:
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{who}: the folder of {path} does not exist; make it first.")
