"""What the doors to pictures and to texts share: which source it is, what is broken in it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from tokenry.errors import DataError, UsageError

_SHOWN = 5

T = TypeVar("T")


def is_dataset(source: Any) -> bool:
    """Whether it is a `datasets.Dataset`; does not import that package."""
    datasets = sys.modules.get("datasets")  # whoever holds a dataset has imported it
    return datasets is not None and isinstance(source, datasets.Dataset)


def suffix_of(source: Any) -> str:
    """Return the suffix of a path in lower case; of anything else the empty text."""
    return Path(source).suffix.lower() if isinstance(source, (str, os.PathLike)) else ""


def printable(text: str) -> str:
    """Return a text that can be written as UTF-8: names of files may hold any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_on_error(on_error: str, who: str) -> None:
    """Refuse what is neither "raise" nor "skip".

    Raises:
        UsageError: it is neither.
    """
    if on_error not in {"raise", "skip"}:
        raise UsageError(f"{who}: on_error={on_error!r} is unknown; give 'raise' or 'skip'.")


def settle(
    looks: Sequence[T | DataError], source: str, noun: str, on_error: str, stacklevel: int
) -> tuple[T, ...]:
    """Keep what could be read; name what could not, in an error or a warning.

    Args:
        looks: what was read, or why it could not be.
        source: what messages call the whole.
        noun: "pictures" or "texts".
        on_error: "raise" or "skip".
        stacklevel: of the warning, seen from here.

    Raises:
        DataError: something cannot be read and `on_error` is "raise", or nothing can.
    """
    good = tuple(look for look in looks if not isinstance(look, DataError))
    bad = [look for look in looks if isinstance(look, DataError)]
    if not bad:
        return good
    shown = "\n".join(f"  {error}" for error in bad[:_SHOWN])
    more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    report = f"{source}: {len(bad)} of {len(looks)} {noun} cannot be read"
    if on_error == "raise" or not good:
        advice = (
            ""
            if not good
            else "; mend or remove them, or load with on_error='skip' to leave them out"
        )
        raise DataError(f"{report}{advice}:\n{shown}{more}")
    warnings.warn(
        f"{report} and are left out:\n{shown}{more}", UserWarning, stacklevel=stacklevel + 1
    )
    return good
