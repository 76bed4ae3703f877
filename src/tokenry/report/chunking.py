"""The page of chunkers side by side: what each brings back of the evidence, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenry.counted import counted
from tokenry.report import words
from tokenry.report.bars import bar, bars

if TYPE_CHECKING:
    from tokenry.compare.chunked import Chunked, Chunks

FIGURES = {
    "iou": "IoU: what came back and is evidence, of all that came back or should have",
    "recall": "Recall: share of the evidence that came back",
    "precision": "Precision: share of what came back that is evidence",
    "omega": "Omega: IoU if exactly the chunks that touch evidence came back",
}
"""Figures in the order of the page, and what they say."""
WIDTH = 150
"""Pixels of the longest bar, and of a name, in which two sizes of a chunker differ at its end."""
SHOWN = 12
"""Questions on the page."""


def content(chunks: Chunks) -> dict[str, Any]:
    """Everything that the template shows, cleaned.

    Args:
        chunks: What `tokenry.chunks` returned.
    """
    best = chunks.best("iou")
    ranked = sorted(chunks.chunkers, key=lambda one: -one.figures["iou"].value)
    page: dict[str, Any] = {
        "title": f"Chunks of {words.clean(chunks.data)}",
        "size": f"{counted(chunks.documents, 'document')}, {chunks.size:,} tokens, "
        f"{counted(len(chunks.questions), 'question')}",
        "headline": _headline(chunks, best),
        "lead": _lead(chunks, best),
        "figures": [
            (words.clean(one.name, 40), f"{one.figures['iou'].value:.3f}", _about(one))
            for one in ranked[:3]
        ],
        "columns": [(name.capitalize() if name != "iou" else "IoU") for name in FIGURES],
        "first": words.clean(chunks.chunkers[0].name, 40),
        "rows": [_row(one) for one in chunks.chunkers],
        "charts": [_chart(chunks, name, says) for name, says in FIGURES.items()],
        "names": [words.clean(one.name, 40) for one in chunks.chunkers],
        "questions": _questions(chunks),
        "notes": [words.clean(note, 400) for note in (_made(chunks), *chunks.notes)],
    }
    sections = (("answer", "Answer"), ("table", "Figures"), ("charts", "Intervals"))
    page["sections"] = [*sections, ("questions", "Questions"), ("notes", "Notes")]
    return page


def _headline(chunks: Chunks, best: Chunked) -> str:
    if len(chunks.chunkers) == 1:
        return f"{words.clean(best.name, 40)}: IoU {best.figures['iou'].value:.3f}"
    return f"{words.clean(best.name, 40)} has the highest IoU, {best.figures['iou'].value:.3f}"


def _lead(chunks: Chunks, best: Chunked) -> str:
    first = chunks.chunkers[0]
    if best is first:
        return f"For a question {best.read:,.0f} tokens come back: what a reader pays."
    verdict = best.verdicts["iou"]
    sure = f"surely {verdict} than" if verdict in words.MARKS else "not distinguishable from"
    return (
        f"On the same questions it is {sure} {words.clean(first.name, 40)} "
        f"({best.differences['iou'].value:+.3f}); a reader pays {best.read:,.0f} tokens for a "
        f"question instead of {first.read:,.0f}."
    )


def _about(one: Chunked) -> str:
    return f"IoU; {one.read:,.0f} tokens read, recall {one.figures['recall'].value:.2f}"


def _row(one: Chunked) -> dict[str, Any]:
    cells = []
    for name in FIGURES:
        found, verdict = one.figures[name], one.verdicts.get(name, "")
        span = f"{found.low:.2f} to {found.high:.2f}"
        cells.append((f"{found.value:.3f}", span, words.MARKS.get(verdict, ""), verdict))
    return {
        "name": words.clean(one.name, 40),
        "chunks": f"{one.chunks:,}",
        "tokens": f"{one.tokens:,.0f}",
        "read": f"{one.read:,.0f}",
        "cells": cells,
    }


def _chart(chunks: Chunks, figure: str, says: str) -> dict[str, str]:
    """One figure of each chunker with its interval, from 0 to the greatest."""
    rows = []
    for one in chunks.chunkers:
        found = one.figures[figure]
        label, span = f"{found.value:.3f}", f"({found.low:.3f} to {found.high:.3f})"
        rows.append(bar(words.clean(one.name, 28), found, label, f"{label} {span}"))
    return {"name": says, **bars(rows, 1.25 * max(row["high"] for row in rows) or 1, WIDTH)}


def _questions(chunks: Chunks) -> list[dict[str, Any]]:
    """Those that the best chunker answers worst, with what every chunker brings back of them."""
    worst = chunks.best("iou").scores["recall"]
    order = sorted(range(len(chunks.questions)), key=lambda i: worst[i])[:SHOWN]
    return [
        {
            "text": words.clean(chunks.questions[i], 200),
            "cells": [f"{one.scores['recall'][i]:.2f}" for one in chunks.chunkers],
        }
        for i in order
    ]


def _made(chunks: Chunks) -> str:
    return f"Chunks were ranked by {chunks.ranker} and measured by {chunks.metric}."
