"""Real models, loaded the same way from a package (``zoo:NAME``), a folder or the Hub."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokenry.zoo.registry import ZooModel, find, models

if TYPE_CHECKING:
    from tokenry.zoo.cache import folder
    from tokenry.zoo.loading import Loaded, kind_of, load, load_saliency_decoder
    from tokenry.zoo.saving import save
    from tokenry.zoo.tokenizer_list import tokenizers
    from tokenry.zoo.weights import weights_hash

__all__ = [
    "Loaded",
    "ZooModel",
    "find",
    "folder",
    "kind_of",
    "load",
    "load_saliency_decoder",
    "models",
    "save",
    "tokenizers",
    "weights_hash",
]

_LAZY = {
    "Loaded": "loading",
    "folder": "cache",
    "kind_of": "loading",
    "load": "loading",
    "load_saliency_decoder": "loading",
    "save": "saving",
    "tokenizers": "tokenizer_list",
    "weights_hash": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
