"""Models and tokenizers into a folder, in the form that transformers loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from typing import Any


def save(folder: str | PathLike[str], *parts: Any, **settings: Any) -> None:
    """Write models and tokenizers into one folder, without transformers' bar among ours.

    Args:
        folder: Made when it is not there.
        *parts: What has a `save_pretrained`.
        **settings: For each of them.
    """
    with no_bars():
        for part in parts:
            part.save_pretrained(str(folder), **settings)


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the bars of transformers; those that were on are on again afterwards."""
    bars: Any = import_module("transformers.utils.logging")
    on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if on:
            bars.enable_progress_bar()
