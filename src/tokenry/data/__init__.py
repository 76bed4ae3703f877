"""Pictures, texts and collections to measure with: those that ship, and your own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenry.data.collection_loader import load_collection
    from tokenry.data.collections import Collection, Document, Query
    from tokenry.data.examples import Example, ImageData
    from tokenry.data.linked import LabelledPairs, LinkedData, load_linked
    from tokenry.data.loader import load
    from tokenry.data.text_loader import load_text
    from tokenry.data.texts import TextData, TextExample

__all__ = [
    "Collection",
    "Document",
    "Example",
    "ImageData",
    "LabelledPairs",
    "LinkedData",
    "Query",
    "TextData",
    "TextExample",
    "load",
    "load_collection",
    "load_linked",
    "load_text",
]

_HOME = {
    "Collection": "collections",
    "Document": "collections",
    "Query": "collections",
    "load_collection": "collection_loader",
    "Example": "examples",
    "ImageData": "examples",
    "TextData": "texts",
    "TextExample": "texts",
    "LabelledPairs": "linked",
    "LinkedData": "linked",
    "load_linked": "linked",
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
