"""Checks of what a `Judge` says of tiny vocabularies."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tokenry.checks.vocabularies import NEW, OLD, Kind, learned, written
from tokenry.errors import UsageError
from tokenry.method import Findings, Judge, Usage, Vocab

KINDS: tuple[Kind, ...] = ("BPE", "Unigram", "WordPiece")
CLOSE = 1e-6


def ground() -> tuple[Vocab, list[Usage]]:
    """A vocabulary of both languages, which both are written with."""
    vocab = learned((*OLD, *NEW))
    return vocab, written(vocab)


def wrong(findings: Findings) -> Iterator[str]:
    """What is not as it must be in findings."""
    for name, figure in findings.figures.items():
        ends = [end for end in (figure.low, figure.high) if end is not None]
        if not all(map(math.isfinite, (figure.value, *ends))):
            yield f"the figure {name!r} is not finite."
        if figure.low is not None and figure.low > figure.value:
            yield f"the figure {name!r} lies below its interval."
        if figure.high is not None and figure.high < figure.value:
            yield f"the figure {name!r} lies above its interval."
        if not figure.unit:
            yield f"the figure {name!r} does not say what it counts."
    try:
        json.dumps([*map(list, findings.tables.values())], allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"its tables cannot be written as JSON: {error}."


def figures(cls: type[Judge]) -> str:
    """There are figures: finite, in their intervals, with a unit; tables are plain data."""
    findings = cls().judge(*ground())
    if not findings.figures:
        return "it finds no figure."
    return next(wrong(findings), "")


def kinds(cls: type[Judge]) -> str:
    """A vocabulary of any kind is judged, or refused with a reason."""
    for kind in KINDS:
        vocab = learned((*OLD, *NEW), kind)
        try:
            message = next(wrong(cls().judge(vocab, written(vocab))), "")
        except UsageError:
            continue
        if message:
            return f"{kind}: {message}"
    return ""


def nothing(cls: type[Judge]) -> str:
    """Without texts, and with texts of no token, it judges or refuses with a reason."""
    vocab, _ = ground()
    empty = Usage(
        category="old",
        counts=np.zeros(len(vocab), np.int64),
        texts=0,
        characters=0,
        size=0,
        words={},
    )
    for given in ((), (empty,)):
        try:
            message = next(wrong(cls().judge(vocab, given)), "")
        except UsageError:
            continue
        if message:
            return f"of {len(given)} categories without text: {message}"
    return ""


def repeat(cls: type[Judge]) -> str:
    """The same vocabulary and texts give the same findings."""
    if cls().judge(*ground()) != cls().judge(*ground()):
        return "the same vocabulary and texts give different findings."
    return ""


def order(cls: type[Judge]) -> str:
    """The order of the categories changes no figure."""
    vocab, used = ground()
    found = [cls().judge(vocab, given).figures for given in (used, used[::-1])]
    if {*found[0]} != {*found[1]}:
        return "the order of the categories changes which figures there are."
    for name, figure in found[0].items():
        if not math.isclose(figure.value, found[1][name].value, rel_tol=CLOSE, abs_tol=CLOSE):
            return f"the order of the categories changes the figure {name!r}."
    return ""


def untouched(cls: type[Judge]) -> str:
    """The texts' counts and the judge stay as they are."""
    vocab, used = ground()
    method, before = cls(), copy.deepcopy(used)
    said = repr(vars(method))
    method.judge(vocab, used)
    if repr(vars(method)) != said:
        return f"the judge changed while it judged: {said} became {vars(method)!r}."
    return "" if _same(before, used) else "the counts of the texts change."


def _same(before: Sequence[Usage], after: Sequence[Usage]) -> bool:
    return all(
        np.array_equal(a.counts, b.counts) and a.words == b.words
        for a, b in zip(before, after, strict=True)
    )
