"""Columns as a data frame of the library that the user has."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import util
from typing import Any, Literal

from tokenry.errors import MissingExtraError, UsageError

Backend = Literal["pandas", "polars"]


def data_frame(columns: Mapping[str, list[Any]], backend: Backend | None) -> Any:
    """A data frame.

    Args:
        columns: Its columns by name.
        backend: Which library's; None takes the one that is installed, pandas first.

    Raises:
        MissingExtraError: If it is not installed.
        UsageError: If `backend` is something else.
    """
    import narwhals

    return narwhals.from_dict(columns, backend=_installed(backend)).to_native()


def _installed(backend: str | None) -> Backend:
    if backend not in (None, "pandas", "polars"):
        raise UsageError(f"to_frame: backend={backend!r}; allowed: 'pandas', 'polars' or None.")
    if backend != "polars" and util.find_spec("pandas") is not None:
        return "pandas"
    if backend != "pandas" and util.find_spec("polars") is not None:
        return "polars"
    raise MissingExtraError("to_frame", f"pip install {backend or 'pandas'}")
