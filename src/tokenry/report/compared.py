"""The page of a comparison: what to switch on, what it loses and costs, with pictures of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenry.compare.records import UNTOUCHED
from tokenry.compare.rivals import rivals
from tokenry.counted import counted
from tokenry.report import slots, words
from tokenry.report.answer import MAX_LOSS, answer, best_linker, chosen_of, headline
from tokenry.report.disagreements import curves, disagreements
from tokenry.report.entries import Entry, display_name, entries
from tokenry.report.examples import images, texts
from tokenry.report.forest import forest
from tokenry.report.grids import grids
from tokenry.report.layers import layers
from tokenry.report.matches import matches
from tokenry.report.papers import paper
from tokenry.report.pareto import HALF, NARROW, WIDE, pareto
from tokenry.report.phrases import PHRASES
from tokenry.report.table import columns, row
from tokenry.report.vega import to_svg
from tokenry.report.written import acceptance, written

if TYPE_CHECKING:
    from tokenry.compare.records import Best, TaskInfo
    from tokenry.compare.results import Results

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
TERMS = {
    "model": "hash of the weights",
    "processor": "hash of the processor",
    "data": "hash of the data",
    "class": "class of the model",
    "dtype": "type of the weights",
    "image_size": "side of a picture",
    "batch_size": "batch size",
}
"""What the page calls facts whose names say too little."""


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
        "dialled": bool(keeps) and "Keep" not in PHRASES[first.kind].hidden,
        "chosen": keeps.index(best.keep) if best.keep in keeps else len(keeps) // 2,
        "phrases": PHRASES[first.kind],
        **_drawn(results, first, keeps),
        "papers": [
            paper(results, label, [e for e in lines if e.summary.method == label])
            for label in results.methods
            if results.card(label)
        ],
        "run": _run(results, keeps),
        "environment": [
            (words.clean(TERMS.get(key, key)), words.clean(value, 200))
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


def _run(results: Results, keeps: Sequence[float]) -> list[tuple[str, str]]:
    """What was asked for, to ask for it again."""
    dialled = keeps and "Keep" not in PHRASES[results.tasks[0].kind].hidden
    labels = [words.clean(label, 120) for label in results.methods if results.card(label)]
    said = [
        ("Model", words.clean(results.source.name or results.model, 120)),
        ("Data", f"{words.clean(results.data)}, {counted(results.examples, 'example')}"),
        ("Methods", ", ".join(labels)),
        ("Keep", ", ".join(f"{keep:.3g}" for keep in (1, *keeps)) if dialled else ""),
        ("Tasks", ", ".join(words.clean(task.slug) for task in results.tasks)),
    ]
    return [(term, value) for term, value in said if value]


def _count(results: Results, lines: Sequence[Entry]) -> str:
    done, wanted = lines[0].summary.n, results.examples
    all_of = counted(wanted, "example")
    return all_of if done >= wanted else f"{done:,} of {all_of}"


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
        "columns": columns(task),
        "rows": [row(n, entry) for n, entry in enumerate(lines)],
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


def _layers(results: Results, keeps: Sequence[float], kind: str) -> list[dict[str, Any]]:
    profiles = results.profiles()
    shown = [p for p in profiles if p.keep in keeps and p.method != UNTOUCHED and p.layer_seconds]
    untouched = next((p for p in profiles if p.method == UNTOUCHED), None)
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
