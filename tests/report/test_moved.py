"""The page of moved models: offline, hostile tokens escaped, figures and both cuts in place."""

from __future__ import annotations

import re

import pytest

import tokenry
from tokenry import catalog
from tokenry.compare.moves import Cost, Held, MovedBy, Moves, Rows
from tokenry.compare.records import Interval
from tokenry.report.page import html

HOSTILE = ("<script>alert(1)</script>", '"><img/src=x>', "{{7*7}}", "\u202egnp", "\x00", "a" * 500)
FIGURES = {
    "source": {"tokenizer": "<b>old</b>", "tokens": 300},
    "target": {"tokenizer": "new", "tokens": 400},
    "special": {"<end>": "</s>"},
    "left_behind": ["<script>x</script>"],
    "held_out_bytes": 30,
    "seconds": {"move": 1.5},
    "losses": [3.0, 2.0],
}


def cost(*bits, difference=0.5, unknown=0):
    return Cost(
        bits,
        Interval(sum(bits) / 30, 1.0, 2.0),
        None if difference is None else Interval(difference, 0.1, 0.9),
        None if difference is None else "worse",
        unknown,
    )


def moves(**given):
    texts = (Held(10, 8, 4, HOSTILE, ("plain", " text")), Held(20, 12, 6, ("a",), HOSTILE))
    rows = (Rows("copied", 3, 7, ((HOSTILE[0], HOSTILE),)), Rows("drawn", 397, 3, (("\n", ()),)))
    one = {"card": catalog.card("fvt"), "figures": FIGURES, "rows": rows, "folder": "<i>out</i>"}
    alone = {"rival": None, "verdict": None}
    first = MovedBy("fvt", moved=cost(30, 30), trained=cost(25, 20), **alone, **one)
    other = {"rival": Interval(0.5, 0.2, 0.8), "verdict": "worse"}
    second = MovedBy('"><u>focus', moved=cost(40, 40), trained=None, **other, **one)
    fields = {"masked": False, "before": cost(12, 18, difference=None), "moves": (first, second)}
    fields |= {"saved": Interval(0.5, 0.4, 0.6), "texts": texts}
    return Moves(model='<img src="x">', **fields | given)


@pytest.fixture(scope="module")
def page():
    return html(moves())


def test_it_refers_to_nothing_outside_and_every_part_is_there(page):
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/\S+", "", page)
    for anchor in re.findall(r'href="#([\w-]+)"', page):
        assert f'id="{anchor}"' in page


def test_hostile_tokens_are_text(page):
    body = page[page.index("<main") : page.rindex("<script>")]
    for raw in ("<script>", "<img", "<b>old", "<i>out", "<u>"):
        assert raw not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "{{7*7}}" in body
    assert ">49<" not in body
    assert not {"\u202e", "\x00"} & set(page)
    assert "a" * 400 not in page


def test_the_best_method_leads_and_all_are_measured_against_the_first(page):
    assert "50.0\u202f% fewer tokens; 1.500 bits per byte by fvt, 1.000 before" in page
    assert "fvt, after 2 steps" in page
    assert page.count("Against fvt") == 1
    assert re.search(r'class="number bad">\+0\.500 <small>\+0\.200 to \+0\.800; worse', page)


def test_texts_stand_in_both_cuts_the_worst_first(page):
    first, second = page.index("2. "), page.index("1. plain text")
    lost = [(25 - 12) / 10, (20 - 18) / 20]
    assert lost[0] > lost[1]
    assert second < first
    assert page.count("Old tokens</b>") == page.count("New tokens</b>") == 2
    assert "<small>6 tokens</small>" in page


def test_rows_are_shown_by_where_they_come_from(page):
    assert page.count("Copied: the row of one old token</th>") == 2
    assert "99.2\u202f%" in page  # 397 of 400 rows were drawn
    assert "30.0\u202f%" in page  # but 3 of 10 tokens of the texts have one
    assert "\u23ce" in page


def test_one_method_has_no_rival_and_a_masked_model_no_before():
    alone = moves(moves=moves().moves[:1], masked=True)
    page = html(alone)
    assert "Against fvt" not in page
    assert "fills in hidden tokens" in page
    assert "+0.500" not in page
    assert "bits per byte by" not in page


def test_unknown_tokens_are_warned_of():
    page = html(moves(before=cost(12, 18, difference=None, unknown=3)))
    assert "3 tokens before the move are unknown ones" in page


def test_the_verb_writes_it(tmp_path):
    path = tokenry.report(moves(), tmp_path / "moved.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
