"""Finding systems by what they do: against BM25 of another package, and alike in the browser."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry import catalog, finder
from tokenry.errors import UnknownNameError, UsageError
from tokenry.finder import CardIndex, find, terms

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs/_static/find.js"

# What somebody might type, and what should be among the first three.
WANTED = {
    "merge similar image tokens": "tome",
    "vision transformer too slow, drop patches": "zero-tprune",
    "evict kv cache of a long prompt": "snapkv",
    "keep the first and the last tokens": "streaming-llm",
    "heavy hitters": "h2o",
    "text is too long for one device": "tokenring",
    "I edited the prompt in the middle": "pie",
    "speculative decoding with a tree": "dyspec",
    "draft without another model": "token-recycling",
    "grammar correction faster": "aggressive-decoding",
    "prompt that ends inside a word": "byte-exact",
    "route queries to expert models": "octopus",
    "which languages pay more for tokens": "parity",
    "glitch tokens": "glitch",
    "genome DNA": "dnabert2",
    "mixture of languages a tokenizer was trained on": "data-mixture",
    "new vocabulary for an old model": "fvt",
    "needle in a haystack": "needle-threading",
}
QUERIES = [*WANTED, "prun", "Token Recycling", "random", "quantisation", "", "the of", "tome tome"]


def card(slug="a", **fields):
    text = {"name": slug, "title": "t", "summary": "s", "have": "h", "want": "w", "claims": ()}
    return {"slug": slug, "family": "vision", **text, **fields}


@pytest.fixture(scope="module")
def index():
    return CardIndex(catalog.cards())


@pytest.fixture(scope="module")
def browser():
    """The script of the documentation in the engine that Chromium has."""
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    engine.eval(SCRIPT.read_text(encoding="utf-8"))

    def call(name, text, plain=None):
        if plain is not None:
            engine.eval(f"globalThis.index = {json.dumps(plain)}")
        return json.loads(
            engine.eval(f"JSON.stringify(tokenryFind.{name}({json.dumps(text)}, index))")
        )

    return call


def test_what_somebody_types_finds_it():
    missed = [q for q in WANTED if WANTED[q] not in [one.slug for one in find(q, k=3)]]
    print(f"{len(WANTED) - len(missed)} of {len(WANTED)}; missed: {missed}")
    assert len(missed) <= 0.1 * len(WANTED)  # it knows words, and none that mean "without"


def test_scores_are_those_of_another_bm25(index):
    import bm25s

    bags = [
        [term for text, weight in finder._fields(one) for _, term in terms(text) * weight]
        for one in catalog.cards()
    ]
    other = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    other.index(bags, show_progress=False)
    for query in ("large clusters isolated", "heavy hitters", "bytes inside words"):
        asked = [term for _, term in terms(query)]
        mine = {one.slug: one.score for one in index.search(query)}
        expected = dict(zip(catalog.names(), other.get_scores(asked), strict=True))
        assert mine == pytest.approx({s: v for s, v in expected.items() if v > 0}, abs=2e-3)


def test_the_name_of_a_system_finds_it_first():
    for one in catalog.cards():
        assert find(one["slug"], k=1)[0].slug == one["slug"]
        assert find(one["name"], k=1)[0].name == one["name"]


def test_similar_systems_mostly_do_the_same_and_never_are_itself():
    kin = 0
    for one in catalog.cards():
        near = find(like=one["slug"], k=3)
        assert one["slug"] not in [other.slug for other in near]
        kin += near[0].family == one["family"]
    assert kin >= 0.9 * len(catalog.cards())
    assert [find(like=a, k=1)[0].slug for a in ("pitome", "h2o", "dyspec")] == [
        "tome",
        "d2o",
        "token-recycling",
    ]


def test_endings_stop_words_and_families():
    assert {term for _, term in terms("merge merges merged merging")} == {"merg"}
    assert {term for _, term in terms("tokenise tokenizer tokenization")} == {"tokeniz"}
    assert terms("what is of the") == []
    assert [one.slug for one in find("merge")] == [one.slug for one in find("Merging!")]
    assert {one.family for one in find("tokens", family="cache", k=50)} == {"cache"}
    assert find("xyzzy") == []


def test_wrong_calls_are_refused():
    with pytest.raises(UsageError, match="give one of them"):
        find()
    with pytest.raises(UsageError, match="give one of them"):
        find("merge", like="tome")
    with pytest.raises(UsageError, match="k=0"):
        find("merge", k=0)
    with pytest.raises(UnknownNameError, match="nearest: tome"):
        find(like="tomme")


def test_the_browser_ranks_alike(index, browser):
    slugs = catalog.names()
    browser("search", "", index.to_dict())
    for query in QUERIES:
        assert [(slugs[n], score / 1000) for n, score in browser("search", query)] == [
            (one.slug, one.score) for one in index.search(query)
        ]


def assigned(letter: str) -> bool:
    """Whether this Python knows the letter; a browser may know newer ones."""
    return unicodedata.category(letter) not in {"Cn", "Co", "Cs"}


@given(st.text(st.characters(exclude_categories=["Cs"]).filter(assigned), max_size=40))
def test_the_browser_sees_the_same_words(browser, text):
    plain = {"stop": sorted(finder.STOP), "endings": finder.ENDINGS}
    assert [tuple(pair) for pair in browser("terms", text, plain)] == terms(text)


def test_names_that_javascript_knows_are_only_words(browser):
    index = CardIndex([card("a", summary="constructor of a prototype"), card("b")])
    for query in ("constructor", "toString", "__proto__", "hasOwnProperty"):
        expected = [0] if index.search(query) else []
        assert [number for number, _ in browser("search", query, index.to_dict())] == expected


def test_hostile_cards_stay_in_their_place(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    hostile = "</script><img src=x onerror=alert(1)>\n```\n# Title <!-- & \u2028"
    from find_box import find_box

    box = find_box([card("a", name=hostile, summary=hostile), card("b")])
    assert box.count("</script>") == 2
    assert "<img" not in box
    assert "<!--" not in box
    assert [line for line in box.split("\n") if line.startswith("```")] == ["```{raw} html", "```"]
    held = re.search(r'id="find-index">(.*)</script>', box)[1]
    assert json.loads(held)["cards"][0]["summary"] == hostile
    sys.modules.pop("find_box")


def test_the_script_never_reads_text_as_html_and_fetches_nothing():
    script = SCRIPT.read_text(encoding="utf-8")
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch\(|https?:"
    assert re.findall(forbidden, script) == []
