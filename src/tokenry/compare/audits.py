"""What an audit of tokenizers finds, as plain data: nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tokenry.compare.records import Interval, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """What one judge found of one tokenizer.

    Attributes:
        figures: By name, `name/category` of a category: value, unit, better, low, high.
        tables: Longer lists by name.
        notes: What a reader must know.
        refused: Why there is nothing; empty when there is.
        partly: Why there is nothing of the model's rows; empty when there is, or none was asked.
    """

    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: str = ""
    partly: str = ""

    def value(self, name: str) -> float | None:
        """The number of that name, if there is one."""
        figure = self.figures.get(name)
        return None if figure is None else float(figure["value"])


@dataclass(frozen=True, slots=True)
class Split:
    """A word that a tokenizer cuts, with its pieces."""

    pieces: tuple[str, ...]
    times: int


@dataclass(frozen=True, slots=True)
class Audited:
    """One tokenizer.

    Attributes:
        name: What a person calls it.
        kind: Its model: BPE, Unigram, WordPiece, WordLevel.
        size: Its tokens.
        found: What each judge found, by the judge's name.
        bytes_per_token: Of each category, with an interval over its texts.
        examples: The tokens of the first text of each category.
        splits: The words of each category that cost the most tokens.
        shared: With each other tokenizer by name, the share of this one's tokens that it has.
        only: Tokens that no other tokenizer of the audit has.
        written: The tokens that the texts were written with.
        seconds: What that took on this machine.
    """

    name: str
    kind: str
    size: int
    found: Mapping[str, Found]
    bytes_per_token: Mapping[str, Interval]
    examples: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, tuple[Split, ...]]
    shared: Mapping[str, float]
    only: int
    written: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Category:
    """Texts of one kind, such as a language."""

    name: str
    texts: int
    size: int
    characters: int
    broken: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tokenizers on the same texts.

    Attributes:
        name: The one.
        other: The one that it is compared with.
        category: Of which texts; empty for all.
        ratio: Bytes per token of the one over those of the other, with its interval.
        verdict: What it comes to.
    """

    name: str
    other: str
    category: str
    ratio: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Audit:
    """What tokenizers are like, side by side.

    Attributes:
        texts: What the texts are called.
        tokenizers: Each with what was found.
        categories: The texts.
        pairs: Each tokenizer after the first against the first, on the same texts.
        core: Tokens that all tokenizers have.
        cards: Of the judges, by name.
        notes: What a reader must know.
    """

    texts: str
    tokenizers: tuple[Audited, ...]
    categories: tuple[Category, ...]
    pairs: tuple[Pair, ...]
    core: int
    cards: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, the cards left out."""
        found = asdict(self)
        del found["cards"]
        return found

    def __str__(self) -> str:
        lines = []
        for one in self.tokenizers:
            whole = one.bytes_per_token[""]
            lines.append(
                f"{one.name}: {whole.value:.3f} bytes per token "
                f"({whole.low:.3f} to {whole.high:.3f}), {one.size} tokens, {one.kind}"
            )
        lines += [
            f"{pair.name} has {100 * (pair.ratio.value - 1):+.1f} % bytes per token against "
            f"{pair.other}: {pair.verdict}"
            for pair in self.pairs
            if not pair.category
        ]
        lines += [line for one in self.tokenizers for line in _said(one)]
        return "\n".join([*lines, *self.left_out(), *self.notes])

    def left_out(self) -> list[str]:
        """What was not judged, a line each with the reason."""
        found = [
            (f"{one.name}: {judge}", judged)
            for one in self.tokenizers
            for judge, judged in one.found.items()
        ]
        whole = [f"{who} was left out: {one.refused}" for who, one in found if one.refused]
        rows = [f"{who} did not judge the model: {one.partly}" for who, one in found if one.partly]
        return [*whole, *rows]


_SAID = (
    ("parity", "premium/", "tokens for the same, times those of the reference"),
    ("token-purity", "words", "% of the tokens written that are words"),
    ("token-purity", "pure", "% of the tokens written that are morphemes"),
    ("data-mixture", "bytes/", "share of the training text"),
)
"""Judge, figure, or what the figures of categories begin with, and what a person calls it."""


def _said(one: Audited) -> list[str]:
    """What is asked for most, a line each; the rest is in the report."""
    lines = []
    for judge, name, what in _SAID:
        figures = one.found[judge].figures if judge in one.found else {}
        said = [
            f"{category.removeprefix(name)} {_number(figure)}".strip()
            for category, figure in figures.items()
            if category == name or (name.endswith("/") and category.startswith(name))
        ]
        if said:
            lines.append(f"{one.name}: {what}: {', '.join(said)}")
    return lines


def _number(figure: Mapping[str, Any]) -> str:
    low, high = figure["low"], figure["high"]
    span = "" if low is None else f" ({low:.2f} to {high:.2f})"
    return f"{figure['value']:.2f}{span}"
