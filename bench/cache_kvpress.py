"""The peer's side of `bench/cache.py`: kvpress answers the same questions, in its own environment.

    python bench/cache_kvpress.py MODEL_FOLDER ITEMS.json OUT.json

Runs where kvpress and the transformers it needs are installed (`pip install kvpress gguf`), and
imports nothing of tokenry. The protocol is kvpress's own: the context is read and compressed
without the question, whose positions go on from the uncompressed length.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import kvpress
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache


def presses(keep: float) -> dict[str, Any]:
    """The presses that have a counterpart in tokenry, by its name."""
    ratio = 1 - keep
    return {
        "streaming-llm": kvpress.StreamingLLMPress(compression_ratio=ratio, n_sink=4),
        "random-slots": kvpress.RandomPress(compression_ratio=ratio, seed=0),
        "key-norm": kvpress.KnormPress(compression_ratio=ratio),
        "snapkv": kvpress.SnapKVPress(compression_ratio=ratio, window_size=32, kernel_size=5),
        "h2o": kvpress.ObservedAttentionPress(compression_ratio=ratio),
    }


def answer(model: Any, item: dict[str, Any], press: Any, tokens: int) -> dict[str, Any]:
    """Greedy answer to one question, and what it took."""
    context, question = (torch.tensor([item[part]]) for part in ("context", "question"))
    cache = DynamicCache(config=model.config)
    start = time.perf_counter()
    with press(model):
        model(context, past_key_values=cache, logits_to_keep=1)
    prefill = time.perf_counter() - start
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    n, ids, found = context.shape[1], question, []
    start = time.perf_counter()
    for _ in range(tokens):
        places = torch.arange(n, n + ids.shape[1])[None]
        out = model(ids, past_key_values=cache, position_ids=places, logits_to_keep=1)
        n, ids = n + ids.shape[1], out.logits[:, -1:].argmax(-1)
        found.append(int(ids))
    spent = time.perf_counter() - start
    return {"ids": found, "prefill": prefill, "decode": spent / tokens, "bytes": held}


def main() -> None:
    """Answer all items with all presses."""
    folder, items, out = sys.argv[1:]
    asked = json.loads(Path(items).read_text(encoding="utf-8"))
    torch.set_grad_enabled(False)
    transformers.logging.disable_progress_bar()
    rows = []
    for name in presses(0.5):
        # The press for accumulated attention reads the weights, which only eager returns.
        attention = "eager" if name == "h2o" else "sdpa"
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
        for keep in asked["keeps"]:
            for number, item in enumerate(asked["items"]):
                found = answer(model, item, presses(keep)[name], asked["tokens"])
                rows.append({"method": name, "keep": keep, "item": number, **found})
            print(f"kvpress {name} keep {keep}", flush=True)
    versions = {"kvpress": kvpress_version(), "transformers": transformers.__version__}
    Path(out).write_text(json.dumps({"versions": versions, "rows": rows}), encoding="utf-8")


def kvpress_version() -> str:
    """The peer's version."""
    from importlib.metadata import version

    return version("kvpress")


if __name__ == "__main__":
    main()
