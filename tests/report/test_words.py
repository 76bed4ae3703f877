import pytest

from tokenry.compare.records import Interval, TaskInfo
from tokenry.report import words

RIGHT = TaskInfo("t", "T", "accuracy", True, True, "")
COSINE = TaskInfo("t", "T", "cosine", False, True, "")


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\u202e", "\u2066", "\ud800", "\u200f", "\ufeff"])
def test_clean_shows_what_it_takes_out(bad):
    assert words.clean(f"a{bad}b") == "a\ufffdb"


def test_clean_keeps_other_scripts_and_joined_emoji():
    text = "שלום 東京 é 👩\u200d🚀"
    assert words.clean(text) == text


def test_clean_shortens():
    assert words.clean("x" * 10_000, limit=60) == "x" * 59 + "…"


def test_clean_is_one_line():
    assert words.clean(" a\n\tb\r\n ") == "a b"


def test_code_keeps_indentation():
    assert words.code("with x:\n    y\u202e\n") == "with x:\n    y\ufffd"


@pytest.mark.parametrize(
    ("value", "task", "signed", "shown"),
    [
        (0.9131, RIGHT, False, "91.3\u202f%"),
        (0.9131, COSINE, False, "0.913"),
        (-0.0031, RIGHT, True, "\u22120.3\u202f%"),
        (0.0031, COSINE, True, "+0.003"),
        (-0.00001, COSINE, True, "\u22120.00001"),
        (-1e-12, COSINE, True, "0.000"),
        (-0.0, RIGHT, True, "0.0\u202f%"),
    ],
)
def test_amount(value, task, signed, shown):
    assert words.amount(value, task, signed=signed) == shown


def test_span_names_its_unit_once():
    assert words.span(Interval(0.5, 0.4, 0.6), RIGHT) == "40.0 to 60.0\u202f%"


def test_name_takes_the_cards_name_and_the_settings():
    assert words.name("pitome(margin=0.5)", {"name": "PiToMe"}) == "PiToMe(margin=0.5)"
    assert words.name("x" * 100, None) == "x" * 39 + "…"


def test_times_span_bounds_what_it_shows():
    assert words.times_span(Interval(1.0, 0.0003, 3005.4)) == "<0.01 to >100"
    assert words.times_span(Interval(1.0, 0.951, 1.049)) == "0.95 to 1.05"
