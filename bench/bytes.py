"""What reading a model by bytes costs and brings, beside plain tokens and token healing.

    python bench/bytes.py                       # writes bench/results/bytes.json

The text is real Python source. Cost: next-byte probabilities at each byte of a text, against one
pass of the model for each of its tokens and for each of its bytes. Gain: prompts that end inside
a name that occurred before; right is a continuation that ends the name as the source does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path
from typing import Any

import torch

from tokenry import zoo
from tokenry.plugs.bytes import ByteLM

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "bytes.json"
FILES = ("textwrap", "heapq", "shelve", "fnmatch", "bisect", "queue", "configparser", "argparse")
FILES += ("calendar", "csv", "difflib", "gettext", "netrc", "optparse", "pdb", "sched")
HEADER = "#!/usr/bin/env python3\n"
COSTS = ({}, {"invalid": "keep"}, {"skip": 0.01, "untested": 0.05}, {"untested": 1e-3})
NEW = 6


def source(name: str) -> str:
    return Path(str(importlib.import_module(name).__file__)).read_text(encoding="utf-8")


def cut_names(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Python source that ends inside a name seen before, and the rest of the name."""
    choose = random.Random(seed)  # noqa: S311 - which prompts, no secret
    for number in range(count):
        text = source(FILES[number % len(FILES)])
        names = [m for m in re.finditer(r"[A-Za-z_]{7,}", text) if m.start() > 1000]
        choose.shuffle(names)
        for name in names:
            cut = choose.randint(name.start() + 2, name.end() - 2)
            lines = [m.start() for m in re.finditer(r"^[a-z#@]", text[:cut], re.M)]
            starts = [place for place in lines if 150 < cut - place < 600]
            if starts and name[0] in text[starts[-1] : name.start()]:
                yield text[starts[-1] : cut], text[cut : name.end()]
                break


def plain(model: Any, tokenizer: Any, prompt: str) -> str:
    """What the model writes behind the tokens of the prompt."""
    ids = tokenizer(HEADER + prompt, return_tensors="pt")["input_ids"]
    return tail(model, tokenizer, ids, prompt, NEW)


def healed(model: Any, tokenizer: Any, prompt: str) -> str:
    """The same by token healing: the last token is taken back, and one that extends it written.

    This is what `generate(token_healing=True)` means to do; it stops with a KeyError when the
    last token begins with a space and no token is called " ", as with this tokenizer.
    """
    ids = tokenizer(HEADER + prompt, return_tensors="pt")["input_ids"]
    last, n = tokenizer.convert_ids_to_tokens(int(ids[0, -1])), ids.shape[1] - 1
    pieces = tokenizer.convert_ids_to_tokens(range(model.config.vocab_size))
    others = torch.tensor([not piece.startswith(last) for piece in pieces])

    def extend(seen: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.masked_fill(others, -torch.inf) if seen.shape[1] == n else scores

    return tail(model, tokenizer, ids[:, :-1], prompt, NEW + 1, logits_processor=[extend])


def tail(model: Any, tokenizer: Any, ids: torch.Tensor, prompt: str, new: int, **more: Any) -> str:
    mask = torch.ones_like(ids)
    written = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=new, **more)
    return str(tokenizer.decode(written[0], skip_special_tokens=True)[len(HEADER + prompt) :])


def completed(
    model: Any, tokenizer: Any, count: int
) -> tuple[dict[str, list[bool]], dict[str, list[float]]]:
    """For each way and prompt, whether the name was ended as in the source, and the seconds."""
    reader = ByteLM(model, tokenizer, start=tokenizer(HEADER)["input_ids"])
    ways: dict[str, Callable[[str], str]] = {
        "plain": lambda prompt: plain(model, tokenizer, prompt),
        "token healing": lambda prompt: healed(model, tokenizer, prompt),
        "byte-exact": lambda prompt: reader.generate(
            prompt, do_sample=False, max_new_tokens=NEW
        ).decode(errors="replace"),
    }
    right: dict[str, list[bool]] = {way: [] for way in ways}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for prompt, rest in cut_names(count):
        for way, write in ways.items():
            start = time.perf_counter()
            written = write(prompt)
            spent[way].append(time.perf_counter() - start)
            ended = re.match(r"\w*", written)
            right[way].append(ended is not None and ended[0] == rest)
    return right, spent


def gains(model: Any, tokenizer: Any, count: int) -> dict[str, Any]:
    """Exact matches and seconds of the three ways, on the same prompts."""
    right, spent = completed(model, tokenizer, count)
    rows = []
    for way, found in right.items():
        more, less = uneven(right["byte-exact"], found)
        rows.append(
            {
                "way": way,
                "exact_match": f"{sum(found)} of {len(found)}",
                "right_only_by_bytes": more,
                "wrong_only_by_bytes": less,
                "sign_test": f"p = {sign_test(more, less):.1e}" if more + less else "",
                "seconds": round(statistics.median(spent[way]), 2),
            }
        )
    return {"prompts": len(right["plain"]), "new_tokens": NEW, "rows": rows}


def uneven(first: list[bool], second: list[bool]) -> tuple[int, int]:
    """How often only the first is right, and how often only the second."""
    pairs = list(zip(first, second, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def sign_test(more: int, less: int) -> float:
    """Two-sided probability of a split at least as uneven, when both sides are as likely."""
    n = more + less
    tail: float = sum(comb(n, k) for k in range(max(more, less), n + 1)) / 2**n
    return min(1.0, 2 * tail)


def per_token(model: Any, ids: list[int], context: int) -> float:
    """Processor seconds of one pass of the model for one token, the median over a text."""
    context = min(context, len(ids) - 8)  # a few, however short the text that is timed
    output = model(torch.tensor([ids[:context]]), use_cache=True)
    spent = []
    for token in ids[context:]:
        start = time.process_time()
        output = model(
            torch.tensor([[token]]), past_key_values=output.past_key_values, use_cache=True
        )
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def cost(model: Any, tokenizer: Any, settings: dict[str, Any], many: int) -> dict[str, Any]:
    """Processor seconds per byte with these settings, against passes of the model on the text."""
    text = HEADER + source("textwrap")[3000 : 3400 + many]
    front = tokenizer(HEADER)["input_ids"]
    ids = tokenizer(text)["input_ids"]
    reader = ByteLM(model, tokenizer, start=front, **settings)
    data = text[len(HEADER) :].encode()
    reader.next(data[: len(data) - many])
    passes, tests = reader.trace.passes, reader.trace.tests
    spent = []
    for end in range(len(data) - many + 1, len(data) + 1):
        start = time.process_time()
        reader.next(data[:end])
        spent.append(time.process_time() - start)
    one = per_token(model, ids, len(tokenizer(text[: len(text) - many])["input_ids"]))
    mean = statistics.fmean(spent)
    return {
        "settings": reader.method.describe(),
        "ms_per_byte": round(1000 * mean, 1),
        "ms_of_a_pass": round(1000 * one, 1),
        "ratio": round(mean / one, 2),
        "passes_per_byte": round((reader.trace.passes - passes) / many, 2),
        "tests_per_byte": round((reader.trace.tests - tests) / many),
        "cut": f"{reader.trace.cut:.2%}",
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=96, help="prompts that end inside a name")
    parser.add_argument("--bytes", type=int, default=60, help="bytes that are timed")
    parser.add_argument("--part", choices=("costs", "gains"), help="measure this alone")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    loaded = zoo.load(MODEL)
    model, tokenizer = loaded.model, loaded.processor
    content = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if asked.part != "gains":
        rows = [cost(model, tokenizer, settings, asked.bytes) for settings in COSTS]
        content["costs"] = [{"bytes": asked.bytes, "rows": rows}]
    if asked.part != "costs":
        content["gains"] = [gains(model, tokenizer, asked.prompts)]
    content["environment"] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": "python bench/bytes.py",
    }
    parts = (asked.part,) if asked.part else ("costs", "gains")
    for part in parts:
        for block in content[part]:
            for row in block["rows"]:
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
