"""The waterfall of a score: what each part adds, from nothing to the sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenry.report import words

MOST = 10
"""Bars; what is smaller goes together."""


def waterfall(
    parts: Mapping[str, float], score: float | None, threshold: float | None
) -> dict[str, Any] | None:
    """Bars of a waterfall, in per cent of its width; None where a score has no parts.

    Args:
        parts: What the score is made of, by name.
        score: The sum.
        threshold: The score from which on a pair is a link.

    >>> made = waterfall({"name": 2.0, "city": -1.0}, 1.0, 0.5)
    >>> [(bar["name"], bar["left"], bar["width"]) for bar in made["bars"]]
    [('name', 0.0, 100.0), ('city', 50.0, 50.0), ('score', 0.0, 50.0)]
    """
    finite = {name: value for name, value in parts.items() if 0 < abs(value) < float("inf")}
    if not finite or score is None:
        return None
    order = sorted(finite, key=lambda name: -abs(finite[name]))
    kept, rest = order[:MOST], order[MOST:]
    shown = [(words.clean(name, 40), finite[name]) for name in finite if name in kept]
    if rest:
        shown.append((f"{len(rest)} more", sum(finite[name] for name in rest)))
    ends, total = [], 0.0
    for name, value in shown:
        ends.append((name, total, total + value, value))
        total += value
    marks = [0.0, score, *(end for bar in ends for end in bar[1:3])]
    marks += [] if threshold is None else [threshold]
    low, high = min(marks), max(marks)
    scale = 100 / (high - low or 1.0)
    bars = [
        {
            "name": name,
            "left": round((min(start, end) - low) * scale, 2),
            "width": round(abs(end - start) * scale, 2),
            "kind": "up" if value >= 0 else "down",
            "value": signed(value),
        }
        for name, start, end, value in [*ends, ("score", 0.0, score, score)]
    ]
    bars[-1] |= {"kind": "sum", "value": signed(score).lstrip("+")}
    return {
        "bars": bars,
        "threshold": None if threshold is None else round((threshold - low) * scale, 2),
    }


def signed(value: float) -> str:
    r"""A weight with its sign.

    >>> signed(0.25), signed(-3) == "\N{MINUS SIGN}3.00"
    ('+0.250', True)
    """
    digits = 3 if abs(value) < 1 else 2
    return f"{value:+.{digits}f}".replace("-", "\u2212")
