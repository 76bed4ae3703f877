"""Pictures to measure with: shipped emoji drawings, scikit-learn's digits, and your own data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenry.data.examples import Example, ImageData
    from tokenry.data.loader import load

__all__ = ["Example", "ImageData", "load"]

_HOME = {"Example": "examples", "ImageData": "examples", "load": "loader"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
