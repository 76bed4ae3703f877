"""The page of chunkers: it opens offline, escapes hostile names and questions, shows every part."""

from __future__ import annotations

import re

import pytest

import tokenry
from tokenry.report.page import html

HOSTILE = "<script>alert(1)</script> {{7*7}} \u202egnp\x00"


@pytest.fixture(scope="module")
def page():
    texts = [f"# {HOSTILE}\nThe safe is green. Only the head holds a key.\n# Two\nCats sleep."] * 2
    texts[1] += "\n# Three\nDogs bark at night."
    found = tokenry.chunks(texts, None, ["fixed-chunks(size=20)", "fixed-chunks(size=4)"])
    return html(found)


def test_it_refers_to_nothing_outside(page):
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/\S+", "", page)


def test_hostile_questions_are_text(page):
    body = page[page.index("<main") : page.rindex("<script>")]
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{7*7}}" in body
    assert "\u202e" not in page
    assert "\x00" not in page


def test_every_part_is_there_and_says_what_was_found(page):
    for anchor in re.findall(r'href="#([\w-]+)"', page):
        assert f'id="{anchor}"' in page
    assert re.search(r"<h1[^>]*>fixed-chunks\(size=\d+\) has the highest IoU, 0\.\d{3}<", page)
    assert page.count('<figure class="chart">') == 4
    assert page.count('<th scope="row">fixed-chunks(size=') == 2
