"""``zoo:smollm2-draft``: two layers of width 96 that guess what ``zoo:smollm2-135m`` will say.

The weights come with this package in half precision (``draft/SOURCES.md`` says how they were
made) and are unpacked to float32, in which a CPU computes faster. The tokenizer is SmolLM2's own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenry.zoo.cache import folder


def convert(source: Path, target: Path) -> None:
    """Write the draft beside ``source`` (its ``model.safetensors``) with SmolLM2's tokenizer."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor.float() for name, tensor in load_file(source).items()}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads(source.with_name("config.json").read_text("utf-8"))
    text = json.dumps(config | {"dtype": "float32"}, indent=2)
    (target / "config.json").write_text(text, "utf-8")
    tokenizer = folder("smollm2-135m")
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, target / name)
