"""How well a written answer fits the exact ones: equal, contained, in common, place by place.

The measures of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250): each is the best over all accepted
answers. What counts as a word is a setting: `squad_words` forgets case, punctuation and articles,
`verbatim_words` keeps what tells ``-a`` from ``-A`` and ``a``.
"""

from __future__ import annotations

import ast
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from tokenry.errors import UsageError

Words = Callable[[str], list[str]]

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_LITERAL = re.compile(r"""\[[^\]]*\]|^(?:"[^"]*"|'[^']*')""")
_DROP = str.maketrans("", "", string.punctuation)
_EDGES = "\"'`.,;:!?()[]{}<>*\u201c\u201d\u2018\u2019"


def squad_words(text: str) -> list[str]:
    """Split as SQuAD does: lower case, no punctuation, no a, an, the.

    >>> squad_words("The Eiffel Tower, in Paris.")
    ['eiffel', 'tower', 'in', 'paris']
    """
    bare = text.lower().translate(_DROP)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def verbatim_words(text: str) -> list[str]:
    """Split at spaces; only quotes, brackets and marks around a word are dropped.

    >>> verbatim_words('Use "-A" (or `--all=yes`).')
    ['Use', '-A', 'or', '--all=yes']
    """
    return [word for part in text.split() if (word := part.strip(_EDGES))]


def exact_match(prediction: str, answers: Sequence[str], words: Words = squad_words) -> bool:
    """Whether the prediction is one of the answers, word for word.

    Args:
        prediction: What a model wrote.
        answers: Every accepted answer; at least one.
        words: What counts as a word.

    Raises:
        UsageError: No answers, or one without a word.

    >>> exact_match("the Eiffel tower.", ["Eiffel Tower"])
    True
    """
    found = words(prediction)
    return any(found == answer for answer in _answers(answers, words))


def contains(prediction: str, answers: Sequence[str], words: Words = squad_words) -> bool:
    """Whether one of the answers stands in the prediction as consecutive words.

    Args and raises as `exact_match`.

    >>> contains("It is -A, not -a.", ["-a"], verbatim_words)
    True
    >>> contains("It is --all.", ["-a"], verbatim_words)
    False
    """
    found = words(prediction)
    return any(
        found[i : i + len(answer)] == answer
        for answer in _answers(answers, words)
        for i in range(len(found) - len(answer) + 1)
    )


def f1(prediction: str, answers: Sequence[str], words: Words = squad_words) -> float:
    r"""The F1 of the words in common, best over the answers.

    $F_1 = 2c / (p + a)$ with $c$ words in common (counted as often as in both), $p$ words in the
    prediction and $a$ in the answer. Args and raises as `exact_match`.

    >>> f1("the tower of Paris", ["Eiffel Tower"])
    0.4
    """
    found = words(prediction)
    return max(
        2 * sum((Counter(found) & Counter(answer)).values()) / (len(found) + len(answer))
        for answer in _answers(answers, words)
    )


def _answers(answers: Sequence[str], words: Words) -> list[list[str]]:
    if isinstance(answers, str) or not answers:
        raise UsageError(f"answers: got {answers!r}; give a list with at least one text.")
    split = [words(answer) for answer in answers]
    if not all(split):
        bare = next(answer for answer, found in zip(answers, split, strict=True) if not found)
        raise UsageError(
            f"answers: {bare!r} has no word left under {words.__name__}; "
            "give words=verbatim_words, which keeps case, dashes and articles."
        )
    return split


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


def first_number(answer: str) -> str | None:
    """The first number in an answer, without commas and idle zeros; None when there is none.

    >>> first_number("It costs $1,250.50."), first_number("none")
    ('1250.5', None)
    """
    found = _NUMBER.search(answer)
    if found is None:
        return None
    number = found[0].replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


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
