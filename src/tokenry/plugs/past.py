"""What transformers calls the cache that a model takes and returns; it was renamed in 5.24."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from transformers.modeling_outputs import BaseModelOutputWithPast

NAMES = ("cache", "past_key_values")

CACHE = next(name for name in NAMES if name in BaseModelOutputWithPast.__dataclass_fields__)
"""The name here, as an argument of models and of `generate` and as a field of what they return."""


def cache_in(arguments: Mapping[str, Any]) -> Any:
    """The cache among the arguments of a model, under whichever name it was given; else None."""
    found = (arguments.get(name) for name in NAMES)
    return next((cache for cache in found if cache is not None), None)


def put_cache(arguments: MutableMapping[str, Any], cache: Any) -> None:
    """Hand a model this cache, in the place of one given under either name."""
    for name in NAMES:
        arguments.pop(name, None)
    arguments[CACHE] = cache
