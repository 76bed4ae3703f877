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
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from transformers import DynamicCache

from tokenry import catalog, data, zoo
from tokenry.errors import UsageError
from tokenry.method import CachePolicy
from tokenry.ops.answers import contains, verbatim_words
from tokenry.plugs.attach import attach

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "cache.json"
NEEDLE_CHARACTERS = 2500
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
    return torch.tensor([tokenizer(text[: 8 * n], verbose=False)["input_ids"][:n]])


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
        try:
            runs[method.card.slug] = Contestant(model, ids, method)
        except UsageError as error:
            print(f"left out: {error}", flush=True)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(tokens):
        for name, run in runs.items():
            spent[name].append(run.decode())
    seconds = {name: statistics.median(values) for name, values in spent.items()}
    return [
        {
            "method": name,
            "ms_per_token": round(1e3 * seconds[name], 2),
            "of_ideal": round(seconds["ideal"] / seconds[name], 3),
            "speedup": round(seconds["full"] / seconds[name], 3),
            "cache_share": round(run.bytes / run.full, 4) if run.full else 1.0,
        }
        for name, run in runs.items()
    ]


def prefilling(model: Any, ids: torch.Tensor, rounds: int) -> list[dict[str, Any]]:
    """Seconds to read the prompt, and what each policy adds to the plain pass just before it.

    The row of the full cache is measured like the others: what it adds is noise.
    """
    methods: dict[str, CachePolicy | None] = {"full": None}
    methods |= {method.card.slug: method for method in policies(0.5)}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    added: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            plain = Contestant(model, ids, None).prefill
            spent[name].append(Contestant(model, ids, method).prefill)
            added[name].append(spent[name][-1] / plain - 1)
    extra = products(model.config, ids.shape[1]) / statistics.median(spent["full"])
    return [
        {
            "method": name,
            "seconds": round(statistics.median(spent[name]), 3),
            "overhead": round(statistics.median(added[name]), 4),
            "limit": limit(methods[name], round(extra, 4)),
        }
        for name in methods
    ]


def limit(method: CachePolicy | None, products: float) -> float | str:
    """What a policy that evicts may add: five percent, or a pass of products if it weighs all."""
    if method is None or method.selects:
        return ""
    return products if method.weighs else 0.05


def products(config: Any, n: int, rows: int = 64) -> float:
    """Seconds of one more causal pass of query-key products in all layers, and nothing else."""
    heads, groups, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    queries = torch.randn(groups, heads // groups, n, width)
    keys = torch.randn(groups, width, n)
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, n, rows):
            queries[:, :, first : first + rows].flatten(1, 2) @ keys[..., : first + rows]
        spent.append(time.perf_counter() - start)
    return float(config.num_hidden_layers * min(spent))


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


PLACES = ("Oslo", "Lima", "Cairo", "Delhi", "Paris", "Tokyo", "Quito", "Accra")


def needles(tokenizer: Any, count: int, aware: bool) -> list[dict[str, Any]]:
    """Numbers hidden in Python's reference at eight depths; `aware`: the context asks for them."""
    names = [name for name in sorted(topics) if len(topics[name]) > NEEDLE_CHARACTERS]
    found = []
    for i, name in enumerate(names[:: len(names) // count][:count]):
        place, number = PLACES[i % 8], str(1000 + 7919 * (i + 1) % 9000)
        text = topics[name][:NEEDLE_CHARACTERS]
        cut = len(text) * (i % 8 + 1) // 10
        parts = [f"{text[:cut]} The secret number of {place} is {number}. {text[cut:]}\n\n"]
        parts.append(f"Question: What is the secret number of {place}?\n")
        parts.append(f"Answer: The secret number of {place} is")
        end = 2 if aware else 1
        context, question = "".join(parts[:end]), "".join(parts[end:])
        ids = [
            tokenizer(half, add_special_tokens=False)["input_ids"] for half in (context, question)
        ]
        found.append({"context": ids[0], "question": ids[1], "answers": [number]})
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
    loaded: Any, items: list[dict[str, Any]], keeps: list[float], peer: str | None
) -> list[dict[str, Any]]:
    """Right answers, ours and the peer's, to the same questions."""
    tokens = 12
    rows = [
        {"by": "tokenry", "method": "full", "keep": 1.0, **answer(loaded.model, item, None, tokens)}
        for item in items
    ]
    for keep in keeps:
        for method in policies(keep):
            key = {"by": "tokenry", "method": method.card.slug, "keep": keep}
            try:
                rows += [{**key, **answer(loaded.model, one, method, tokens)} for one in items]
            except UsageError as error:
                print(f"refused: {error}", flush=True)
            else:
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
    parser.add_argument("--only", default="", help="the first letters of the questions to ask")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    ids = text_ids(loaded.processor, max(arguments.prefill, *arguments.contexts))
    keeps = list(arguments.keeps)
    if arguments.rounds:
        rows = prefilling(loaded.model, ids[:, : arguments.prefill], arguments.rounds)
        record("prefill", [{"tokens": arguments.prefill, "rows": rows}])
    if arguments.tokens:
        for n in arguments.contexts:
            for keep in keeps:
                rows = decoding(loaded.model, ids[:, :n], keep, arguments.tokens)
                record("decode", [{"context": n, "keep": keep, "rows": rows}])
    asked: dict[str, Callable[..., list[dict[str, Any]]]] = {
        "answers": questions,
        "needles_free": partial(needles, aware=False),
        "needles_aware": partial(needles, aware=True),
    }
    for name, ask in asked.items():
        if arguments.items and name.startswith(arguments.only):
            items = ask(loaded.processor, arguments.items)
            rows = quality(loaded, items, keeps, arguments.kvpress)
            mean = round(statistics.mean(len(item["context"]) for item in items))
            record(name, [{"questions": len(items), "mean_tokens": mean, "rows": rows}])


def record(part: str, blocks: list[dict[str, Any]]) -> None:
    """Print a part, and put it into the file of results; other settings' blocks stay there."""
    for block in blocks:
        print(f"\n{part} {facts(block)}\n" + "  ".join(f"{name:>13}" for name in block["rows"][0]))
        for row in block["rows"]:
            print("  ".join(f"{value!s:>13}" for value in row.values()), flush=True)
    result = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    asked = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    command = " ".join(["python", "bench/cache.py", *asked])
    result["environment"] = environment()
    new = [facts(block) for block in blocks]
    others = [block for block in result.get(part, []) if facts(block) not in new]
    result[part] = others + [{"command": command, **block} for block in blocks]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def facts(block: dict[str, Any]) -> dict[str, Any]:
    """What a block was measured at."""
    return {key: value for key, value in block.items() if key not in ("command", "rows")}


def environment() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
    }


if __name__ == "__main__":
    main()
