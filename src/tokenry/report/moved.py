"""The page of a move to another tokenizer: what it lost and saves, its rows, texts in both cuts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tokenry.counted import counted
from tokenry.report import words
from tokenry.report.bars import bar, bars

if TYPE_CHECKING:
    from tokenry.compare.moves import Cost, Held, MovedBy, Moves, Rows
    from tokenry.compare.records import Interval, Verdict

WIDTH = 260
"""Pixels of the longest bar."""
LISTED, PICTURED = 25, 6
"""Texts in the table, and texts that are shown in tokens."""
WRITTEN = (
    "Bits per byte of texts that nothing was learned from: less is better, and both tokenizers pay "
    "for the same bytes."
)
MASKED = (
    "The model fills in hidden tokens: its bits compare moves to one tokenizer with each other, "
    "and say nothing against the tokenizer that it had."
)
ORIGINS = {
    "copied": "Copied: the row of one old token",
    "mixed": "Mixed: made of rows of several old tokens",
    "predicted": "Predicted by a trained network",
    "drawn": "Drawn at random, or the mean of all: nothing was known",
}


def content(moves: Moves) -> dict[str, Any]:
    """Everything that the template shows, cleaned.

    Args:
        moves: What `tokenry.compare.transplants.transplants_on` returned.
    """
    best = min(moves.moves, key=lambda one: one.end.per_byte.value)
    first = moves.moves[0].figures
    order = _order(moves, best)
    held = words.digits(first["held_out_bytes"] / 1e3)
    return {
        "title": words.clean(moves.model),
        "model": words.clean(moves.model),
        "source": _named(first["source"]),
        "target": _named(first["target"]),
        "size": f"{counted(len(moves.texts), 'text')}, {held} kB",
        "headline": _headline(moves, best),
        "lead": _lead(moves, best),
        "intro": MASKED if moves.masked else WRITTEN,
        "warnings": _warnings(moves),
        "figures": _figures(moves, best),
        "several": words.clean(moves.moves[0].name, 40) if len(moves.moves) > 1 else "",
        "stages": list(_stages(moves)),
        "chart": _chart(moves),
        "names": [words.clean(one.name, 40) for one in moves.moves],
        "texts": [_text(moves, number) for number in order[:LISTED]],
        "more": len(order) - LISTED,
        "cuts": [_cut(number, moves.texts[number]) for number in order[:PICTURED]],
        "origins": [_origins(one) for one in moves.moves],
        "notes": list(_notes(moves)),
        "sections": [
            ("answer", "Answer"),
            ("figures", "Figures"),
            ("texts", "Texts"),
            ("rows", "Rows"),
            ("notes", "Notes"),
        ],
    }


def _named(one: dict[str, Any]) -> str:
    return f"{words.clean(one['tokenizer'], 40)} ({one['tokens']:,} tokens)"


def _headline(moves: Moves, best: MovedBy) -> str:
    share = moves.saved.value
    more = "fewer" if share >= 0 else "more"
    saves = f"{_percent(abs(share))}\u202f% {more} tokens"
    if moves.masked:
        return saves
    name = f" by {words.clean(best.name, 40)}" if len(moves.moves) > 1 else ""
    return f"{saves}; {_bits(best.end)} bits per byte{name}, {_bits(moves.before)} before"


def _bits(cost: Cost) -> str:
    return f"{cost.per_byte.value:.3f}"


def _lead(moves: Moves, best: MovedBy) -> str:
    if moves.masked:
        return MASKED
    said = [f"{_rises('The move', best.moved)}."]
    if best.trained is not None:
        steps = len(best.figures["losses"])
        said.append(f"{_rises(f'After {steps:,} steps of training the rows, it', best.trained)}.")
    return " ".join(said)


def _rises(what: str, cost: Cost) -> str:
    change = cost.difference
    if change is None:
        return what
    kind = "costs" if change.value >= 0 else "saves"
    ends = f"{_signed(change.low)} to {_signed(change.high)}"
    return (
        f"{what} {kind} {abs(change.value):.3f} bits per byte (95\u202f% interval {ends}; "
        f"{cost.verdict})"
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _warnings(moves: Moves) -> list[str]:
    found = [("before the move", moves.before.unknown)]
    found += [(f"after {words.clean(one.name, 40)}", one.end.unknown) for one in moves.moves]
    return [
        f"{count:,} tokens {when} are unknown ones: what they hide is not paid for, so do not "
        "trust these bits."
        for when, count in found
        if count
    ]


def _figures(moves: Moves, best: MovedBy) -> list[tuple[str, str, str]]:
    before, after = (sum(getattr(one, at) for one in moves.texts) for at in ("before", "after"))
    seconds = best.figures["seconds"]
    took = ", ".join(f"{words.clean(name)} {words.seconds(t)}" for name, t in seconds.items())
    drawn = sum(rows.used for rows in best.rows if rows.origin == "drawn")
    share = 100 * drawn / max(1, sum(rows.used for rows in best.rows))
    span = words.reach(_percent(moves.saved.low), _percent(moves.saved.high))
    saves = f"{_percent(moves.saved.value)}\u202f%"
    return [
        ("Tokens saved", saves, f"{span}; {after:,} instead of {before:,}"),
        ("Bits per byte", _bits(best.end), f"{_bits(moves.before)} before"),
        (
            "Without a known row",
            f"{words.digits(share)}\u202f%",
            f"{drawn:,} of the new tokens in these texts",
        ),
        ("Time", words.seconds(sum(seconds.values())), took),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\u2212")


def _stages(moves: Moves) -> Iterable[dict[str, Any]]:
    """A row of the table for each time that the texts were measured."""
    yield _stage("Before the move", moves.before, moves.masked)
    for one in moves.moves:
        name, many = words.clean(one.name, 40), len(one.figures["losses"])
        rival = _against(one.rival, one.verdict)
        row = _stage(name, one.moved, moves.masked)
        yield row if one.trained else row | {"rival": rival}
        if one.trained is not None:
            stage = _stage(f"{name}, after {many:,} steps", one.trained, moves.masked)
            yield stage | {"rival": rival}


def _stage(name: str, cost: Cost, masked: bool) -> dict[str, Any]:
    span = f"{cost.per_byte.low:.3f} to {cost.per_byte.high:.3f}"
    change = None if masked else cost.difference
    return {
        "name": name,
        "bits": _bits(cost),
        "span": span,
        "change": _against(change, cost.verdict),
        "rival": _against(None, None),
    }


def _against(change: Interval | None, verdict: Verdict | None) -> dict[str, str]:
    if change is None:
        return {"value": "", "span": "", "verdict": "", "kind": ""}
    return {
        "value": _signed(change.value),
        "span": f"{_signed(change.low)} to {_signed(change.high)}",
        "verdict": str(verdict),
        "kind": words.MARKS.get(str(verdict), ""),
    }


def _chart(moves: Moves) -> dict[str, str]:
    """Bits per byte of each stage with its interval, from 0 to the greatest."""
    shown = [] if moves.masked else [("before", moves.before)]
    for one in moves.moves:
        shown.append((words.clean(one.name, 24), one.moved))
        if one.trained is not None:
            steps = len(one.figures["losses"])
            shown.append((f"{words.clean(one.name, 24)}, {steps:,} steps", one.trained))
    rows = [
        bar(name, cost.per_byte, _bits(cost), f"{_bits(cost)} bits per byte")
        for name, cost in shown
    ]
    return bars(rows, 1.25 * max(row["high"] for row in rows) or 1, WIDTH)


def _order(moves: Moves, best: MovedBy) -> list[int]:
    """The texts, those first that the best method lost most on, for their size."""
    lost = [
        (after - before) / one.size
        for before, after, one in zip(moves.before.bits, best.end.bits, moves.texts, strict=True)
    ]
    return sorted(range(len(lost)), key=lambda number: -lost[number])


def _text(moves: Moves, number: int) -> dict[str, Any]:
    one = moves.texts[number]
    costs = [moves.before, *(move.end for move in moves.moves)]
    return {
        "name": _beginning(number, one),
        "counts": [f"{count:,}" for count in (one.size, one.before, one.after)],
        "saved": f"{_percent(1 - one.after / max(1, one.before))}\u202f%",
        "bits": [f"{cost.bits[number] / one.size:.3f}" for cost in costs],
    }


def _beginning(number: int, one: Held) -> str:
    return f"{number + 1}. {words.clean(''.join(one.new[:20]), 40)}"


def _cut(number: int, one: Held) -> dict[str, Any]:
    sides = (("Old tokens", one.old), ("New tokens", one.new))
    return {
        "name": _beginning(number, one),
        "sides": [(name, f"{len(cut)} tokens", words.coloured(cut)) for name, cut in sides],
    }


def _origins(one: MovedBy) -> dict[str, Any]:
    rows = sum(each.rows for each in one.rows)
    used = sum(each.used for each in one.rows)
    return {
        "name": words.clean(one.name, 60),
        "kinds": [_kind(each, rows, used) for each in one.rows],
        "examples": [
            {
                "title": ORIGINS[each.origin],
                "rows": [
                    (_token(token), [_token(parent) for parent in parents])
                    for token, parents in each.examples
                ],
            }
            for each in one.rows
        ],
    }


def _token(text: str) -> str:
    """A token alone: line ends and tabs can be seen."""
    return words.piece(text.replace("\n", "\u23ce").replace("\t", "\u21e5"))


def _kind(one: Rows, rows: int, used: int) -> tuple[str, str, str, str, str]:
    share, part = (
        f"{words.digits(100 * n / max(1, of))}\u202f%"
        for n, of in ((one.rows, rows), (one.used, used))
    )
    return ORIGINS[one.origin], f"{one.rows:,}", share, f"{one.used:,}", part


def _notes(moves: Moves) -> Iterable[tuple[str, str]]:
    figures = moves.moves[0].figures
    for one in moves.moves:
        card = one.card
        source = ", ".join(str(part) for part in (card["title"], card["year"]) if part)
        yield words.clean(one.name, 60), words.clean(f"{card['summary']} ({source})", 400)
        if one.folder:
            yield "Saved in", words.clean(one.folder, 200)
    pairs = [f"{new} from {old}" for new, old in figures["special"].items()]
    if pairs:
        yield "Special tokens", words.clean(", ".join(pairs), 400)
    if figures["left_behind"]:
        yield "Left behind", words.clean(", ".join(figures["left_behind"]), 400)
