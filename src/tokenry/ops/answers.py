"""Rules for answers: what a model wrote, how much of it is right, and how far that reaches."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

_LITERAL = re.compile(r"""\[[^\]]*\]|^(?:"[^"]*"|'[^']*')""")


def parse(answer: str) -> list[str]:
    """The elements of an answer as a model wrote it; nothing is evaluated but literals.

    A list anywhere in the text counts, then a quoted string at its start, then the text itself
    between commas and lines.

    >>> parse('The values are ["d82c", "62f0"], in this order.')
    ['d82c', '62f0']
    >>> parse('d82c", "62f0"]')
    ['d82c', '62f0']
    """
    answer = answer.strip()
    if found := _LITERAL.search(answer):
        try:
            value = ast.literal_eval(found[0])
        except (ValueError, SyntaxError):
            pass  # such as [d82c, 62f0]: read as plain text
        else:
            return [str(v) for v in value] if isinstance(value, list) else [str(value)]
    parts = (part.strip(" \t\"'[]`") for part in re.split(r"[,\n]", answer))
    return [part for part in parts if part]


def accuracy(answer: str, expected: Sequence[str]) -> float:
    """Share of the expected elements that stand at their place in the answer.

    Each is compared over its own length, so that text after it does no harm. Where several are
    expected, surplus elements count against the answer.

    >>> accuracy('"d82c" is the value', ["d82c"]), accuracy('["62f0", "d82c"]', ["d82c", "62f0"])
    (1.0, 0.0)
    """
    given = parse(answer)
    right = sum(g[: len(e)] == e for g, e in zip(given, expected, strict=False))
    return right / (max(len(expected), len(given)) if len(expected) > 1 else 1)


def effective_length(
    lengths: Sequence[int | float], accuracies: Sequence[int | float], threshold: int | float
) -> float:
    """The largest length at which the accuracy still is `threshold`, between lengths by a line.

    Args:
        lengths: Rising.
        accuracies: One for each length.
        threshold: The accuracy that is asked for.

    Returns:
        The length; 0 when no accuracy reaches the threshold.

    >>> effective_length([1000, 2000, 4000], [1.0, 1.0, 0.5], 0.75)
    3000.0
    """
    reached = [i for i, value in enumerate(accuracies) if value >= threshold]
    if not reached:
        return 0.0
    last = reached[-1]
    if last == len(lengths) - 1:
        return float(lengths[last])
    share = (accuracies[last] - threshold) / (accuracies[last] - accuracies[last + 1])
    return lengths[last] + share * (lengths[last + 1] - lengths[last])
