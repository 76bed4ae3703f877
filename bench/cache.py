"""Speed, memory and quality of the cache policies on a real language model, and of kvpress.

    python bench/cache.py                        # writes bench/results/cache.json
    python bench/cache.py --kvpress PYTHON       # with an interpreter that has kvpress

Decoding is measured against two yardsticks: the full cache, and the *ideal*, a model that only
ever had a cache of the length to which the policy cuts. All contestants decode in turn, token by
token, so that a drifting machine does not favour one; figures are medians over tokens.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from tokenry import catalog, zoo
from tokenry.method import CachePolicy
from tokenry.plugs.attach import attach

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "cache.json"
PREFILL, CONTEXTS, KEEPS = 4096, (4096, 8192), (0.5, 0.25, 0.1)


def policies(keep: float) -> list[CachePolicy]:
    """Every cache policy that `keep` can be set on."""
    classes = [catalog.find(slug) for slug in catalog.names("cache")]
    return [cls(keep=keep) for cls in classes if issubclass(cls, CachePolicy)]


def text_ids(tokenizer: Any, n: int) -> torch.Tensor:
    """The first `n` tokens of Python's own source files."""
    files = sorted(Path(statistics.__file__).parent.glob("*.py"))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    return torch.tensor([tokenizer(text[: 8 * n])["input_ids"][:n]])


class Contestant:
    """A model with a filled cache that decodes one token at a time."""

    def __init__(self, model: Any, ids: torch.Tensor, method: CachePolicy | None) -> None:
        self.model, self.method = model, method
        self.cache = DynamicCache(config=model.config)
        self.token = ids[:, -1:]
        self.bytes = self.full = 0
        start = time.perf_counter()
        self.step(ids)
        self.prefill = time.perf_counter() - start

    def step(self, ids: torch.Tensor) -> None:
        """One forward pass over `ids`."""
        with ExitStack() as stack:
            attachment = None
            if self.method:
                attachment = stack.enter_context(attach(self.model, self.method))
            out = self.model(ids, past_key_values=self.cache, logits_to_keep=1)
        self.token = out.logits[:, -1:].argmax(-1)
        if attachment is not None and attachment.trace is not None:
            self.bytes, self.full = attachment.trace.bytes_resident, attachment.trace.bytes_full

    def decode(self) -> float:
        """Seconds of one more token."""
        with ExitStack() as stack:
            if self.method:
                stack.enter_context(attach(self.model, self.method))
            start = time.perf_counter()
            self.model(self.token, past_key_values=self.cache, logits_to_keep=1)
            return time.perf_counter() - start


def decoding(model: Any, ids: torch.Tensor, keep: float, tokens: int) -> list[dict[str, Any]]:
    """Milliseconds per decoded token of every policy, beside full cache and ideal."""
    n = ids.shape[1]
    runs = {"full": Contestant(model, ids, None)}
    runs["ideal"] = Contestant(model, ids[:, : round(n * keep)], None)
    for method in policies(keep):
        runs[method.card.slug] = Contestant(model, ids, method)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(tokens):
        for name, run in runs.items():
            spent[name].append(run.decode())
    seconds = {name: statistics.median(values) for name, values in spent.items()}
    return [
        {
            "method": name,
            "context": n,
            "keep": keep,
            "ms_per_token": round(1e3 * seconds[name], 2),
            "of_ideal": round(seconds["ideal"] / seconds[name], 3),
            "speedup": round(seconds["full"] / seconds[name], 3),
            "cache_share": round(run.bytes / run.full, 4) if run.full else 1.0,
        }
        for name, run in runs.items()
    ]


def prefilling(model: Any, ids: torch.Tensor, rounds: int) -> list[dict[str, Any]]:
    """Seconds to read the prompt, and what each policy adds."""
    methods: dict[str, CachePolicy | None] = {"full": None}
    methods |= {method.card.slug: method for method in policies(0.5)}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            spent[name].append(Contestant(model, ids, method).prefill)
    base = min(spent["full"])
    return [
        {
            "method": name,
            "tokens": ids.shape[1],
            "seconds": round(min(values), 3),
            "overhead": round(min(values) / base - 1, 4),
        }
        for name, values in spent.items()
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kvpress", help="a Python interpreter that has kvpress")
    parser.add_argument("--contexts", type=int, nargs="*", default=CONTEXTS)
    parser.add_argument("--prefill", type=int, default=PREFILL)
    parser.add_argument("--keeps", type=float, nargs="*", default=KEEPS)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    model, ids = loaded.model, text_ids(loaded.processor, max(arguments.contexts))
    result: dict[str, Any] = {"environment": environment(), "prefill": [], "decode": []}
    result["prefill"] = prefilling(model, ids[:, : arguments.prefill], arguments.rounds)
    for row in result["prefill"]:
        print(
            f"prefill {row['tokens']:5} {row['method']:14} {row['seconds']:8.2f} s "
            f"{100 * row['overhead']:+7.1f} %",
            flush=True,
        )
    for n in arguments.contexts:
        for keep in arguments.keeps:
            rows = decoding(model, ids[:, :n], keep, arguments.tokens)
            result["decode"] += rows
            for row in rows:
                print(
                    f"decode {n:5} keep {keep:<5} {row['method']:14} "
                    f"{row['ms_per_token']:8.2f} ms/token  x{row['speedup']:<6} "
                    f"of ideal {row['of_ideal']:<6} cache {row['cache_share']}",
                    flush=True,
                )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": "python bench/cache.py",
    }


if __name__ == "__main__":
    main()
