"""What an edit of a prompt costs, beside encoding the suffix or the whole prompt again.

    python bench/editing.py                     # writes bench/results/editing.json

The text is real Python source. Tokens are inserted in the middle of it; the next token is read
off at its end. Every figure is the median over rounds in which all strategies run in turn.
"""

from __future__ import annotations

import copy
import json
import platform
import statistics
import textwrap
import time
from pathlib import Path
from typing import Any

import torch

from tokenry import catalog, zoo
from tokenry.compare.cost import operations_and_bytes
from tokenry.plugs.editing import EditableCache

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "editing.json"
STRATEGIES = ("pie", "reuse", "suffix", "recompute")
LENGTHS = (512, 1024, 2048)
NEW = (1, 32)
ROUNDS = 3


def edited(cache: EditableCache, strategy: str, ids: list[int], m: int) -> None:
    """One insertion of m tokens in the middle, into a copy of the cache."""
    twin = copy.copy(cache)
    twin.method = catalog.find("pie")(strategy=strategy)
    twin.edit(len(ids) // 2, len(ids) // 2, ids[:m])


def measured(cache: EditableCache, ids: list[int], m: int) -> list[dict[str, Any]]:
    """Seconds and operations of each strategy."""
    spent: dict[str, list[float]] = {strategy: [] for strategy in STRATEGIES}
    for _ in range(ROUNDS):
        for strategy, values in spent.items():
            start = time.perf_counter()
            edited(cache, strategy, ids, m)
            values.append(time.perf_counter() - start)
    seconds = {strategy: statistics.median(values) for strategy, values in spent.items()}
    rows = []
    for strategy in STRATEGIES:
        operations, _ = operations_and_bytes(
            lambda strategy=strategy: edited(cache, strategy, ids, m), torch.device("cpu")
        )
        rows.append(
            {
                "inserted": m,
                "strategy": strategy,
                "gflops": round(operations / 1e9, 2),
                "seconds": round(seconds[strategy], 3),
                "speedup": round(seconds["recompute"] / seconds[strategy], 2),
            }
        )
    return rows


def main() -> None:
    """Measure, print and write."""
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    source = Path(textwrap.__file__).read_text(encoding="utf-8")
    ids = loaded.processor(source)["input_ids"]
    blocks = []
    for length in LENGTHS:
        cache = EditableCache(loaded.model, None, ids[:length])
        rows = [row for m in NEW for row in measured(cache, ids[:length], m)]
        blocks.append({"tokens": length, "rounds": ROUNDS, "rows": rows})
        print(f"\n{length} tokens")
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": "python bench/editing.py",
    }
    content = {"environment": environment, "edits": blocks}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
