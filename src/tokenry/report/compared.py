"""The page of a comparison: what to switch on, what it loses and costs, with pictures of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from tokenry.compare.rivals import rivals
from tokenry.report import slots, words
from tokenry.report.answer import MAX_LOSS, answer, best_linker, chosen_of, headline
from tokenry.report.disagreements import curves, disagreements
from tokenry.report.entries import Entry, display_name, entries
from tokenry.report.examples import images, texts
from tokenry.report.forest import forest
from tokenry.report.grids import grids
from tokenry.report.layers import layers
from tokenry.report.matches import matches
from tokenry.report.pareto import HALF, NARROW, WIDE, pareto
from tokenry.report.phrases import PHRASES
from tokenry.report.vega import to_svg
from tokenry.report.written import acceptance, written

if TYPE_CHECKING:
    from tokenry.compare.records import Best, TaskInfo
    from tokenry.compare.results import Results

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
SECTIONS = {
    "layers": "Time",
    "examples": "Tokens",
    "texts": "Tokens",
    "written": "Tokens",
    "matches": "Tokens",
    "curves": "Thresholds",
    "disagreements": "Records",
    "papers": "Papers",
}
"""Parts of the page, and what the menu calls them."""
_QUALITY_AND_TIME = 8
"""Columns before a task's further figures."""


def content(results: Results) -> dict[str, Any]:
    """Everything that the template shows, cleaned.

    Args:
        results: The comparison.
    """
    first = results.tasks[0]
    keeps = sorted({k for k in results.keeps if k < 1}, reverse=True)
    best = results.best(MAX_LOSS, first.slug)
    lines = entries(results, first)
    page: dict[str, Any] = {
        "model": words.clean(results.model),
        "data": words.clean(results.data),
        "count": _count(results, lines),
        "complete": results.complete,
        "answer": _answer(results, first, best, lines),
        "least": _least(results, first, lines),
        "tasks": [_task(results, task, keeps) for task in results.tasks],
        "keeps": [f"{keep:.3g}" for keep in keeps],
        "chosen": keeps.index(best.keep) if best.keep in keeps else len(keeps) // 2,
        "phrases": PHRASES[first.kind],
        **_drawn(results, first, keeps),
        "papers": [
            _paper(results, label, [e for e in lines if e.summary.method == label])
            for label in results.methods
            if results.card(label)
        ],
        "environment": [
            (words.clean(key), words.clean(value, 200))
            for key, value in results.environment.items()
        ],
        "skipped": [
            f"{display_name(results, s.method)} at keep {s.keep:.3g}: {words.clean(s.reason, 300)}"
            for s in results.skipped
        ],
    }
    page["sections"] = [
        ("answer", "Answer"),
        *((f"task{n}", task["title"]) for n, task in enumerate(page["tasks"])),
        *((title.lower(), title) for key, title in SECTIONS.items() if page[key]),
        ("notes", "Notes"),
    ]
    return page


def _answer(results: Results, task: TaskInfo, best: Best, lines: Sequence[Entry]) -> dict[str, Any]:
    """The first screen."""
    if task.kind != "linker":
        return answer(best, lines)
    rows = [row for row in results.rows() if row.task == task.slug]
    _, even = rivals(rows, task, results.seed)
    return best_linker(best, lines, results.code, even)


def _drawn(results: Results, task: TaskInfo, keeps: Sequence[float]) -> dict[str, Any]:
    """The panels and pictures of a kind of model."""
    return {
        "layers": _layers(results, keeps, task.kind),
        "examples": images(results, task, keeps) if task.kind == "vision" else [],
        "texts": texts(results, task, keeps) if task.kind == "causal-lm" else [],
        "written": written(results, task) if task.kind == "writer" else [],
        "matches": matches(results, task, keeps) if task.kind == "text-encoder" else [],
        "curves": curves(results, task) if task.kind == "linker" else [],
        "disagreements": disagreements(results, task) if task.kind == "linker" else [],
        "acceptance": acceptance(results, task) if task.kind == "writer" else [],
        "tints": [(k, slots.letter(k)) for k in range(len(keeps))],
    }


def _least(results: Results, task: TaskInfo, lines: Sequence[Entry]) -> list[str]:
    """What has the least of each cost in bytes within the allowed loss."""
    found: dict[str, list[str]] = {}
    why: dict[str, str] = {}
    for figure in task.figures:
        if figure.unit != "bytes":
            continue
        best = results.best(max_loss=MAX_LOSS, task=task.slug, by=figure.name)
        chosen = chosen_of(best, lines)
        if chosen is not None:
            found.setdefault(chosen.title, []).append(words.clean(figure.title, 40))
            why.setdefault(chosen.title, words.clean(best.confidence, 400))
    return [f"Least {words.listing(titles)}: {one}. {why[one]}" for one, titles in found.items()]


def _count(results: Results, lines: Sequence[Entry]) -> str:
    done, wanted = lines[0].summary.n, results.examples
    return f"{done} examples" if done >= wanted else f"{done} of {wanted} examples"


def _task(results: Results, task: TaskInfo, keeps: Sequence[float]) -> dict[str, Any]:
    lines = entries(results, task)
    best = results.best(max_loss=MAX_LOSS, task=task.slug)
    reduced = any(e.acts for e in lines)
    front = [e.title for e in lines if e.summary.on_front]
    metric = words.clean(task.metric, 40)
    return {
        "title": words.clean(task.title),
        "metric": metric,
        "explanation": words.clean(task.explanation, 400),
        "best": headline(best, lines) + ".",
        "up": "Up" if task.higher_is_better else "Down",
        "direction": "Right of 0 is better."
        if task.higher_is_better
        else "Lower scores are better: left of 0 is better.",
        "front": f"On the front: {words.listing(front)}." if front else "",
        "pareto_wide": to_svg(pareto(lines, WIDE, chosen_of(best, lines))),
        "pareto_narrow": to_svg(pareto(lines, NARROW, chosen_of(best, lines))),
        "costs": _costs(results, task, lines),
        "grids": grids(results, task, keeps),
        "difference": to_svg(forest(lines, "difference")) if reduced else "",
        "speedup": to_svg(forest(lines, "speedup")) if reduced else "",
        "setting": words.setting(task.settings),
        "caption": f"{words.clean(task.title)}: score is {metric}, with 95\u202f% intervals below.",
        "columns": _columns(task),
        "rows": [_row(n, entry) for n, entry in enumerate(lines)],
    }


def _costs(results: Results, task: TaskInfo, lines: Sequence[Entry]) -> list[dict[str, str]]:
    """Score against each cost in bytes that all lines have and no other is the same as."""
    found: list[dict[str, str]] = []
    drawn: list[list[float]] = []
    for cost in task.figures:
        values = [e.summary.figures.get(cost.name, 0.0) for e in lines]
        if all(cost.name in e.summary.fronts for e in lines) and values not in drawn:
            best = results.best(max_loss=MAX_LOSS, task=task.slug, by=cost.name)
            front = [e.title for e in lines if e.on_front(cost)]
            found.append(
                {
                    "title": words.clean(cost.title, 40),
                    "front": f"On the front: {words.listing(front)}." if front else "",
                    "svg": to_svg(pareto(lines, HALF, chosen_of(best, lines), cost)),
                }
            )
            drawn.append(values)
    return found


def _columns(task: TaskInfo) -> list[tuple[str, str]]:
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


def _row(order: int, entry: Entry) -> dict[str, Any]:
    figure = entry.summary
    loss = {"worse": "bad", "better": "good"}.get(figure.verdict, "text")
    speed = {"slower": "bad", "faster": "good"}.get(figure.faster, "text")
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


def _layers(results: Results, keeps: Sequence[float], kind: str) -> list[dict[str, Any]]:
    profiles = results.profiles()
    shown = [p for p in profiles if p.keep in keeps and p.method != "none" and p.layer_seconds]
    untouched = next((p for p in profiles if p.method == "none"), None)
    if not any(profile.layer_seconds for profile in shown):
        return []
    every = [*shown, *([untouched] if untouched else [])]
    said = PHRASES[kind]
    top_ms = max(second for p in every for second in p.layer_seconds) * 1.05e3
    top_rows = max(rows for p in every for pair in p.tokens for rows in pair)
    return [
        {
            "name": display_name(results, profile.method),
            "keep": keeps.index(profile.keep),
            "note": f"{words.seconds(sum(profile.layer_seconds))} in the layers, "
            f"{words.seconds(profile.other_seconds)} outside",
            "svg": to_svg(layers(profile, untouched, top_ms, top_rows, said.rows, said.drawn)),
        }
        for profile in shown
    ]


def _paper(results: Results, label: str, lines: Sequence[Entry]) -> dict[str, Any]:
    card = results.card(label) or {}
    year = "" if str(card["year"]) in card["venue"] else card["year"]
    source = [card["venue"], year, card["arxiv"] and f"arXiv {card['arxiv']}", card["code"]]
    measured = [
        f"{f'keep {e.keep}: ' * e.dial}{e.speedup} ({e.faster}), {e.difference} ({e.verdict})"
        for e in lines
        if e.acts
    ]
    facts = [("In this run", measured), ("Dial", [card["dial"]])]
    if "(" in label:
        facts.append(("Configured as", [label]))
    if card["needs"] != "nothing":
        facts.append(("Needs", [card["needs"]]))
    return {
        "name": display_name(results, label),
        "title": words.clean(card["title"], 200),
        "source": ", ".join(words.clean(part, 120) for part in source if part),
        "facts": [
            (term, [words.clean(text, 400) for text in texts]) for term, texts in facts if texts
        ],
        "claims": [_claim(claim) for claim in card["claims"]],
        "differs": [words.clean(line, 600) for line in card["differs"]],
    }


def _claim(claim: dict[str, str]) -> dict[str, str]:
    shown = not claim["not_shown"]
    return {
        "paper": words.clean(claim["paper"], 400),
        "effect": words.clean(claim["effect"], 400),
        "state": "Shown:" if shown else "Not shown:",
        "text": words.clean(claim["measured"] if shown else claim["not_shown"], 400),
    }
