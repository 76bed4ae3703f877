"""Pictures and texts to measure with: those that ship with the package, and your own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenry.data.examples import Example, ImageData
    from tokenry.data.loader import load
    from tokenry.data.text_loader import load_text
    from tokenry.data.texts import TextData, TextExample

__all__ = ["Example", "ImageData", "TextData", "TextExample", "load", "load_text"]

_HOME = {
    "Example": "examples",
    "ImageData": "examples",
    "TextData": "texts",
    "TextExample": "texts",
    "load": "loader",
    "load_text": "text_loader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
