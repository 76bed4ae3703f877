"""Tokens per second of drafting, beside plain generate and what transformers itself offers.

    python bench/decoding.py                     # writes bench/results/decoding.json
    python bench/decoding.py --kinds rewrite --batches 1 --rounds 8   # one part of it

Greedy, by kind of text, one prompt at a time and four at once; all contestants write to each prompt
in turn, each from a cold start. Every round takes one more batch of each kind; no further batch is
begun that would not be done after `--minutes`, but the first round always is. *copied* is the share
of the plain answer that stands in the prompt in runs of four tokens and more; to *rewrite* go
prompts of which that is 0.9 at least. The *limit* is what the measured cost of a pass over n tokens
and the reached acceptance allow: the seconds of the prompt's pass and of the passes that were made;
*limit_speedup* is what it makes of plain decoding.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice, product
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import DynamicCache

from tokenry import catalog, data, zoo
from tokenry.card import Card
from tokenry.method import Drafter, DraftView, TokenTree
from tokenry.plugs.attach import attach

MODEL, DRAFT = "zoo:smollm2-135m", "zoo:smollm2-draft"
RESULTS = Path(__file__).parent / "results" / "decoding.json"
KINDS = ("chat", "edit", "summary", "log", "rewrite")
RUN, COPIED = 4, 0.9
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
    ideal_plain: float = 0.0
    copied: float = 0.0
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
    inputs: dict[str, Any],
    runs: list[Contestant],
    tokens: int,
    curve: dict[int, float],
    tallies: dict[str, Tally],
    repeats: int = 1,
) -> None:
    """All contestants on one more batch, in turn, there and back; the quickest time counts."""
    plain: Any = None
    prompt = write(model, inputs, runs[0], tokens=1)[2]
    again: dict[str, list[float]] = {one.name: [] for one in runs}
    for turn in range(1, repeats):
        for one in runs[:: -1 if turn % 2 else 1]:
            again[one.name].append(write(model, inputs, one, tokens)[2])
    for one in runs:
        out, trace, spent = write(model, inputs, one, tokens)
        tally = tallies.setdefault(one.name, Tally())
        tally.seconds += min([spent, *again[one.name]])
        plain = out if plain is None else plain
        tally.same += sum(_same(a, b) for a, b in zip(out.tolist(), plain.tolist(), strict=True))
        tally.texts += len(out)
        tally.tokens += int((plain != model.generation_config.eos_token_id).sum())
        asked = inputs["input_ids"].tolist()
        pairs = zip(asked, plain.tolist(), strict=True)
        tally.copied += sum(copied(source, answer) for source, answer in pairs)
        if trace is not None:
            tally.passes += trace.passes
            sizes = (trace.offered.clamp(min=0).amax(1) + 1).tolist()
            tally.ideal += prompt + sum(between(curve, n) for n in sizes)
            tally.ideal_plain += prompt + (trace.plain - 1) * curve[1]


def copied(source: list[int], answer: list[int]) -> float:
    """The share of an answer that stands in its source in runs of `RUN` tokens and more."""
    blocks = SequenceMatcher(None, source, answer, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size >= RUN) / len(answer)


def _same(mine: list[int], plain: list[int]) -> bool:
    n = min(len(mine), len(plain))
    return mine[:n] == plain[:n]


def row_of(name: str, tallies: dict[str, Tally]) -> dict[str, Any]:
    """One contestant's line of the table."""
    tally, plain = tallies[name], tallies["plain generate"]
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
        row["limit_speedup"] = round(tally.ideal_plain / tally.ideal, 2)
    return row


def shipped(kind: str) -> list[str]:
    """Prompts of the package."""
    return [e.text for e in data.load_text("prompts").where(domain=kind)]


def paragraphs() -> list[str]:
    """One paragraph each of the manual pages, to be written again as it is."""
    found: dict[str, str] = {}
    for example in data.load_text("manpages").examples:
        for part in example.text.split("\n\n"):
            text = " ".join(part.split())
            if 250 < len(text) < 450 and text[0].isupper() and text.endswith("."):
                found.setdefault(example.meta["page"], f"Repeat this text word for word:\n\n{text}")
    return list(found.values())


def rewrites(model: Any, tokenizer: Any, tokens: int) -> Iterator[str]:
    """Paragraphs of whose plain answer at least `COPIED` is copied."""
    plain = Contestant("plain generate")
    for text in paragraphs():
        inputs = batch(tokenizer, [text])
        answer = write(model, inputs, plain, tokens)[0]
        if copied(inputs["input_ids"][0].tolist(), answer[0].tolist()) >= COPIED:
            yield text


def batch(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    """Prompts in the chat template, padded on the left."""
    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts
    ]
    tokenizer.padding_side = "left"
    return dict(tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False))


@dataclass
class Block:
    """One kind of text at one batch size.

    Attributes:
        kind: The kind.
        b: Prompts at once.
        curve: What passes cost at that size.
        runs: Who takes part.
        tallies: What they did so far.
        took: Seconds of the last batch.
    """

    kind: str
    b: int
    curve: dict[int, float]
    runs: list[Contestant]
    tallies: dict[str, Tally] = field(default_factory=dict)
    took: float = 0.0

    def step(self, model: Any, inputs: dict[str, Any], tokens: int, repeats: int) -> None:
        """One more batch; what has been found so far is recorded."""
        began = time.monotonic()
        if not self.tallies:
            write(model, inputs, self.runs[1], tokens=2)  # times passes on first use
        measure(model, inputs, self.runs, tokens, self.curve, self.tallies, repeats)
        self.took = time.monotonic() - began
        rows = [row_of(name, self.tallies) for name in self.tallies]
        plain = self.tallies["plain generate"]
        share = round(plain.copied / plain.texts, 2)
        record("by_kind", {"kind": self.kind, "batch": self.b, "copied": share, "rows": rows})


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 4))
    parser.add_argument("--rounds", type=int, default=4, help="most batches of each kind")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1, help="times of which the best counts")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    every = contestants()
    blocks: list[Block] = []
    for b in arguments.batches:
        curve = cost_curve(loaded.model, b)
        relative = {str(n): round(seconds / curve[1], 3) for n, seconds in curve.items()}
        costs = {"batch": b, "ms_of_one_token": round(1e3 * curve[1], 2), "times_one": relative}
        record("curve", costs)
        runs = [one for one in every if b == 1 or one.batches]
        blocks += [Block(kind, b, curve, runs) for kind in arguments.kinds]
    again = rewrites(loaded.model, loaded.processor, arguments.tokens)
    sources = {
        kind: again if kind == "rewrite" else iter(shipped(kind)) for kind in arguments.kinds
    }
    for _, block in product(range(arguments.rounds), blocks):
        if block.took and time.monotonic() + block.took > deadline:
            continue
        texts = list(islice(sources[block.kind], block.b))
        if len(texts) == block.b:
            inputs = batch(loaded.processor, texts)
            block.step(loaded.model, inputs, arguments.tokens, arguments.repeats)


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
