"""The page of an audit: tokenizers side by side, in one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenry.report import words
from tokenry.report.bars import bar, bars

if TYPE_CHECKING:
    from tokenry.compare.audits import Audit, Audited, Found, Pair

MIXTURE = "data-mixture"
ROWS = 25
"""Rows of a judge's table on the page; the rest is in the JSON."""
HEADLINES = (
    ("parity", "bytes per token", "Bytes per token"),
    ("parity", "characters per token", "Characters per token"),
    ("parity", "tokens per word", "Tokens per word (fertility)"),
    ("parity", "whole words", "Words in one token, % (completeness)"),
    ("parity", "coverage", "Tokens that are known, % (coverage)"),
    ("parity", "evenness", "Rényi efficiency"),
    ("parity", "vocabulary used", "Vocabulary used, %"),
    ("token-purity", "words", "Produced tokens that are words, %"),
    ("token-purity", "pure", "Produced tokens that are morphemes, %"),
    ("qtok", "vocabulary", "Vocabulary, tokens"),
    ("qtok", "letters", "Tokens of letters, %"),
    ("qtok", "latin", "of these Latin, %"),
    ("qtok", "word-initial", "Tokens with a blank in front, %"),
    ("glitch", "unreachable", "Tokens that cannot be reached, %"),
    ("glitch", "hardly trained", "Tokens that the model hardly learned, %"),
)
"""Judge, figure, and what the table calls it."""
NONE = "\u2013"
"""Stands where there is no figure."""
ON_THE_PAGE = frozenset({"parity", "qtok", "glitch", MIXTURE})
"""Judges that have a place of their own; others are shown as their figures and tables."""


def content(audit: Audit) -> dict[str, Any]:
    """Everything that the template shows, cleaned.

    Args:
        audit: What `tokenry.audit` returned.
    """
    page: dict[str, Any] = {
        "texts": words.clean(audit.texts),
        "size": _size(audit),
        "headline": _headline(audit),
        "lead": _lead(audit),
        "figures": [_figure(one) for one in _ranked(audit)],
        "names": [words.clean(one.name, 40) for one in audit.tokenizers],
        "rows": list(_rows(audit)),
        "pairs": [_pair(pair) for pair in audit.pairs],
        "charts": [_chart(audit, one) for one in audit.tokenizers],
        "costs": _costs(audit),
        "mixture": _mixture(audit),
        "examples": [_example(audit, one.name) for one in audit.categories],
        "classes": _pivot(audit, "qtok", "classes", ("class",)),
        "scripts": _pivot(audit, "qtok", "scripts", ("script", "place")),
        "shared": [_shared(audit, one) for one in audit.tokenizers],
        "core": f"{audit.core:,}",
        "lost": [_lost(one) for one in audit.tokenizers],
        "judges": list(_others(audit)),
        "warned": [words.clean(note, 400) for note in audit.notes],
        "refused": [words.clean(line, 400) for line in audit.left_out()],
        "notes": _notes(audit),
    }
    sections = (("splits", "Texts"), ("vocabulary", "Vocabulary"), ("judges", "More"))
    page["sections"] = [
        ("answer", "Answer"),
        ("figures", "Figures"),
        ("categories", "Categories"),
        *((("mixture", "Mixture"),) if page["mixture"] else ()),
        *(pair for pair in sections if pair[0] != "judges" or page["judges"]),
        ("notes", "Notes"),
    ]
    return page


def _size(audit: Audit) -> str:
    total = sum(one.size for one in audit.categories)
    many = len(audit.categories)
    categories = f"{many} categories" if many > 1 else "one category"
    size = f"{words.digits(total / 1e6)} MB" if total >= 1e6 else f"{words.digits(total / 1e3)} kB"
    return f"{size} in {categories}"


def _headline(audit: Audit) -> str:
    first, *rest = audit.tokenizers
    if not rest:
        return f"{words.clean(first.name, 40)}: {first.bytes_per_token[''].value:.2f} bytes a token"
    best, second = _ranked(audit)[:2]
    less = 100 * (1 - second.bytes_per_token[""].value / best.bytes_per_token[""].value)
    if less < 0.05:
        return (
            f"{words.clean(best.name, 40)} and {words.clean(second.name, 40)} need as many tokens"
        )
    return (
        f"{words.clean(best.name, 40)} needs {less:.1f}\u202f% fewer tokens for these texts than "
        f"{words.clean(second.name, 40)}"
    )


def _ranked(audit: Audit) -> list[Audited]:
    """The tokenizers, that with the most bytes in a token first."""
    return sorted(audit.tokenizers, key=lambda one: -one.bytes_per_token[""].value)


def _lead(audit: Audit) -> str:
    said = [_said(pair) for pair in audit.pairs if not pair.category]
    return " ".join(said) or "Give several tokenizers to see them side by side."


def _said(pair: Pair) -> str:
    name, other = words.clean(pair.name, 40), words.clean(pair.other, 40)
    if pair.verdict in ("identical", "not distinguishable"):
        return f"{name} and {other}: {pair.verdict} in bytes per token."
    ratio = words.times(pair.ratio.value)
    return (
        f"{name} packs {ratio} as many bytes into a token as {other} "
        f"(95\u202f% interval {words.times_span(pair.ratio)})."
    )


def _figure(one: Audited) -> tuple[str, str, str]:
    whole = one.bytes_per_token[""]
    note = f"bytes per token, {whole.low:.2f} to {whole.high:.2f}; {one.size:,} tokens, {one.kind}"
    return words.clean(one.name, 40), f"{whole.value:.2f}", note


def _rows(audit: Audit) -> Iterable[dict[str, Any]]:
    """A row per figure, a cell per tokenizer; the best one marked."""
    yield {
        "title": "Tokens that the texts were written with",
        "cells": [(f"{one.written:,}", False) for one in audit.tokenizers],
    }
    for judge, name, title in HEADLINES:
        found = [_of(one, judge) for one in audit.tokenizers]
        values = [one.value(name) for one in found]
        known = [value for value in values if value is not None]
        if not known:
            continue
        better = next(one.figures[name]["better"] for one in found if name in one.figures)
        best = {"high": max(known), "low": min(known)}.get(better or "")
        marked = best is not None and len(known) > 1 and min(known) < max(known)
        yield {
            "title": title,
            "cells": [(_number(value), marked and value == best) for value in values],
        }
    yield {
        "title": "Time to write them, on this machine",
        "cells": [(words.seconds(one.seconds), False) for one in audit.tokenizers],
    }


def _of(one: Audited, judge: str) -> Found:
    return one.found[judge] if judge in one.found else next(iter(one.found.values()))


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    whole = value == int(value) and (value >= 100 or value == 0)
    return f"{value:,.0f}" if whole else words.digits(value)


def _pair(pair: Pair) -> dict[str, str]:
    return {
        "name": words.clean(pair.name, 40),
        "other": words.clean(pair.other, 40),
        "category": words.clean(pair.category, 40) or "all",
        "ratio": words.times(pair.ratio.value),
        "span": words.times_span(pair.ratio),
        "verdict": pair.verdict,
        "kind": words.MARKS.get(pair.verdict, "text"),
    }


def _chart(audit: Audit, one: Audited) -> dict[str, str]:
    """Bytes per token of each category, on an axis that all tokenizers share."""
    top = max(found.high for each in audit.tokenizers for found in each.bytes_per_token.values())
    rows = []
    for name, found in one.bytes_per_token.items():
        if name:
            label, span = f"{found.value:.2f}", f"({found.low:.2f} to {found.high:.2f})"
            rows.append(bar(words.clean(name, 24), found, label, f"{label} bytes per token {span}"))
    return {"name": words.clean(one.name, 40), **bars(rows, top * 1.2)}


def _costs(audit: Audit) -> list[dict[str, Any]]:
    """A table per figure of a category: a row per category, a cell per tokenizer."""
    wanted = (
        ("premium", "Tokens for the same documents, times those of the reference"),
        ("tokens per word", "Tokens per word"),
        ("whole words", "Words in one token, %"),
    )
    tables = []
    for figure, title in wanted:
        rows = [
            (
                words.clean(category.name, 40),
                [
                    _cell(_of(one, "parity"), f"{figure}/{category.name}")
                    for one in audit.tokenizers
                ],
            )
            for category in audit.categories
        ]
        if any(text != NONE for _, cells in rows for text, _ in cells):
            tables.append({"title": title, "rows": rows})
    return tables


def _cell(found: Found, name: str) -> tuple[str, str]:
    figure = found.figures.get(name)
    if figure is None:
        return NONE, ""
    low, high = figure["low"], figure["high"]
    span = "" if low is None else f"{words.digits(low)} to {words.digits(high)}"
    return _number(figure["value"]), span


def _mixture(audit: Audit) -> list[tuple[str, list[tuple[str, str]]]]:
    """The share of the training bytes that the merges speak of, with its interval."""
    found = []
    for category in audit.categories:
        cells = []
        for one in audit.tokenizers:
            mixture = one.found.get(MIXTURE)
            share = f"bytes/{category.name}"
            cells.append((NONE, "") if mixture is None else _cell(mixture, share))
        if any(text != NONE for text, _ in cells):
            found.append((words.clean(category.name, 40), cells))
    return found


def _example(audit: Audit, category: str) -> dict[str, Any]:
    figures = []
    for one in audit.tokenizers:
        pieces = one.examples.get(category, ())
        figures.append(
            {
                "name": words.clean(one.name, 40),
                "note": f"{len(pieces)} tokens",
                "pieces": words.coloured(pieces),
                "splits": [
                    (_word(split.pieces), len(split.pieces), f"{split.times:,}")
                    for split in one.splits.get(category, ())
                ],
            }
        )
    return {"name": words.clean(category, 40), "figures": figures}


def _word(pieces: Sequence[str]) -> list[tuple[str, str]]:
    """Coloured pieces of a word, without the blanks around it."""
    *rest, last = pieces
    first, *rest = [*rest, last.rstrip()]
    return words.coloured([first.lstrip(), *rest])


def _pivot(audit: Audit, judge: str, table: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of the same keys side by side, in per cent; those that are nowhere are left out."""
    found: dict[str, list[str]] = {}
    for number, one in enumerate(audit.tokenizers):
        own = one.found.get(judge)
        for row in own.tables.get(table, ()) if own else ():
            key = ", ".join(words.clean(row[name], 40) for name in keys if row[name])
            cells = found.setdefault(key.replace("_", " "), [NONE] * len(audit.tokenizers))
            cells[number] = words.digits(row["%"]) if row["tokens"] else NONE
    return [{"title": key, "cells": cells} for key, cells in found.items() if set(cells) != {NONE}]


def _shared(audit: Audit, one: Audited) -> dict[str, Any]:
    cells = [
        "" if other is one else f"{100 * one.shared.get(other.name, 0):.0f}\u202f%"
        for other in audit.tokenizers
    ]
    return {"name": words.clean(one.name, 40), "cells": cells, "only": f"{one.only:,}"}


def _lost(one: Audited) -> dict[str, Any]:
    tables = _of(one, "glitch").tables
    return {
        "name": words.clean(one.name, 40),
        **{
            table: [words.piece(str(row["token"])) for row in tables.get(table, ())][:ROWS]
            for table in ("unreachable", "suspects")
        },
    }


def _others(audit: Audit) -> Iterable[dict[str, Any]]:
    """Judges without a place of their own."""
    for slug, card in audit.cards.items():
        if slug in ON_THE_PAGE:
            continue
        for one in audit.tokenizers:
            found = one.found[slug]
            if not found.refused:
                yield {
                    "title": words.clean(f"{card['name']}: {one.name}", 80),
                    "summary": words.clean(card["summary"], 200),
                    "figures": [
                        (words.clean(name, 60), _cell(found, name), words.clean(f["unit"], 60))
                        for name, f in found.figures.items()
                    ],
                    "tables": [
                        _table(name, rows) for name, rows in found.tables.items() if len(rows)
                    ],
                    "notes": [words.clean(note, 400) for note in found.notes],
                }


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = list(rows[0])
    more = len(rows) - ROWS
    return {
        "title": words.clean(name).capitalize(),
        "columns": [words.clean(column, 40).capitalize() for column in columns],
        "rows": [[_plain(row.get(column)) for column in columns] for row in rows[:ROWS]],
        "more": f"{more:,} more rows are in the JSON." if more > 0 else "",
    }


def _plain(value: Any) -> str:
    return _number(float(value)) if isinstance(value, int | float) else words.clean(value, 80)


def _notes(audit: Audit) -> list[str]:
    own = [note for one in audit.tokenizers for found in one.found.values() for note in found.notes]
    return [words.clean(note, 600) for note in dict.fromkeys(own)]
