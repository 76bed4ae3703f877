"""Tokens per second of drafting, beside plain generate and what transformers itself offers.

    python bench/decoding.py                     # writes bench/results/decoding.json

Greedy, by kind of text, one prompt at a time and four at once; all contestants write to each prompt
in turn, each from a cold start. The *limit* is what the measured cost of a pass over n tokens and
the reached acceptance allow: the seconds of the prompt's pass and of the passes that were made.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, ClassVar

import torch
from transformers import DynamicCache

from tokenry import catalog, data, zoo
from tokenry.card import Card
from tokenry.method import Drafter, DraftView, TokenTree
from tokenry.plugs.attach import attach

MODEL, DRAFT = "zoo:smollm2-135m", "zoo:smollm2-draft"
RESULTS = Path(__file__).parent / "results" / "decoding.json"
KINDS = ("chat", "edit", "summary", "log", "copy")
SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTEXT = 384


class Silent(Drafter):
    """Drafts nothing: what our loop costs by itself."""

    card: ClassVar[Card] = catalog.find("prompt-lookup").card

    def draft(self, view: DraftView) -> TokenTree:
        """No tokens."""
        none = view.text[:0]
        return TokenTree(none, none)


@dataclass
class Contestant:
    """One way to write.

    Attributes:
        name: What the table calls it.
        method: The drafter; None for what transformers does.
        asked: Arguments of `generate`.
        batches: Whether it takes several prompts at once.
    """

    name: str
    method: Drafter | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    batches: bool = True


def contestants() -> list[Contestant]:
    """Plain generate first; drafters that need no training; what transformers offers."""
    assistant = zoo.load(DRAFT).model
    found = [
        Contestant("plain generate"),
        Contestant("our loop, no drafts", Silent()),
        Contestant("prompt lookup, transformers", None, {"prompt_lookup_num_tokens": 10}, False),
        Contestant("assisted, transformers", None, {"assistant_model": assistant}, False),
    ]
    classes = [catalog.find(slug) for slug in catalog.names("decoding")]
    fit = [c for c in classes if issubclass(c, Drafter) and c.card.needs == "nothing"]
    return [*found, *(Contestant(cls.card.slug, cls()) for cls in fit)]


def cost_curve(model: Any, b: int) -> dict[int, float]:
    """Median seconds of a pass over n tokens behind `CONTEXT` cached ones."""
    ids = torch.randint(100, 20_000, (b, CONTEXT + max(SIZES)))
    cache = DynamicCache(config=model.config)
    model(ids[:, :CONTEXT], past_key_values=cache, logits_to_keep=1)
    spent: dict[int, list[float]] = {n: [] for n in SIZES}
    for _ in range(9):
        for n in SIZES:
            start = time.perf_counter()
            model(ids[:, CONTEXT : CONTEXT + n], past_key_values=cache)
            spent[n].append(time.perf_counter() - start)
            cache.crop(-n)
    return {n: statistics.median(values) for n, values in spent.items()}


def between(curve: dict[int, float], n: int) -> float:
    """The cost of a pass over n tokens, on straight lines between the measured ones."""
    sizes = sorted(curve)
    high = next((size for size in sizes if size >= n), sizes[-1])
    low = max([size for size in sizes if size <= n], default=sizes[0])
    if low == high:
        return curve[low]
    return curve[low] + (curve[high] - curve[low]) * (n - low) / (high - low)


@dataclass
class Tally:
    """What one contestant did on the prompts of one kind."""

    seconds: float = 0.0
    tokens: int = 0
    passes: int = 0
    ideal: float = 0.0
    same: int = 0
    texts: int = 0


def write(
    model: Any, inputs: dict[str, Any], one: Contestant, tokens: int
) -> tuple[Any, Any, float]:
    """The texts, the trace of a drafter, and the seconds; a draft model is loaded before."""
    held = attach(model, one.method) if one.method else nullcontext()
    with held as attachment:
        start = time.perf_counter()
        out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, **one.asked)
        spent = time.perf_counter() - start
    return out[:, inputs["input_ids"].shape[1] :], getattr(attachment, "trace", None), spent


def measure(
    model: Any,
    batches: list[dict[str, Any]],
    runs: list[Contestant],
    tokens: int,
    curve: dict[int, float],
) -> list[dict[str, Any]]:
    """All contestants on all batches, in turn."""
    tallies = {one.name: Tally() for one in runs}
    for inputs in batches:
        plain: Any = None
        prompt = write(model, inputs, runs[0], tokens=1)[2]
        for one in runs:
            out, trace, spent = write(model, inputs, one, tokens)
            tally = tallies[one.name]
            tally.seconds += spent
            plain = out if plain is None else plain
            tally.same += sum(
                _same(a, b) for a, b in zip(out.tolist(), plain.tolist(), strict=True)
            )
            tally.texts += len(out)
            tally.tokens += int((plain != model.generation_config.eos_token_id).sum())
            if trace is not None:
                tally.passes += trace.passes
                sizes = (trace.offered.clamp(min=0).amax(1) + 1).tolist()
                tally.ideal += prompt + sum(between(curve, n) for n in sizes)
    return [_row(name, tally, tallies) for name, tally in tallies.items()]


def _same(mine: list[int], plain: list[int]) -> bool:
    n = min(len(mine), len(plain))
    return mine[:n] == plain[:n]


def _row(name: str, tally: Tally, tallies: dict[str, Tally]) -> dict[str, Any]:
    plain = tallies["plain generate"]
    row: dict[str, Any] = {
        "contestant": name,
        "tokens_per_second": round(tally.tokens / tally.seconds, 1),
        "speedup": round(plain.seconds / tally.seconds, 3),
        "identical": f"{tally.same} of {tally.texts}",
    }
    if tally.passes:
        row["tokens_per_pass"] = round(tally.tokens / tally.passes, 2)
        row["seconds"] = round(tally.seconds, 3)
        row["limit_seconds"] = round(tally.ideal, 3)
        row["share_of_limit"] = round(tally.ideal / tally.seconds, 3)
    return row


def shipped(kind: str) -> list[str]:
    """Prompts of the package."""
    return [e.text for e in data.load_text("prompts").where(domain=kind)]


def copies() -> list[str]:
    """Passages of Python's reference that shall be written again as they are."""
    names = [name for name in sorted(topics) if len(topics[name]) > 2000]
    ask = "Write this text again, word for word, and change nothing:"
    return [f"{ask}\n\n{topics[name][300:900]}" for name in names]


def prompts(tokenizer: Any, kind: str, count: int, b: int) -> list[dict[str, Any]]:
    """Batches of `b` prompts of one kind, in the chat template, padded on the left."""
    texts = copies() if kind == "copy" else shipped(kind)
    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts[: count * b]
    ]
    tokenizer.padding_side = "left"
    return [
        dict(
            tokenizer(asked[i : i + b], return_tensors="pt", padding=True, add_special_tokens=False)
        )
        for i in range(0, len(asked), b)
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 4))
    parser.add_argument("--prompts", type=int, default=4, help="batches of each kind")
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    for b in arguments.batches:
        curve = cost_curve(loaded.model, b)
        relative = {str(n): round(seconds / curve[1], 3) for n, seconds in curve.items()}
        block = {"batch": b, "ms_of_one_token": round(1e3 * curve[1], 2), "times_one": relative}
        record("curve", block)
        runs = [one for one in contestants() if b == 1 or one.batches]
        for kind in arguments.kinds:
            batches = prompts(loaded.processor, kind, arguments.prompts, b)
            write(loaded.model, batches[0], runs[1], tokens=2)  # times passes on first use
            rows = measure(loaded.model, batches, runs, arguments.tokens, curve)
            record("by_kind", {"kind": kind, "batch": b, "rows": rows})


def record(part: str, block: dict[str, Any]) -> None:
    """Print a block, and put it into the file of results in the place of an earlier one."""
    print({key: value for key, value in block.items() if key != "rows"})
    for row in block.get("rows", []):
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    result = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    result["environment"] = environment()
    same = {key: block[key] for key in ("kind", "batch") if key in block}
    others = [b for b in result.get(part, []) if any(b[k] != v for k, v in same.items())]
    result[part] = [*others, block]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": " ".join(["python", "bench/decoding.py", *sys.argv[1:]]),
    }


if __name__ == "__main__":
    main()
