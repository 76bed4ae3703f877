"""Measure Less-is-Better on the speech that its authors showed it on.

`br-text.txt` of https://github.com/ray306/LiB (MIT) holds what was said to small children, a
sentence a line; it comes from the Bernstein-Ratner corpus of CHILDES and does not ship. The spaces
are taken out, and units are learned from documents of 200 sentences. How well they find the words
is said of a tenth of the sentences, which were read among the others, as in the authors' notebook;
`br-phono.txt` is the same speech in phonemes. Seconds:

    python recipes/less_is_better_speech.py br-text.txt
"""

from __future__ import annotations

import argparse
import random
from itertools import accumulate
from pathlib import Path

from tokenry.vocab import LessIsBetter
from tokenry.vocab.less_is_better import parts

LONGEST = 12


def read(places: dict[str, int], text: str) -> list[str]:
    """A sentence in its longest units, these decomposed twice."""
    found, at = [], 0
    while at < len(text):
        end = next((e for e in range(at + LONGEST, at, -1) if text[at:e] in places), at + 1)
        found.append(text[at:end])
        at = end
    for _ in range(2):
        found = [p for one in found for p in (parts(one, places) if one in places else [one])]
    return found


def f1(units: list[str], sentences: list[list[str]]) -> dict[str, float]:
    """Of borders with and without the ends of sentences, which none can miss, and of words."""
    places = {unit: place for place, unit in enumerate(units)}
    right, both = {}, {}
    for words in sentences:
        pieces = read(places, "".join(words))
        true, seen = ([*accumulate(map(len, way))] for way in (words, pieces))
        sets = {
            "borders": (set(true), set(seen)),
            "borders inside": (set(true[:-1]), set(seen[:-1])),
            "words": (set(zip([0, *true], true)), set(zip([0, *seen], seen))),  # noqa: B905
        }
        for name, (one, other) in sets.items():
            right[name] = right.get(name, 0) + len(one & other)
            both[name] = both.get(name, 0) + len(one) + len(other)
    return {name: 2 * right[name] / both[name] for name in right}


def main() -> None:
    """Print a line for each number of documents and seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("--documents", type=int, nargs="+", default=[1, 100, 400, 1500])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    lines = sorted({*given.speech.read_text(encoding="utf-8").splitlines()} - {""})
    random.Random(0).shuffle(lines)
    sentences = [line.split() for line in lines]
    asked = sentences[len(sentences) * 9 // 10 :]
    for seed in range(given.seeds):
        for documents in given.documents:
            rule = LessIsBetter(documents=documents, longest=LONGEST, seed=seed)
            units = rule.learn("".join(words) for words in sentences)
            found = ", ".join(f"{name} {share:.3f}" for name, share in f1(units, asked).items())
            print(f"seed {seed}, {documents} documents: {found}; {len(units)} units", flush=True)


if __name__ == "__main__":
    main()
