"""Tokens per second of drafting, beside plain generate and what transformers itself offers.

    python bench/decoding.py                     # writes bench/results/decoding.json
    python bench/decoding.py --kinds rewrite --batches 1 --rounds 8   # one part of it
    python bench/decoding.py --device cuda --kinds chat --tokens 160  # decoding-cuda.json

Greedy, by kind of text, one prompt at a time and four at once; all contestants write to each prompt
in turn, each from a cold start, or, with `--before`, after it has written to so many other prompts
of the kind, which are not timed. Every round takes one more batch of each kind; no further batch is
begun that would not be done after `--minutes`, but the first round always is. *copied* is the share
of the plain answer that stands in the prompt in runs of four tokens and more; to *rewrite* go
prompts of which that is 0.9 at least. The *limit* is what the measured cost of a pass over n tokens
and the reached acceptance allow: the seconds of the prompt's pass and of the passes that were made;
*limit_speedup* is what it makes of plain decoding. Passes are timed behind texts as long as those
of the kind, before and after each batch. *beside* is what was spent beside passes of the model,
drafts and draft models included, as a share of plain decoding's time: where no draft was verified,
it is all that a contestant can lose, and a larger difference in speed is the machine's. On a GPU,
which works on while Python goes ahead, the two cannot be told apart, and *beside* is left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any, ClassVar

import torch
from decoding_costs import Costs, between, now
from decoding_texts import batch, copied, paragraphs, shipped

from tokenry import catalog, zoo
from tokenry.card import Card
from tokenry.method import Drafter, DraftView, TokenTree
from tokenry.plugs.attach import attach

MODEL, DRAFT = "zoo:smollm2-135m", "zoo:smollm2-draft"
RESULTS = Path(__file__).parent / "results"
KINDS = ("chat", "edit", "summary", "log", "rewrite")
COPIED = 0.9


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


def contestants(device: str) -> list[Contestant]:
    """Plain generate first; drafters that need no training; what transformers offers."""
    assistant = zoo.load(DRAFT).model.to(device)
    found = [
        Contestant("plain generate"),
        Contestant("our loop, no drafts", Silent()),
        Contestant("prompt lookup, transformers", None, {"prompt_lookup_num_tokens": 10}, False),
        Contestant("assisted, transformers", None, {"assistant_model": assistant}, False),
    ]
    classes = [catalog.find(slug) for slug in catalog.names("decoding")]
    fit = [c for c in classes if issubclass(c, Drafter) and c.card.needs == "nothing"]
    return [*found, *(Contestant(cls.card.slug, cls()) for cls in fit)]


@dataclass
class Tally:
    """What one contestant did on the prompts of one kind.

    Attributes:
        sizes: Tokens of each pass after the prompt's that a drafter made.
        prompts: Seconds of the passes over the prompts.
        plain: Passes after the prompt's that plain decoding needs.
    """

    seconds: float = 0.0
    beside: float = 0.0
    tokens: int = 0
    passes: int = 0
    sizes: list[int] = field(default_factory=list)
    prompts: float = 0.0
    plain: int = 0
    copied: float = 0.0
    same: int = 0
    texts: int = 0


@dataclass
class Written:
    """What came of one call.

    Attributes:
        text: The new tokens.
        trace: Of a drafter; None without one.
        seconds: In all.
        beside: Of them, those beside passes of the model.
    """

    text: Any
    trace: Any
    seconds: float
    beside: float


class Clock:
    """Adds up the seconds of a model's passes, where they can be told: not on a GPU."""

    def __init__(self, model: Any) -> None:
        self.inside = self._began = 0.0
        self._hooks = (
            model.register_forward_pre_hook(self._before),
            model.register_forward_hook(self._after),
        )

    def _before(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.inside += time.perf_counter() - self._began

    def stop(self) -> float:
        """The seconds."""
        for hook in self._hooks:
            hook.remove()
        return self.inside


def write(
    model: Any,
    inputs: dict[str, Any],
    one: Contestant,
    tokens: int,
    before: Sequence[dict[str, Any]] = (),
) -> Written:
    """One call of `generate`; draft models are loaded and earlier prompts answered before it."""
    held = attach(model, one.method) if one.method else nullcontext()
    with held as attachment:
        for earlier in before if one.method else ():
            model.generate(**earlier, max_new_tokens=tokens, do_sample=False)
        clock, start = Clock(model), now(model)
        out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, **one.asked)
        seconds = now(model) - start
    text, trace = out[:, inputs["input_ids"].shape[1] :], getattr(attachment, "trace", None)
    return Written(text, trace, seconds, seconds - clock.stop())


def measure(
    model: Any,
    inputs: dict[str, Any],
    runs: list[Contestant],
    tokens: int,
    tallies: dict[str, Tally],
    repeats: int = 1,
    before: Sequence[dict[str, Any]] = (),
) -> None:
    """All contestants on one more batch, in turn, there and back; the quickest time counts."""
    prompt = write(model, inputs, runs[0], tokens=1).seconds
    found: dict[str, list[Written]] = {one.name: [] for one in runs}
    for turn in range(repeats):
        for one in runs[:: -1 if turn % 2 else 1]:
            found[one.name].append(write(model, inputs, one, tokens, before))
    plain = found[runs[0].name][0].text
    prompts = inputs["input_ids"].tolist()
    for one in runs:
        tally, turns = tallies.setdefault(one.name, Tally()), found[one.name]
        text, trace = turns[-1].text, turns[-1].trace
        tally.seconds += min(turn.seconds for turn in turns)
        tally.beside += min(turn.beside for turn in turns)
        tally.same += sum(_same(a, b) for a, b in zip(text.tolist(), plain.tolist(), strict=True))
        tally.texts += len(text)
        tally.tokens += int((plain != model.generation_config.eos_token_id).sum())
        pairs = zip(prompts, plain.tolist(), strict=True)
        tally.copied += sum(copied(source, answer) for source, answer in pairs)
        if trace is not None:
            tally.passes += trace.passes
            tally.sizes += (trace.offered.clamp(min=0).amax(1) + 1).tolist()
            tally.prompts += prompt
            tally.plain += trace.plain - 1


def _same(mine: list[int], plain: list[int]) -> bool:
    n = min(len(mine), len(plain))
    return mine[:n] == plain[:n]


def row_of(
    name: str, tallies: dict[str, Tally], curve: dict[int, float], on_cpu: bool
) -> dict[str, Any]:
    """One contestant's line of the table."""
    tally, plain = tallies[name], tallies["plain generate"]
    row: dict[str, Any] = {
        "contestant": name,
        "tokens_per_second": round(tally.tokens / tally.seconds, 1),
        "speedup": round(plain.seconds / tally.seconds, 3),
        "identical": f"{tally.same} of {tally.texts}",
    }
    if on_cpu:
        row["beside"] = round(tally.beside / plain.seconds, 3)
    if tally.passes:
        ideal = tally.prompts + sum(between(curve, n) for n in tally.sizes)
        row["tokens_per_pass"] = round(tally.tokens / tally.passes, 2)
        row["seconds"] = round(tally.seconds, 3)
        row["limit_seconds"] = round(ideal, 3)
        row["share_of_limit"] = round(ideal / tally.seconds, 3)
        row["limit_speedup"] = round((tally.prompts + tally.plain * curve[1]) / ideal, 2)
    return row


def rewrites(model: Any, tokenizer: Any, tokens: int) -> Iterator[str]:
    """Paragraphs of whose plain answer at least `COPIED` is copied."""
    plain = Contestant("plain generate")
    for text in paragraphs():
        inputs = batch(tokenizer, [text], model.device)
        answer = write(model, inputs, plain, tokens).text
        if copied(inputs["input_ids"][0].tolist(), answer[0].tolist()) >= COPIED:
            yield text


@dataclass
class Block:
    """One kind of text at one batch size.

    Attributes:
        kind: The kind.
        b: Prompts at once.
        runs: Who takes part.
        before: What drafters have answered before each text.
        costs: What passes take behind texts of the first batch's length.
        tallies: What they did so far.
        took: Seconds of the last batch.
    """

    kind: str
    b: int
    runs: list[Contestant]
    before: Sequence[dict[str, Any]] = ()
    costs: Costs | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    took: float = 0.0

    def step(self, model: Any, inputs: dict[str, Any], tokens: int, repeats: int) -> None:
        """One more batch; what has been found so far is recorded."""
        began = time.monotonic()
        if self.costs is None:
            for one in self.runs:
                write(model, inputs, one, tokens=2)  # times passes on first use
            self.costs = Costs(self.b, inputs["input_ids"].shape[1] + tokens // 2)
        self.costs.time(model)
        measure(model, inputs, self.runs, tokens, self.tallies, repeats, self.before)
        self.costs.time(model)
        self.took = time.monotonic() - began
        self._record(self.costs, model)

    def _record(self, costs: Costs, model: Any) -> None:
        curve, device = costs.curve, model.device.type
        named = {"kind": self.kind, "batch": self.b, "dtype": str(model.dtype)[6:]}
        named |= {"before": len(self.before)} if self.before else {}
        relative = {str(n): round(seconds / curve[1], 3) for n, seconds in curve.items()}
        one = {"context": costs.context, "ms_of_one_token": round(1e3 * curve[1], 2)}
        record(device, "curve", {**named, **one, "times_one": relative})
        rows = [row_of(name, self.tallies, curve, device == "cpu") for name in self.tallies]
        plain = self.tallies["plain generate"]
        named["copied"] = round(plain.copied / plain.texts, 2)
        record(device, "by_kind", {**named, "rows": rows})


def asked() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 4))
    parser.add_argument("--rounds", type=int, default=4, help="most batches of each kind")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1, help="times of which the best counts")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="*", default=(), help="contestants beside plain generate")
    parser.add_argument("--before", type=int, default=0, help="prompts answered before each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    arguments = asked()
    deadline = time.monotonic() + 60 * arguments.minutes
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    loaded.model.to(arguments.device, getattr(torch, arguments.dtype))
    every = contestants(arguments.device)
    only = {"plain generate", *arguments.only}
    every = [one for one in every if one.name in only or not arguments.only]
    again = rewrites(loaded.model, loaded.processor, arguments.tokens)
    sources = {
        kind: again if kind == "rewrite" else iter(shipped(kind)) for kind in arguments.kinds
    }
    before = {
        kind: [
            batch(loaded.processor, [text], loaded.model.device)
            for text in islice(source, arguments.before)
        ]
        for kind, source in sources.items()
    }
    blocks: list[Block] = []
    for b in arguments.batches:
        runs = [one for one in every if b == 1 or one.batches]
        blocks += [Block(kind, b, runs, before[kind]) for kind in arguments.kinds]
    for _, block in product(range(arguments.rounds), blocks):
        if block.took and time.monotonic() + block.took > deadline:
            continue
        texts = list(islice(sources[block.kind], block.b))
        if len(texts) == block.b:
            inputs = batch(loaded.processor, texts, loaded.model.device)
            block.step(loaded.model, inputs, arguments.tokens, arguments.repeats)


def record(device: str, part: str, block: dict[str, Any]) -> None:
    """Print a block, and put it into the device's results in the place of an earlier one."""
    path = RESULTS / ("decoding.json" if device == "cpu" else f"decoding-{device}.json")
    print({key: value for key, value in block.items() if key != "rows"})
    for row in block.get("rows", []):
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result["environment"] = environment(device)
    same = ("kind", "batch", "dtype", "before")
    others = [b for b in result.get(part, []) if any(b.get(k) != block.get(k) for k in same)]
    result[part] = [*others, block]
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def environment(device: str) -> dict[str, str]:
    """What the figures were measured on."""
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": cpu if device == "cpu" else torch.cuda.get_device_name(),
        "model": MODEL,
        "command": " ".join(["python", "bench/decoding.py", *sys.argv[1:]]),
    }


if __name__ == "__main__":
    main()
