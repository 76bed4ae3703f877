"""What `progress` means wherever something lasts: whether bars are shown, and how they look."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_ASKED: ContextVar[bool | None] = ContextVar("progress", default=None)


@contextmanager
def showing(progress: bool | None) -> Iterator[None]:
    """Show all bars of what is done inside, or none of them, however deep they are.

    Args:
        progress: Whether to; None leaves it to a `showing` further out, and where there is none,
            bars are shown on a terminal only.
    """
    before = _ASKED.set(_ASKED.get() if progress is None else progress)
    try:
        yield
    finally:
        _ASKED.reset(before)


def shown() -> bool:
    """Whether bars are shown here.

    >>> with showing(False):
    ...     shown()
    False
    """
    asked = _ASKED.get()
    return sys.stderr.isatty() if asked is None else asked


def track(over: Iterable[Any] | None = None, name: str | None = None, **more: Any) -> Any:
    """A bar of tqdm over something that lasts: seen after two seconds, and gone when it is done.

    Args:
        over: What is gone through; None for a bar that is moved by hand.
        name: What stands before it.
        **more: Further arguments of tqdm, such as `total` and `unit`.

    >>> list(track([1, 2, 3], "counting", unit="number"))
    [1, 2, 3]
    """
    from tqdm import tqdm

    return tqdm(over, name, delay=2, leave=False, disable=not shown(), **more)


@contextmanager
def stepping(steps: int, progress: bool | None, done: int = 0) -> Iterator[Any]:
    """A bar over the steps of a training, moved by hand.

    Args:
        steps: How many there are.
        progress: As of `showing`.
        done: How many were done by an earlier run.
    """
    with showing(progress), track(total=steps, initial=done, unit="step") as bar:
        yield bar
