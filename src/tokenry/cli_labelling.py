"""Questions about pairs in the terminal: two records side by side, and a key for the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tokenry import console
from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.report.aligned import aligned
from tokenry.report.words import clean
from tokenry.tables.labelling import Labelling

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from tokenry.tables.labelling import Answer, Labelled, Pair
    from tokenry.tables.links import Links

QUESTION = "The same? y yes, n no, s skip, b back, q quit: "
_ANSWERS: dict[str, Answer] = {"y": "y", "yes": "y", "n": "n", "no": "n", "s": "skip", "": "skip"}
_STYLES = {"same": "green", "alike": "yellow", "alone": "bold red"}
_LONGEST = 400
_NEAREST = 5  # rows that each left row is compared with where nothing blocks
_LEAST = -1e9
_LEARNED = "The method has learned from the answers, on which it now looks better than it is:"


def ask(work: Labelling, on: tuple[Sequence[str], Sequence[str]]) -> None:
    """Ask about each pair that has no answer, until all have one or the person quits.

    Questions go to standard error, answers come from standard input, one on a line; what is
    answered is kept at once. Its end counts as q. An empty line skips.

    Args:
        work: The questions.
        on: The key columns of both tables, which are shown first.
    """
    waiting = [number for number, _ in work.open()]
    done = len(work) - len(waiting)
    if done:
        console.say(f"{done:,} of {counted(len(work), 'pair')} answered before.")
    at = 0
    while at < len(waiting):
        pair = work.pair(waiting[at])
        console.show(record(pair, on, f"{at + done + 1} of {len(work)}"))
        word = console.ask(QUESTION)
        key = "q" if word is None else word.strip().lower()
        if key in ("q", "quit"):
            return
        if key in ("b", "back"):
            at = max(0, at - 1)
        elif key in _ANSWERS:
            work.answer(waiting[at], _ANSWERS[key])
            at += 1
        else:
            console.say(f"{clean(key, 20)!r} is none of y, n, s, b, q.")


def record(pair: Pair, on: tuple[Sequence[str], Sequence[str]], place: str) -> Table:
    """Both rows side by side, keys first; a mark says where they differ.

    Args:
        pair: The rows.
        on: The key columns of both tables.
        place: Which question it is.
    """
    found = console.table("", "", "left", "right")
    found.title = f"{place}, score {pair.score:.3f}, {pair.stratum}"
    for left, right in _rows(pair, on):
        one, other = (
            "" if name is None or row[name] is None else str(row[name])[:_LONGEST]
            for name, row in ((left, pair.left), (right, pair.right))
        )
        name = left if right in (left, None) else right if left is None else f"{left} = {right}"
        texts = (_marked(side) for side in aligned(one, other))
        found.add_row(clean(str(name), 40), _sign(one, other), *texts)
    return found


def _rows(
    pair: Pair, on: tuple[Sequence[str], Sequence[str]]
) -> list[tuple[str | None, str | None]]:
    """Which columns stand beside each other: keys, those of one name, then what one side has."""
    keys = list(zip(*on, strict=True))
    left = [name for name in pair.left if name not in on[0]]
    right = [name for name in pair.right if name not in on[1]]
    both = [(name, name) for name in left if name in right]
    alone = [(name, None) for name in left if name not in right]
    others = [(None, name) for name in right if name not in left]
    return [*keys, *both, *alone, *others]


def _sign(one: str, other: str) -> str:
    if not (one and other):
        return ""
    return "=" if one.split() == other.split() else "x"


def _marked(pieces: Sequence[tuple[str, str]]) -> Text:
    from rich.text import Text

    found = Text()
    for kind, piece in pieces:
        found.append(piece, _STYLES.get(kind))
    return found


@contextmanager
def labelled(
    link: Callable[..., Links], settings: dict[str, Any], count: int, path: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Ask about pairs, let the method learn from the answers, and tune its threshold.

    Args:
        link: Links the tables, or the rows of one, with given settings.
        settings: Those of the command; with `assign`, if links are assigned.
        count: How many questions there may be.
        path: The file that keeps answers.

    Yields:
        The settings to link with, and what was found out, as plain data.

    Raises:
        UsageError: If labelled pairs are given already, or nothing was answered.
    """
    if "known" in settings:
        raise UsageError("--label asks for labelled pairs, --known gives them; leave one out.")
    with TemporaryDirectory(prefix="tokenry-") as folder:
        settings = {"folder": folder, **settings}  # nothing is encoded twice
        assign = settings.get("assign", "many")
        every = {**settings, "threshold": _LEAST}
        every.pop("gold", None)
        if "assign" in settings:
            every["assign"] = "many"
        if "block" not in settings:
            every["k"] = max(settings.get("k", 0), _NEAREST)
        found = link(**every)
        work = Labelling(found, count, path, assign=assign, threshold=settings.get("threshold"))
        ask(work, found.on)
        before = work.findings()
        console.say(f"{before}\nAnswers: {path}")
        facts = {"labelled": told(before), "labels": str(path)}
        known = work.known()
        if 0 < known.score.sum() < len(known.score):
            settings["known"] = known
            after = work.findings(link(**every, known=known))
            if (after.threshold, after.before) != (before.threshold, before.before):
                console.say(f"{_LEARNED}\n{after}")
                facts["learned"] = told(after)
            settings.setdefault("threshold", after.tuned)
        yield settings, facts


def told(found: Labelled) -> dict[str, Any]:
    """What the answers say, as plain data."""
    names = ("precision", "recall", "f1")
    figures = {
        side: {name: [*astuple(getattr(getattr(found, side), name))] for name in names}
        for side in ("before", "after")
    }
    plain = ("yes", "no", "skipped", "threshold", "tuned", "compared")
    return {name: getattr(found, name) for name in plain} | figures
