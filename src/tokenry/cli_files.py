"""What commands on tables write, looked at before the work begins."""

from __future__ import annotations

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
