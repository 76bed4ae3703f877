"""Speed and memory of the vision reducers on a real encoder, against the ideal and the peers.

    python bench/vision.py                      # writes bench/results/vision.json
    python bench/vision.py --tome DIR           # with a checkout of facebookresearch/ToMe
    python bench/vision.py --pitome DIR         # with a checkout of hchautran/PiToMe

The ideal runs the same blocks on the same token counts per layer with no matching at all: rows
are cut off with a slice. A method's share of the ideal is its saving of time over the ideal's
speed-up. Every figure is the median over rounds in which all contestants run in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokenry import catalog, zoo
from tokenry.compare.cost import operations_and_bytes
from tokenry.method import TokenReducer
from tokenry.ops.match import merge_best
from tokenry.ops.similarity import unit
from tokenry.plugs.attach import attach
from tokenry.plugs.blocks import find_tower
from tokenry.vision import PiToMe

MODEL = "zoo:dinov2-small-saliency"
RESULTS = Path(__file__).parent / "results" / "vision.json"


@dataclass(frozen=True)
class Setting:
    """One size of input."""

    pixels: int
    batch: int
    rounds: int


SETTINGS = (Setting(224, 4, 15), Setting(518, 4, 5))


def seconds_in_turn(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each run; all run once per round, in an order that rotates."""
    for run in runs.values():
        run()
    names = list(runs)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            runs[name]()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def ideal(model: nn.Module, pixels: Tensor, tokens: tuple[tuple[int, int], ...]) -> Tensor:
    """The blocks on these token counts, with rows cut off instead of merged."""
    tower, row = find_tower(model)
    x = tower.embeddings(pixels)
    for block, (enter, leave) in zip(row.blocks(tower), tokens, strict=True):
        x = row.attend(block, x[:, :enter], None, {})
        x = row.feed(block, x[:, :leave])
    return tower.layernorm(x)


def attached(model: nn.Module, pixels: Tensor, method: TokenReducer) -> Any:
    """One pass with the method on."""
    with attach(model, method):
        return model(pixel_values=pixels)


def trace_of(model: nn.Module, pixels: Tensor, method: TokenReducer) -> Any:
    """What became of the tokens in one pass."""
    with attach(model, method) as attachment:
        model(pixel_values=pixels)
    return attachment.trace


def whole_model(model: nn.Module, setting: Setting, keep: float) -> dict[str, Any]:
    """Seconds, speed-up and peak bytes of every method at one size."""
    torch.manual_seed(0)
    pixels = torch.randn(setting.batch, 3, setting.pixels, setting.pixels)
    methods = [catalog.find(slug)(keep=keep) for slug in catalog.names("vision")]
    runs: dict[str, Callable[[], Any]] = {"none": lambda: model(pixel_values=pixels)}
    tokens = {}
    for method in methods:
        slug = method.card.slug
        tokens[slug] = trace_of(model, pixels, method).tokens
        runs[slug] = lambda method=method: attached(model, pixels, method)
        if slug in ("tome", "pitome"):
            counts = tokens[slug]
            runs[f"ideal of {slug}"] = lambda counts=counts: ideal(model, pixels, counts)
    seconds = seconds_in_turn(runs, setting.rounds)
    rows = []
    for name, run in runs.items():
        flops, peak = operations_and_bytes(run, torch.device("cpu"))
        row = {
            "method": name,
            "seconds": round(seconds[name], 4),
            "speedup": round(seconds["none"] / seconds[name], 3),
            "gflops": round(flops / 1e9, 2),
            "peak_mb": round(peak / 2**20, 1),
        }
        best = seconds.get(f"ideal of {name}")
        if best:
            row["share_of_ideal_speedup"] = round(best / seconds[name], 3)
        rows.append(row)
    n = (setting.pixels // 14) ** 2 + 1
    return {
        "tokens": n,
        "pixels": setting.pixels,
        "batch": setting.batch,
        "keep": keep,
        "rounds": setting.rounds,
        "rows": rows,
    }


def load_file(name: str, path: Path) -> Any:
    """A Python file of a peer's checkout, as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: not a Python file; give the folder of the checkout.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_merge(n: int, keep: float, peers: argparse.Namespace) -> dict[str, Any]:
    """Matching and merging alone, ours beside the authors' functions, at the same counts."""
    torch.manual_seed(0)
    metric, x = torch.randn(4, n, 64), torch.randn(4, n, 384)
    r = round(n * (1 - keep))
    size = torch.ones(4, n, 1)
    rows = torch.arange(1, n).expand(4, -1)

    def ours() -> Any:
        return merge_best(unit(metric), rows[:, 1::2], rows[:, ::2], r).merge(x, size)

    runs: dict[str, Callable[[], Any]] = {"tokenry tome": ours}
    if peers.tome:
        tome = load_file("peer_tome", Path(peers.tome) / "tome" / "merge.py")

        def theirs() -> Any:
            merge, _ = tome.bipartite_soft_matching(metric, r, class_token=True)
            return tome.merge_wavg(merge, x, size)

        runs["ToMe, official"] = theirs
    if peers.pitome:
        runs["tokenry pitome"] = lambda: pitome_step(metric, x, size, r)
        pitome = load_file("peer_pitome", Path(peers.pitome) / "algo" / "pitome" / "merge.py")

        def theirs_too() -> Any:
            merge = pitome.pitome_vision(
                metric, ratio=keep, margin=torch.tensor(0.75), class_token=True
            )
            return pitome.merge_wavg(merge, x, size)

        runs["PiToMe, official"] = theirs_too
    return {
        "tokens": n,
        "removed": r,
        "batch": 4,
        "milliseconds": {k: round(v * 1e3, 3) for k, v in seconds_in_turn(runs, 21).items()},
    }


def pitome_step(metric: Tensor, x: Tensor, size: Tensor, r: int) -> Any:
    """PiToMe's rule on one layer's rows, without a model."""
    from tokenry.method import Heads, LayerView

    n = x.shape[1]
    view = LayerView(
        layer=0,
        depth=12,
        grid=(1, n - 1),
        protected=1,
        count=n - r,
        size=size,
        valid=None,
        origin=torch.arange(n).expand(4, -1),
        heads=Heads(metric[:, None], metric[:, None], 0.125),
        bias=None,
        memory={},
    )
    return PiToMe().reduce(x, view).merge(x, size)


def environment() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "command": "python bench/vision.py",
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tome", help="a checkout of facebookresearch/ToMe")
    parser.add_argument("--pitome", help="a checkout of hchautran/PiToMe")
    parser.add_argument("--keep", type=float, default=0.5)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    model = zoo.load(MODEL).model.eval()
    whole = [whole_model(model, setting, arguments.keep) for setting in SETTINGS]
    merges = [one_merge(n, 0.75, arguments) for n in (257, 1370)]
    for block in whole:
        print(f"\n{block['tokens']} tokens, batch {block['batch']}, keep {block['keep']}")
        for row in sorted(block["rows"], key=lambda row: row["seconds"]):
            share = row.get("share_of_ideal_speedup", "")
            print(
                f"  {row['method']:16} {row['seconds']:8.4f} s  x{row['speedup']:<6} "
                f"{row['gflops']:8.2f} GFLOP {row['peak_mb']:8.1f} MB  {share}"
            )
    for block in merges:
        print(
            f"\none merge, {block['tokens']} tokens, {block['removed']} removed, ms: "
            f"{block['milliseconds']}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"environment": environment(), "whole_model": whole, "one_merge": merges}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
