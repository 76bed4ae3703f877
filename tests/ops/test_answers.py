from __future__ import annotations

import pytest

from tokenry.errors import UsageError
from tokenry.ops.answers import contains, exact_match, f1, squad_words, verbatim_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  Eiffel-Tower, a  landmark!", ["eiffeltower", "landmark"]),
        ("an answer's theory", ["answers", "theory"]),
        ("A", []),
        ("", []),
    ],
)
def test_squad_words(text, words):
    assert squad_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("`-A`, (--all=yes).", ["-A", "--all=yes"]),
        ("The -a\n~/.netrc: 3.5", ["The", "-a", "~/.netrc", "3.5"]),
        ("“quoted” ...", ["quoted"]),
    ],
)
def test_verbatim_words(text, words):
    assert verbatim_words(text) == words


def test_exact_match_is_of_all_words():
    assert exact_match("The Tower.", ["bridge", "tower"])
    assert not exact_match("tower bridge", ["tower"])
    assert not exact_match("", ["tower"])


def test_contains_looks_for_consecutive_words():
    assert contains("It is the red tower here", ["Red Tower"])
    assert not contains("red and tall tower", ["red tower"])
    assert not contains("towers", ["tower"])
    assert not contains("red", ["red tower"])


def test_verbatim_tells_case_and_dashes_apart():
    assert contains("Use -a.", ["-a"], verbatim_words)
    for other in ("Use -A.", "Use a.", "Use --a.", "Use -ab."):
        assert not contains(other, ["-a"], verbatim_words)


def test_f1_counts_repeats_and_takes_the_best():
    # in common: x twice of three and of two; 2 * 2 / (3 + 2)
    assert f1("x x x", ["x x"]) == pytest.approx(4 / 5)
    assert f1("x y", ["z", "y"]) == pytest.approx(2 / 3)
    assert f1("", ["z"]) == 0
    assert f1("the Z!", ["z"]) == 1


@pytest.mark.parametrize("score", [exact_match, contains, f1])
def test_bad_answers(score):
    with pytest.raises(UsageError, match=r"answers: got \[\]; give a list"):
        score("x", [])
    with pytest.raises(UsageError, match="answers: got 'x'; give a list"):
        score("x", "x")
    with pytest.raises(UsageError, match="answers: '-a' has no word left under squad_words"):
        score("x", ["b", "-a"])
