"""Are tokens of middling rank near the likeliest ones right less often, on a real model?

For eight questions with lists of accepted answers, the first tokens of rank 11 to 100 are
completed greedily by ``zoo:smollm2-135m`` and judged. Those that share a cluster of the head's
rows with one of the first ten are compared with the others, for some numbers of clusters and some
seeds of k-means, and with the same clusters given to rows at random. Near ranks are compared with
near ranks too: a token's rank alone says how often it is right.

Run from the repository root (some eight minutes on one core, most of it writing answers):

    python recipes/icn_keyspace.py
    python recipes/icn_keyspace.py --questions 1 --upto 26 --clusters 50   # a trial

It prints precision and mean rank of both kinds, and the gap between them (others minus those in
the clusters, which the paper finds to be positive), plain and within bins of ten ranks, with 95 %
intervals over questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenry import zoo
from tokenry.compare.probed import interval
from tokenry.method import LIST
from tokenry.ops.keyspace import in_main_clusters, spurious_correlation
from tokenry.plugs.keyspace import key_clusters
from tokenry.plugs.stem import Stem

GOLD = Path(__file__).parents[1] / "tests" / "decoding" / "gold.json"
TOP, BATCH, BIN = 10, 16, 10
ARTICLES = ("the ", "a ", "an ")


def judged(
    model: Any, tokenizer: Any, question: str, gold: set[str], upto: int
) -> tuple[list[int], Tensor]:
    """The ranking of first tokens, and which of those behind the first ten lead to an answer."""
    stem = Stem(model, tokenizer, LIST.write(question))
    ranking = [token for token, _ in islice(stem.ranking(), upto)]
    right = []
    for start in range(TOP, upto, BATCH):
        tokens = ranking[start : start + BATCH]
        for text, _ in stem.complete(tokens, LIST.closing, LIST.length):
            bare = text.lower().strip(" .")
            for article in ARTICLES:
                bare = bare.removeprefix(article)
            right.append(bare in gold)
    return ranking, torch.tensor(right)


def gaps(main: Tensor, right: Tensor) -> tuple[float, float]:
    """Others minus main: over all ranks, and the mean over bins of ranks that hold both."""
    whole = spurious_correlation(main, right, TOP).gap
    bins = zip(main.split(BIN), right.split(BIN), strict=True)
    near = [spurious_correlation(one, truth, TOP).gap for one, truth in bins]
    return whole, float(np.nanmean(near)) if np.isfinite(near).any() else float("nan")


def spread(values: np.ndarray) -> str:
    """The mean over questions with its interval; questions without both kinds are left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "unknown"
    mean = interval(values, "mean", 0)
    return f"{mean.value:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}]"


def report(name: str, kinds: list[Tensor], truths: list[Tensor]) -> None:
    """One line for one clustering."""
    main, right = torch.cat(kinds), torch.cat(truths)
    every = spurious_correlation(main, right, TOP)
    ranks = torch.arange(TOP + 1, TOP + 1 + len(kinds[0])).double().repeat(len(kinds))
    found = np.array([gaps(*pair) for pair in zip(kinds, truths, strict=True)])
    say(
        f"{name}: inside {every.main.precision:.3f} (rank {ranks[main].mean():.0f}, "
        f"{every.main.count} tokens), outside {every.other.precision:.3f} "
        f"(rank {ranks[~main].mean():.0f}); gap {spread(found[:, 0])}, "
        f"at like ranks {spread(found[:, 1])}; "
        f"positive in {(found[:, 0] > 0).sum()} of {len(found)}"
    )


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Judge, cluster and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clusters", type=int, nargs="+", default=[1000])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--upto", type=int, default=100, help="the last rank that counts")
    args = parser.parse_args()
    loaded = zoo.load("zoo:smollm2-135m")
    rankings, truths = [], []
    asked = json.loads(GOLD.read_text(encoding="utf-8")).items()
    for question, accepted in islice(asked, args.questions):
        model, tokenizer = loaded.model, loaded.processor
        ranking, right = judged(model, tokenizer, question, set(accepted), args.upto)
        say(f"{question} {int(right.sum())} of {len(right)} right")
        rankings.append(ranking)
        truths.append(right)
    for clusters in args.clusters:
        for seed in range(args.seeds):
            labels = key_clusters(loaded.model, clusters, seed=seed)
            report(
                f"{clusters} clusters, seed {seed}",
                [in_main_clusters(ranking, labels, TOP) for ranking in rankings],
                truths,
            )
    source = torch.Generator().manual_seed(0)
    labels = labels[torch.randperm(len(labels), generator=source)]
    kinds = [in_main_clusters(ranking, labels, TOP) for ranking in rankings]
    report("the last ones, given to rows at random", kinds, truths)


if __name__ == "__main__":
    main()
