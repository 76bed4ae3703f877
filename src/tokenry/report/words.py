"""Numbers and names as a person reads them; every foreign string passes through `clean`."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenry.compare.records import UNTOUCHED

if TYPE_CHECKING:
    from tokenry.compare.records import Interval, TaskInfo

SHOWN, SMALLEST = 5e-4, 1e-9
"""Differences from which on three digits show them, and below which they are of rounding."""
MARKS = {"better": "good", "faster": "good", "worse": "bad", "slower": "bad"}
"""What a verdict is coloured as; others are not."""
_JOINERS = "\u200c\u200d"
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_SPLIT_LABEL = re.compile(r"([^(\s]+)(.*)", re.DOTALL)


def clean(text: object, limit: int = 60) -> str:
    r"""One safe line: no control or direction characters, no run of blanks, at most `limit` long.

    Args:
        text: Anything that has a `str`.
        limit: Longest result in characters, at least 2; what is cut shows as an ellipsis.

    >>> clean("a\x00b\n c")
    'a\ufffdb c'
    >>> clean("abcdef", limit=4)
    'abc…'
    """
    return _shown(" ".join(str(text)[: 4 * limit].split()), limit)


def code(text: str) -> str:
    """Lines of code with their indentation, without control or direction characters.

    Args:
        text: The lines; of one that is longer than any real name the rest becomes an ellipsis.
    """
    return "\n".join(_shown(line, 400) for line in text.strip().split("\n"))


def piece(text: str) -> str:
    """A token's text with its blanks and line ends, without control or direction characters.

    Args:
        text: The text; what is longer than any real token becomes an ellipsis.
    """
    return "\n".join(_shown(line, 200) for line in text.expandtabs(4).split("\n"))


def coloured(pieces: Sequence[str]) -> list[tuple[str, str]]:
    """Pieces with the class of their colour, which goes round."""
    return [(f"t{number % 4}", piece(one)) for number, one in enumerate(pieces)]


def _shown(line: str, limit: int) -> str:
    line = "".join(
        "\ufffd" if unicodedata.category(c) in _UNPRINTABLE and c not in _JOINERS else c
        for c in line[: limit + 1]
    )
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def name(label: str, card: dict[str, Any] | None) -> str:
    """The name that the page shows for a method's label.

    >>> name("pitome(margin=0.5)", {"name": "PiToMe"})
    'PiToMe(margin=0.5)'
    >>> name("prompt-lookup+h2o(keep=0.5)", {"slug": "a + b", "name": "A + B(keep=0.5)"})
    'A + B(keep=0.5)'
    >>> name("none", None)
    'Untouched model'
    """
    if label == UNTOUCHED:
        return "Untouched model"
    match = _SPLIT_LABEL.fullmatch(label)
    if card is None or match is None:
        return clean(label, 40)
    if "+" in card.get("slug", ""):  # a stack names the settings of each method itself
        return clean(card["name"], 60)
    return clean(f"{card['name']}{match[2]}", 40)


def metric(task: TaskInfo) -> str:
    """What a score is, with its unit."""
    return clean(task.metric, 40) + (" (%)" if task.binary else "")


def amount(value: float, task: TaskInfo, *, signed: bool = False) -> str:
    """A score, or with `signed` a difference of scores: percent for right/wrong tasks.

    A difference that three digits would show as none has as many as it needs.
    """
    digits, scale, unit = (1, 100, "\u202f%") if task.binary else (3, 1, "")
    if signed and not task.binary and SMALLEST <= abs(value) < SHOWN:
        digits = -math.floor(math.log10(abs(value)))
    number = f"{value * scale:{'+' if signed else ''}.{digits}f}"
    if float(number) == 0:
        number = number.lstrip("+-")
    return number.replace("-", "\u2212") + unit


def span(interval: Interval, task: TaskInfo, *, signed: bool = False) -> str:
    """The ends of a 95 % interval of scores."""
    low, high = (amount(v, task, signed=signed) for v in (interval.low, interval.high))
    return f"{low.removesuffix(chr(0x202F) + '%')} to {high}"


def seconds(value: float) -> str:
    r"""A duration with three digits.

    >>> seconds(0.0416), seconds(2.5), seconds(0)
    ('41.6\u202fms', '2.50\u202fs', '0\u202fms')
    """
    scaled, unit = (value, "s") if value >= 1 else (value * 1e3, "ms")
    return f"{digits(scaled)}\u202f{unit}"


def digits(value: float) -> str:
    """Three significant digits without an exponent.

    >>> digits(41.63), digits(1234.5), digits(0.42), digits(0)
    ('41.6', '1234', '0.420', '0')
    """
    if value >= 100 or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def digits_of(value: float) -> str:
    r"""Three significant digits of any number, with its sign.

    >>> digits_of(-0.5) == "\N{MINUS SIGN}0.500", digits_of(0.0)
    (True, '0')
    """
    return f"{chr(0x2212) * (value < 0)}{digits(abs(value))}"


def times(value: float) -> str:
    r"""A ratio: two decimals, and from ten on three digits.

    >>> times(1.418) == "1.42\N{MULTIPLICATION SIGN}"
    True
    """
    return f"{_ratio(value)}\N{MULTIPLICATION SIGN}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else digits(value)


def times_span(interval: Interval) -> str:
    """The ends of a 95 % interval of ratios; over few observations they can be very far apart."""
    most = max(100, 10 * interval.value)
    low = _ratio(interval.low) if interval.low >= 0.01 else "<0.01"
    high = _ratio(interval.high) if interval.high <= most else f">{_ratio(most)}"
    return f"{low} to {high}"


def reach(first: str, last: str) -> str:
    """A range, or one figure where both ends read alike.

    >>> reach("1.20", "1.42"), reach("1.20", "1.20")
    ('1.20 to 1.42', '1.20')
    """
    return first if first == last else f"{first} to {last}"


def megabytes(value: int) -> str:
    """Bytes as MB.

    >>> megabytes(312_400_000), megabytes(90_000)
    ('312', '<1')
    """
    if value < 5e5:
        return "<1"
    return f"{value / 1e6:,.0f}".replace(",", "\u202f")


def figure(value: float, unit: str) -> str:
    r"""A further figure of a task; empty when it was not measured.

    >>> figure(0.25, "seconds"), figure(94.4e6, "bytes"), figure(0.1234, "number")
    ('250\u202fms', '94.4', '0.123')
    """
    if value != value:
        return ""
    if unit == "seconds":
        return seconds(value)
    return digits(value / 1e6) if unit == "bytes" else digits(value)


def setting(settings: dict[str, str]) -> str:
    """Settings of a task in words; empty when it has none.

    >>> setting({"query": "aware"})
    'query-aware'
    """
    return ", ".join(f"{clean(name, 20)}-{clean(value, 20)}" for name, value in settings.items())


def listing(parts: list[str]) -> str:
    """Parts as an English list.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
