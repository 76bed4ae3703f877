"""How well a written answer fits the exact ones: equal, contained, or words in common.

The measures of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250): each is the best over all accepted
answers. What counts as a word is a setting: `squad_words` forgets case, punctuation and articles,
`verbatim_words` keeps what tells ``-a`` from ``-A`` and ``a``.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from tokenry.errors import UsageError

Words = Callable[[str], list[str]]

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
