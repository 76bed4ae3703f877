"""The page of an audit: it opens offline, escapes hostile tokens, and shows every part."""

from __future__ import annotations

import re

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

import tokenry
from tokenry.report.audited import _word
from tokenry.report.page import html

HOSTILE = ["<script>alert(1)</script>", '"><img/src=x>', "{{7*7}}", "\u202egnp", "\x00", "a" * 500]


def hostile(name: str) -> Tokenizer:
    tokens = [*HOSTILE, "plain", f"only{name}", "[UNK]", "x"]
    ids = {token: i for i, token in enumerate(tokens)}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


@pytest.fixture(scope="module")
def page():
    texts = {'<b onclick="x">de</b>': [" ".join(HOSTILE)] * 3, "en": ["plain x y", "x plain"]}
    found = tokenry.audit(
        [hostile("one"), hostile("two")],
        texts,
        ["parity", "qtok", "glitch", "token-purity(lexicon=('plain',))", "visual-language"],
    )
    return html(found)


def test_it_refers_to_nothing_outside(page):
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/\S+", "", page)


def test_hostile_tokens_are_text(page):
    body = page[page.index("<main") : page.rindex("<script>")]
    assert "<script>alert" not in body
    assert "<b onclick" not in body
    assert "<img/src" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "{{7*7}}" in body
    assert "49" not in re.findall(r'<i class="t\d">([^<]*)</i>', body)
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "a" * 400 not in page


def test_what_a_tokenizer_loses_stands_beside_what_it_saves():
    lower = hostile("lower")
    lower.normalizer = normalizers.Lowercase()
    shown = html(tokenry.audit([hostile("one"), lower], ["plain x", "x"], ["parity"]))
    warning = "does not give every text back"
    assert shown.index(warning) < shown.index("Side by side")


def test_every_part_is_there_and_reachable(page):
    for anchor in re.findall(r'href="#([\w-]+)"', page):
        assert f'id="{anchor}"' in page
    heads = ("Side by side", "How texts are cut", "What the vocabularies hold")
    for head in (*heads, "Tokens that the texts were written with", "Time to write them"):
        assert head in page
    assert "Visual language" in page
    assert page.count('class="held cut"') >= 4
    assert "What it was probably trained on" not in page


def test_one_tokenizer_has_a_page_too():
    page = html(tokenry.audit(hostile("one"), ["plain x"], ["parity"]))
    assert "bytes a token" in page
    assert "Tokens in common" not in page


def test_the_verb_writes_it(tmp_path):
    found = tokenry.audit(hostile("one"), ["plain x"], ["parity"])
    path = tokenry.report(found, tmp_path / "audit.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_blanks_around_a_word_are_not_shown():
    assert _word((" ha", "lf\n\n")) == [("t0", "ha"), ("t1", "lf")]
    assert _word((" one ",)) == [("t0", "one")]
