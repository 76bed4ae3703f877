"""What commands on tables write, looked at before the work begins."""

from __future__ import annotations

from pathlib import Path

from tokenry.errors import UsageError


def writable(who: str, out: Path | None, report: Path | None = None) -> None:
    """Refuse now what would fail after hours.

    Raises:
        UsageError: If a folder does not exist, or tables cannot be written with this ending.
    """
    for path in (report, out):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{who}: the folder of {path} does not exist; make it first.")
    if out is not None:
        from tokenry.tables.files import check_ending

        check_ending(out)
