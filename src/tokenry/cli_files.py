"""What commands on tables are given: names of columns, and files to write."""

from __future__ import annotations

import csv
from pathlib import Path

from tokenry.cli_arguments import check_folders


def writable(who: str, out: Path | None, report: Path | None = None) -> None:
    """Refuse now what would fail after hours.

    Raises:
        UsageError: If a folder does not exist, or tables cannot be written with this ending.
    """
    check_folders(who, report, out)
    if out is not None:
        from tokenry.tables.files import check_ending

        check_ending(out)


def columns(text: str) -> list[str]:
    """Names of columns that are joined by commas; a name with a comma stands in quotation marks.

    >>> columns('name, "last, first"')
    ['name', 'last, first']
    """
    names = next(csv.reader([text], skipinitialspace=True), [])
    return [name.strip() for name in names if name.strip()]
