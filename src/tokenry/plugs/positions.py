"""How many tokens a language model has places for."""

from __future__ import annotations

from typing import Any


def positions(model: Any) -> int | None:
    """Tokens that a language model can read and write in one text; None when it does not say.

    A model of pictures and texts says so in the configuration of its text part alone.

    Args:
        model: A model of transformers, or one that has no configuration.

    >>> from types import SimpleNamespace
    >>> positions(SimpleNamespace(config=SimpleNamespace(max_position_embeddings=512)))
    512
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config(decoder=True)
    return getattr(config, "max_position_embeddings", None)
