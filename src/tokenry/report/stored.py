"""What tasks stored for the page, and files that the page is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenry.errors import StoreError


@contextmanager
def reading(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Say what to do where something stored is not what its task stores.

    Args:
        what: What is read, with its fault: "text cannot be read".
        *kinds: Further errors that say so.

    Raises:
        StoreError: If what is done inside fails on it.
    """
    faults: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, *kinds)
    try:
        yield
    except faults as error:
        raise StoreError(
            f"report: a stored {what} ({error}); run the comparison again in a new folder."
        ) from error


def save(who: str, out: str | Path, content: bytes) -> Path:
    """Write a file in one go.

    Args:
        who: The verb, for messages.
        out: The file; its folder must exist.
        content: What it holds.

    Raises:
        StoreError: If it cannot be written.
    """
    target = Path(out)
    try:
        target.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"{who}: {target} cannot be written ({error.strerror}); name a file in a folder that "
            "exists and is yours."
        ) from error
    return target
