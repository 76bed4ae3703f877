"""The answer in words: what is best, what it buys and costs, and what does not pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tokenry.report import words
from tokenry.report.entries import Entry

if TYPE_CHECKING:
    from tokenry.compare.records import Best

MAX_LOSS = 0.01

Code = Callable[[str, float], str]


def answer(best: Best, entries: Sequence[Entry]) -> dict[str, Any]:
    """The first screen of the page.

    Args:
        best: The choice at a loss of at most `MAX_LOSS`.
        entries: The lines of the same task.
    """
    chosen = chosen_of(best, entries)
    found: dict[str, Any] = {
        "task": words.clean(entries[0].task.title),
        "setting": words.setting(entries[0].task.settings),
        "headline": headline(best, entries),
        "explanation": _explanation(best, entries),
        "figures": [],
        "code": "",
        "others": _groups(entries),
    }
    if chosen is not None:
        untouched = next((e for e in entries if e.kind == "untouched"), None)
        found |= {"figures": _figures(chosen, untouched), "code": words.code(best.code)}
    return found


def best_linker(
    best: Best, entries: Sequence[Entry], code: Code, even: Sequence[str]
) -> dict[str, Any]:
    """The first screen for linkers: what links best, for nobody links to save time.

    Args:
        best: The fastest choice at a loss of at most `MAX_LOSS`.
        entries: The lines of the task.
        code: From a method's label and keep to lines that run it.
        even: Labels of the methods that are not shown to be worse than the best one.
    """
    top = max(entries, key=lambda e: e.summary.score.value)
    untouched = next(e for e in entries if e.kind == "untouched")
    metric = words.clean(top.task.metric, 40)
    said = f"{metric} {top.score}, 95\u202f% {top.score_span}, on {top.summary.n} examples."
    if top is not untouched:
        said += f" Against the encoder alone: {top.difference}, {top.verdict}."
    rivals = [e.name for e in entries if e.summary.method in even and e is not top]
    if rivals:
        said += f" Not shown to be worse: {words.listing(rivals)}."
    alone = ("Encoder alone", untouched.score, f"95\u202f% {untouched.score_span}")
    figures = [
        (metric, top.score, f"95\u202f% {top.score_span}"),
        *([] if top is untouched else [alone]),
        ("Time per example", top.seconds, f"encoder alone {untouched.seconds}"),
        (
            "Peak memory",
            f"{words.megabytes(top.summary.peak_bytes)}\u202fMB",
            f"encoder alone {words.megabytes(untouched.summary.peak_bytes)}\u202fMB",
        ),
    ]
    return {
        "task": words.clean(top.task.title),
        "setting": words.setting(top.task.settings),
        "headline": f"{top.name}: {metric} {top.score}",
        "explanation": f"{said} {_cheapest(best, top, entries)}".rstrip(),
        "figures": figures,
        "code": words.code(code(top.summary.method, top.summary.keep)),
        "others": _groups(entries),
    }


def _cheapest(best: Best, top: Entry, entries: Sequence[Entry]) -> str:
    """The fastest linker that the encoder alone is not better than, if that is another one."""
    chosen = chosen_of(best, entries)
    if chosen is None or chosen is top:
        return ""
    return (
        f"The fastest that loses no more than {_allowed(entries)} against the encoder: "
        f"{chosen.name}, {chosen.score} at {chosen.seconds}."
    )


def headline(best: Best, entries: Sequence[Entry]) -> str:
    """The choice as one line."""
    chosen = chosen_of(best, entries)
    if chosen is not None:
        name = f"{chosen.name} {chosen.setting}".rstrip()
        return f"{name}: {chosen.speedup} as fast, {_loss(chosen)}"
    speeds = {e.summary.faster for e in entries if e.acts}
    if "faster" in speeds:
        return f"What is faster here may lose more than {_allowed(entries)}"
    if speeds == {"slower"}:
        return "No method is faster here: every one is slower"
    return "No method is shown to be faster here"


def _allowed(entries: Sequence[Entry]) -> str:
    return f"{MAX_LOSS * 100:g}\u202f%" if entries[0].task.binary else f"{MAX_LOSS:g}"


def chosen_of(best: Best, entries: Sequence[Entry]) -> Entry | None:
    """The line of the choice; None for the untouched model."""
    if best.is_untouched:
        return None
    wanted = (best.method, best.keep)
    return next(e for e in entries if (e.summary.method, e.summary.keep) == wanted)


def _loss(entry: Entry) -> str:
    if entry.summary.verdict == "identical":
        return "no loss"
    sign = 1 if entry.task.higher_is_better else -1
    change = words.amount(sign * entry.summary.difference.value, entry.task, signed=True)
    if change.startswith("\u2212"):
        return f"loss {change[1:]}"
    if change.startswith("+"):
        better = entry.summary.verdict == "better"
        return f"gain {change[1:]}" if better else "no distinguishable loss"
    return "loss below 0.1\u202f%" if entry.task.binary else "loss below 0.001"


def _titled(name: str) -> str:
    """With a capital, unless capitals of its own say how it is written, as in nDCG."""
    return name.capitalize() if name.islower() else name


def _figures(chosen: Entry, untouched: Entry | None) -> list[tuple[str, str, str]]:
    figures = [
        ("Speed-up", chosen.speedup, f"95\u202f% {chosen.speedup_span}, {chosen.faster}"),
        (
            f"{_titled(words.clean(chosen.task.metric, 40))}, change",
            chosen.difference,
            f"95\u202f% {chosen.difference_span}, {chosen.verdict}",
        ),
    ]
    if untouched is not None:
        figures += [
            ("Time per example", chosen.seconds, f"{untouched.name.lower()} {untouched.seconds}"),
            *_memory(chosen, untouched),
        ]
    return figures


def _memory(chosen: Entry, untouched: Entry) -> list[tuple[str, str, str]]:
    """The task's own costs in bytes, or else the peak of a pass."""
    own = [f for f in chosen.task.figures if f.unit == "bytes"]
    if not own:
        peak, before = (words.megabytes(e.summary.peak_bytes) for e in (chosen, untouched))
        return [("Peak memory", f"{peak}\u202fMB", f"{untouched.name.lower()} {before}\u202fMB")]
    return [
        (
            words.clean(f.title, 40),
            words.figure(chosen.summary.figures[f.name], f.unit),
            f"{untouched.name.lower()} {words.figure(untouched.summary.figures[f.name], f.unit)}",
        )
        for f in own
    ]


def _groups(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The methods' keeps below one, sorted into what they come to."""
    kinds = {
        "good": f"Faster, loss within {_allowed(entries)}",
        "costly": "Faster, may lose more",
        "even": "Not distinguishably faster",
        "slower": "Slower",
    }
    lines: dict[str, dict[int, list[Entry]]] = {kind: {} for kind in kinds}
    for entry in entries:
        if entry.acts:
            lines[_outcome(entry)].setdefault(entry.rank, []).append(entry)
    return [
        {
            "kind": kind,
            "title": title,
            "lines": [_line(found) for found in lines[kind].values()],
        }
        for kind, title in kinds.items()
        if lines[kind]
    ]


def _outcome(entry: Entry) -> str:
    figure = entry.summary
    if figure.faster == "faster":
        loss = -figure.difference.low if entry.task.higher_is_better else figure.difference.high
        return "good" if loss <= MAX_LOSS else "costly"
    return "slower" if figure.faster == "slower" else "even"


def _line(entries: Sequence[Entry]) -> dict[str, str]:
    """The keeps of a method, and the range of their speed-ups and differences."""
    by_speed = sorted(entries, key=lambda e: e.summary.speedup.value)
    by_score = sorted(entries, key=lambda e: -e.summary.difference.value)
    speed = words.reach(by_speed[0].speedup, by_speed[-1].speedup)
    change = words.reach(by_score[0].difference, by_score[-1].difference)
    keeps = f"at {words.listing([e.keep for e in entries])}" if entries[0].dial else ""
    return {"name": entries[0].name, "keeps": keeps, "figures": f"{speed} · {change}"}


def _explanation(best: Best, entries: Sequence[Entry]) -> str:
    confidence = words.clean(best.confidence, 400)
    if best.is_untouched:
        return confidence
    return f"The fastest setting that is shown to lose at most {_allowed(entries)}. {confidence}"
