"""The table of a task: a line for each configuration, a column for each thing that was measured."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

from tokenry.report import words
from tokenry.report.phrases import PHRASES

if TYPE_CHECKING:
    from tokenry.compare.records import TaskInfo
    from tokenry.report.entries import Entry

COLUMNS = (
    ("Method", "text"),
    ("Keep", "number"),
    ("Score", "number"),
    ("Difference", "number"),
    ("Verdict", "text"),
    ("Time", "number"),
    ("Speed-up", "number"),
    ("Speed", "text"),
    ("Peak MB", "number"),
    ("Tokens", "number"),
    ("GFLOPs", "number"),
)
_QUALITY_AND_TIME = 8
"""Columns before a task's further figures."""


def columns(task: TaskInfo) -> list[tuple[str, str]]:
    """The head of each column, and whether it is text or a number.

    Args:
        task: What was measured.
    """
    phrases = PHRASES[task.kind]
    named = {"Tokens": phrases.share, **{f: f"{f}{phrases.part}" for f in ("Peak MB", "GFLOPs")}}
    plain = [(named.get(title, title), kind) for title, kind in COLUMNS]
    every = [
        *plain[:_QUALITY_AND_TIME],
        *((words.clean(figure.title, 40), "number") for figure in task.figures),
        *plain[_QUALITY_AND_TIME:],
        *((words.clean(name, 40).capitalize(), "text") for name in task.settings),
    ]
    return list(compress(every, _shown(task)))


def _shown(task: TaskInfo) -> list[bool]:
    """Which columns say something about this kind of model."""
    hidden = PHRASES[task.kind].hidden
    plain = [title not in hidden for title, _ in COLUMNS]
    middle = [True] * len(task.figures)
    ends = [True] * len(task.settings)
    return [*plain[:_QUALITY_AND_TIME], *middle, *plain[_QUALITY_AND_TIME:], *ends]


def row(order: int, entry: Entry) -> dict[str, Any]:
    """The cells of a line: text, its interval below, a colour, and what to sort by.

    Args:
        order: The place of the line.
        entry: The line.
    """
    figure = entry.summary
    loss, speed = (words.MARKS.get(one, "text") for one in (figure.verdict, figure.faster))
    reference = entry.kind == "untouched"
    cells = [
        (entry.keep, "", "number", figure.keep),
        (entry.score, entry.score_span, "number", figure.score.value),
        (
            "reference" if reference else entry.difference,
            "" if reference else entry.difference_span,
            "number",
            figure.difference.value,
        ),
        ("" if reference else entry.verdict, "", loss, figure.verdict),
        (entry.seconds, "", "number", figure.seconds.value),
        (
            "reference" if reference else entry.speedup,
            "" if reference else entry.speedup_span,
            "number",
            figure.speedup.value,
        ),
        ("" if reference else entry.faster, "", speed, figure.faster),
        *_more(entry),
        (words.megabytes(figure.peak_bytes), "", "number", figure.peak_bytes),
        (f"{figure.tokens * 100:.0f}\u202f%", "", "number", figure.tokens),
        (words.digits(figure.flops / 1e9), "", "number", figure.flops),
        *((value, "", "text", value) for value in map(words.clean, entry.task.settings.values())),
    ]
    return {
        "order": order,
        "name": entry.name,
        "front": figure.on_front,
        "cells": [
            {"text": text, "note": note, "kind": kind, "sort": sort}
            for text, note, kind, sort in compress(cells, _shown(entry.task)[1:])
        ],
    }


def _more(entry: Entry) -> list[tuple[str, str, str, float]]:
    """The cells of the task's further figures, with their intervals where they have some."""
    spans, found = entry.summary.spans, entry.summary.figures
    return [
        (
            words.figure(found[f.name], f.unit),
            words.span(spans[f.name], entry.task) if f.name in spans else "",
            "number",
            found[f.name],
        )
        for f in entry.task.figures
    ]
