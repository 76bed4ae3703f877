"""How often a column's own definition comes first: columns of statsmodels' data sets, real names.

Run: python recipes/glossary_columns.py --encoder zoo:minilm-l6 [--referee zoo:smollm2-135m]

The notes of these data sets define every column ("ttme = terminal waiting time for plane, train and
bus"). They are read from the installed package; nothing of them is kept. Columns whose definitions
are the same words share an entry, so that several columns may have one answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.errors import MissingExtraError
from tokenry.linking.glossary_match import By, GlossaryMatch
from tokenry.method import Aids, Embed, Side
from tokenry.plugs.referee import referee
from tokenry.plugs.text_encoder import text_encoder

_NOTE = re.compile(r'NOTE\s*=\s*"""(.*?)"""', re.DOTALL)
_LINE = re.compile(r"( *)([A-Za-z]\w*)\s*(?:- |: |= )\s*(\S.*)")
_WORD = re.compile(r"[A-Za-z]{3}")  # "1959q1 - 2009q3" says nothing in words
_VALUE = re.compile(r"\s*\d+\s*[-=]")


class Definition(NamedTuple):
    """A column of a data set, and what its notes say that it holds."""

    table: str
    name: str
    text: str


def definitions() -> list[Definition]:
    """Every column that the notes of statsmodels' data sets define.

    Raises:
        MissingExtraError: If statsmodels is not installed.
    """
    found = importlib.util.find_spec("statsmodels")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("glossary_columns", "pip install statsmodels")
    root = Path(found.submodule_search_locations[0]) / "datasets"
    read = []
    for path in sorted(root.glob("*/data.py")):
        note = _NOTE.search(path.read_text(encoding="utf-8"))
        if note is not None:
            read += [Definition(path.parent.name, *one) for one in defined(note[1])]
    return [one for one in read if _WORD.search(one.text)]


def defined(note: str) -> list[tuple[str, str]]:
    r"""Names and definitions in the notes of one data set.

    >>> defined(" qty - number of\n   units\n     1 - one\n price = what it costs")
    [('qty', 'number of units'), ('price', 'what it costs')]
    """
    lines = [(line, _LINE.fullmatch(line)) for line in note.splitlines()]
    depth = min((len(match[1]) for _, match in lines if match and match[1]), default=0)
    found: list[tuple[str, str]] = []
    at = -1  # how deep the definition stands that goes on
    for line, match in lines:
        inset = len(line) - len(line.lstrip())
        if match and match[1] and inset <= depth + 4 and not 0 <= at < inset:
            found.append((match[2], match[3]))
            at = inset
        elif line.strip() and inset > at >= 0 and not _VALUE.match(line):
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        elif not line.strip():
            at = -1
    return found


def sides(some: Sequence[Definition]) -> tuple[Side, Side, list[int]]:
    """Columns and a glossary as two tables, and which entry each column has."""
    texts = list(dict.fromkeys(one.text.lower().rstrip(".") for one in some))
    gold = [texts.index(one.text.lower().rstrip(".")) for one in some]
    columns = {"name": [one.name for one in some], "table": [one.table for one in some]}
    left = Side(columns=columns, keys=("name",), count=len(some))
    return left, Side(columns={"name": texts}, keys=("name",), count=len(texts)), gold


def hits(
    method: GlossaryMatch, some: Sequence[Definition], aids: Aids, *among: int
) -> NDArray[np.bool_]:
    """For each number k: whether the own entry is among the k best of each column."""
    left, right, gold = sides(some)
    found = method.prepare(left, right, aids).nearest(max(among))
    right_one = found.right == np.array(gold)[found.left]
    place = np.arange(len(found.left)) - np.searchsorted(found.left, found.left)
    columns = np.arange(len(some))
    return np.array([np.isin(columns, found.left[right_one & (place < k)]) for k in among])


class Stub:
    """A referee that writes a column's definition with errors, if the prompt tells which it is.

    Of the definitions that the prompt leaves open (all columns of this name, or the one of this
    table if the table is named) it takes one by chance, leaves out words and puts in others.

    Args:
        some: The columns.
        noise: Share of words that are left out, and again of those that are replaced.
        seed: Of the errors.
    """

    def __init__(self, some: Sequence[Definition], noise: float, seed: int = 0) -> None:
        self._some, self._noise = some, noise
        self._draw = np.random.default_rng(seed)
        self._words = [word for one in some for word in one.text.split()]

    def write(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """A noisy description of the last column of each prompt."""
        return [self._described(prompt.split("\n\n")[-2]) for prompt in prompts]

    def _described(self, prompt: str) -> str:
        said = dict(line.split(": ", 1) for line in prompt.splitlines() if ": " in line)
        same = [one for one in self._some if one.name == said["Column"]]
        known = [one for one in same if one.table == said.get("Table", one.table)]
        text = known[int(self._draw.integers(len(known)))].text
        chances = self._draw.random(len(text.split()))
        others = self._draw.choice(self._words, len(chances))
        kept = [
            str(other) if chance > 1 - self._noise else word
            for word, other, chance in zip(text.split(), others, chances, strict=True)
            if chance > self._noise
        ]
        return " ".join(kept) or "unknown"

    def yes(self, prompts: Sequence[str]) -> Any:
        """Not what this one is for."""
        raise NotImplementedError

    def options(self, prompts: Sequence[str], count: int) -> Any:
        """Not what this one is for."""
        raise NotImplementedError


def main() -> None:
    """Print, for each way to match, how often the own entry is among the first 1, 5 and 20."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="zoo:minilm-l6")
    parser.add_argument("--referee", default="", help="a model's name or address")
    parser.add_argument(
        "--by",
        nargs="*",
        default=get_args(By)[1:],
        help="with settings, if any: 'entry-yes, among=10'",
    )
    parser.add_argument("--noise", type=float, default=0.3, help="of the stub that knows the gold")
    parser.add_argument(
        "--limit", type=int, help="columns that the model is asked about, spread over all"
    )
    given = parser.parse_args()
    embed = reading(given.encoder)
    some = definitions()
    report("names", GlossaryMatch(by="names"), some, Aids(embed=embed))
    report("names, expanded", GlossaryMatch(by="names", expand=True), some, Aids(embed=embed))
    for table in ("", "table"):
        method = GlossaryMatch(by="written", table=table)
        stubs = [Stub(some, given.noise, seed) for seed in range(8)]
        aids = [Aids(embed=embed, referee=stub) for stub in stubs]
        report(f"stub that errs by {given.noise}, {table or 'no'} context", method, some, *aids)
    if given.referee:
        judge = referee(given.referee)
        some = some[:: max(1, len(some) // (given.limit or len(some)))]
        report("names", GlossaryMatch(by="names"), some, Aids(embed=embed))
        for by in given.by:
            method = catalog.make(f"glossary-match(by={by})")
            report(f"{given.referee}, {by}", method, some, Aids(embed=embed, referee=judge))


def reading(encoder: str) -> Embed:
    """Texts to vectors of length one, by an encoder."""
    model = text_encoder(encoder)
    return lambda texts: model.encode(list(texts), normalize_embeddings=True)


def report(name: str, method: Any, some: Sequence[Definition], *aids: Aids) -> None:
    """Print the hits of one way, over several referees."""
    names = [one.name for one in some]
    shared = np.array([names.count(name) > 1 for name in names])
    first, five, twenty = np.mean([hits(method, some, one, 1, 5, 20) for one in aids], axis=0)
    hard = f"{first[shared].mean():.3f} of {shared.sum()}" if shared.any() else "none"
    sys.stdout.write(
        f"{name}: hit@1 {first.mean():.3f}, hit@5 {five.mean():.3f}, hit@20 "
        f"{twenty.mean():.3f} of {len(some)} columns; hit@1 "
        f"where several tables have the name {hard}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
