"""The rows of a model's tokens, read from its files without the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from tokenry.errors import DataError, UnknownNameError
from tokenry.method import Embeddings
from tokenry.zoo.cache import folder
from tokenry.zoo.registry import PREFIX, find


def token_rows(source: str | Path) -> Embeddings | None:
    """The rows that a model has for its tokens, and no other weight of it.

    Args:
        source: `zoo:NAME`, or a folder as transformers writes it.

    Returns:
        Rows as they are stored; None where there is a tokenizer and no model, the model is of no
        architecture that transformers has, or it lies elsewhere, as on the Hub.

    Raises:
        DataError: If the model's files cannot be read.
    """
    place = _place(source)
    files = [] if place is None else sorted(place.glob("*.safetensors"))
    if place is None or not files or not (place / "config.json").is_file():
        return None
    import transformers

    config = transformers.AutoConfig.from_pretrained(place)
    made = getattr(transformers, (config.architectures or [""])[0], None)
    if made is None:
        return None
    with torch.device("meta"):
        skeleton = made(config)
    names = _names(skeleton)
    if not names:
        return None
    try:
        found = [_read(files, name) for name in names]
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{source}: the rows of tokens cannot be read: {error}.") from error
    if found[0] is None:
        raise DataError(f"{source}: its files hold no {names[0]!r}; the model is not all there.")
    return Embeddings(input=found[0], output=found[1] if len(found) > 1 else None)


def _place(source: str | Path) -> Path | None:
    name = str(source)
    if not name.startswith(PREFIX):
        path = Path(name).expanduser()
        return path if path.is_dir() else None
    try:
        find(name)
    except UnknownNameError:  # a tokenizer by itself
        return None
    return folder(name)


def _names(model: Any) -> list[str]:
    """What the input rows and, where they are others, the output rows are called."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [table] if head is None or model.config.tie_word_embeddings else [table, head]
    if not isinstance(table, nn.Embedding):
        return []
    called = {module: f"{name}.weight" for name, module in model.named_modules()}
    return [called[layer] for layer in layers]


def _read(files: Sequence[Path], name: str) -> Tensor | None:
    """A weight from whichever file holds it, with or without the name of the model in front."""
    for file in files:
        with safe_open(file, "pt") as held:
            for key in held.keys():  # noqa: SIM118
                if key == name or key.endswith(f".{name}") or name.endswith(f".{key}"):
                    weight: Tensor = held.get_tensor(key)
                    return weight
    return None
