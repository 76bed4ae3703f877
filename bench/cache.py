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
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from tokenry import catalog, data, zoo
from tokenry.method import CachePolicy
from tokenry.ops.answers import contains, verbatim_words
from tokenry.plugs.attach import attach

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "cache.json"
PREFILL, CONTEXTS, KEEPS = 4096, (4096, 8192), (0.5, 0.25, 0.1)


def policies(keep: float) -> list[CachePolicy]:
    """Every cache policy that needs no training."""
    classes = [catalog.find(slug) for slug in catalog.names("cache")]
    fit = [cls for cls in classes if issubclass(cls, CachePolicy) and cls.card.needs == "nothing"]
    return [cls(keep=keep) for cls in fit]


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


def questions(tokenizer: Any, count: int) -> list[dict[str, Any]]:
    """Questions about manual pages, context apart from question, as token ids."""
    examples = data.load_text("manpages").limit(count, seed=0)
    mark = "@@"
    found = []
    for example in examples:
        asked = [{"role": "user", "content": f"{example.text}\n\n{mark}{example.question}"}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        context, question = (prompt + (example.answer_prefix or "")).split(mark)
        ids = [
            tokenizer(part, add_special_tokens=False)["input_ids"] for part in (context, question)
        ]
        found.append({"context": ids[0], "question": ids[1], "answers": list(example.answers)})
    return found


def answer(
    model: Any, item: dict[str, Any], method: CachePolicy | None, tokens: int
) -> dict[str, Any]:
    """Greedy answer: the context is read and cut first, the question comes after."""
    context, question = (torch.tensor([item[part]]) for part in ("context", "question"))
    run = Contestant(model, context, method)
    found = []
    start = time.perf_counter()
    run.step(question)
    for _ in range(tokens - 1):
        found.append(int(run.token))
        run.step(run.token)
    found.append(int(run.token))
    spent = time.perf_counter() - start
    return {"ids": found, "prefill": run.prefill, "decode": spent / tokens}


def quality(
    loaded: Any, count: int, keeps: list[float], tokens: int, peer: str | None
) -> list[dict[str, Any]]:
    """Share of right answers, ours and the peer's, on the same questions."""
    items = questions(loaded.processor, count)
    rows = [
        {"by": "tokenry", "method": "full", "keep": 1.0, **answer(loaded.model, item, None, tokens)}
        for item in items
    ]
    for keep in keeps:
        for method in policies(keep):
            for item in items:
                found = answer(loaded.model, item, method, tokens)
                rows.append({"by": "tokenry", "method": method.card.slug, "keep": keep, **found})
            print(f"answers {method.describe()}", flush=True)
    if peer:
        rows += [{"by": "kvpress", **row} for row in peer_rows(peer, items, keeps, tokens)]
    return [summary(key, group, items, loaded.processor) for key, group in grouped(rows).items()]


def grouped(rows: list[dict[str, Any]]) -> dict[tuple[str, str, float], list[dict[str, Any]]]:
    """Rows by who, method and keep."""
    found: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["by"], row["method"], row["keep"]), []).append(row)
    return found


def summary(
    key: tuple[str, str, float], rows: list[dict[str, Any]], items: list[Any], tokenizer: Any
) -> dict[str, Any]:
    """Right answers and median seconds of one method at one keep."""
    texts = [tokenizer.decode(row["ids"], skip_special_tokens=True) for row in rows]
    right = [
        contains(text, item["answers"], verbatim_words)
        for text, item in zip(texts, items, strict=True)
    ]
    return {
        "by": key[0],
        "method": key[1],
        "keep": key[2],
        "right": sum(map(bool, right)),
        "of": len(rows),
        "prefill_s": round(statistics.median(row["prefill"] for row in rows), 3),
        "ms_per_token": round(1e3 * statistics.median(row["decode"] for row in rows), 1),
    }


def peer_rows(
    python: str, items: list[Any], keeps: list[float], tokens: int
) -> list[dict[str, Any]]:
    """What kvpress answers, in its own environment."""
    script = Path(__file__).with_name("cache_kvpress.py")
    folder = zoo.folder("smollm2-135m")
    with tempfile.TemporaryDirectory() as scratch:
        asked, out = Path(scratch) / "items.json", Path(scratch) / "out.json"
        asked.write_text(json.dumps({"items": items, "keeps": keeps, "tokens": tokens}))
        subprocess.run([python, str(script), str(folder), str(asked), str(out)], check=True)
        rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
        return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kvpress", help="a Python interpreter that has kvpress")
    parser.add_argument("--contexts", type=int, nargs="*", default=CONTEXTS)
    parser.add_argument("--prefill", type=int, default=PREFILL)
    parser.add_argument("--keeps", type=float, nargs="*", default=KEEPS)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=24)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    ids = text_ids(loaded.processor, max(arguments.contexts))
    keeps = list(arguments.keeps)
    result: dict[str, Any] = {"environment": environment(), "prefill": [], "decode": []}
    result["prefill"] = prefilling(loaded.model, ids[:, : arguments.prefill], arguments.rounds)
    show(result["prefill"])
    for n in arguments.contexts:
        for keep in keeps:
            rows = decoding(loaded.model, ids[:, :n], keep, arguments.tokens)
            show(rows)
            result["decode"] += rows
    result["answers"] = quality(loaded, arguments.items, keeps, 12, arguments.kvpress)
    show(result["answers"])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    print("\n" + "  ".join(f"{name:>13}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>13}" for value in row.values()), flush=True)


def environment() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": " ".join(["python", "bench/cache.py", *sys.argv[1:]]),
    }


if __name__ == "__main__":
    main()
