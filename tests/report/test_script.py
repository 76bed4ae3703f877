"""What the page's script makes of a table: the pure part runs in the engine that Chromium has."""

import csv
import io
import json

import pytest

from tokenry.report.page import HERE

THIN, MINUS = "\u202f", "\u2212"


@pytest.fixture(scope="module")
def call():
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    engine.eval((HERE / "script.js").read_text(encoding="utf-8").partition("const root")[0])

    def called(name, *given):
        given = ", ".join(json.dumps(one) for one in given)
        return json.loads(engine.eval(f"JSON.stringify({name}({given}))"))

    return called


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,234", ["", "1234"]),
        (f"12{THIN}345", ["", "12345"]),
        (f"41.6{THIN}ms", ["s", "0.0416"]),
        (f"2.50{THIN}s", ["s", "2.50"]),
        (f"{MINUS}0.5{THIN}%", ["%", "-0.5"]),
        ("3.10\u00d7", ["\u00d7", "3.10"]),
        ("<1", ["", "<1"]),
        ("Chicago, 123 Main St", ["", "Chicago, 123 Main St"]),
        ("reference", ["", "reference"]),
    ],
)
def test_a_cell_is_a_number_and_its_unit(call, text, said):
    assert call("plain", text) == said


def test_a_table_is_read_as_data(call):
    heads = ["Method", "Score", "Time", "Verdict"]
    rows = [
        [['say "x", y', ""], [f"91.0{THIN}%", f"90.1 to 92.0{THIN}%"], ["2.50 s", ""], ["", ""]],
        [["=SUM(A1)", ""], [f"{MINUS}3.0{THIN}%", ""], ["5.00 ms", ""], ["worse", ""]],
    ]
    head, *lines = csv.reader(io.StringIO(call("csv", heads, rows)))
    assert head == ["Method", "Score (%)", "Score, low", "Score, high", "Time (s)", "Verdict"]
    assert lines == [
        ['say "x", y', "91.0", "90.1", "92.0", "2.50", ""],
        ["'=SUM(A1)", "-3.0", "", "", "0.005", "worse"],
    ]


def test_a_column_of_several_units_keeps_them(call):
    head, *lines = csv.reader(io.StringIO(call("csv", ["x"], [[["5 %", ""]], [["3 s", "a note"]]])))
    assert head == ["x", "x, note"]
    assert lines == [["5 %", ""], ["3 s", "a note"]]
