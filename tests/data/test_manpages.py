from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tokenry.data import load_text
from tokenry.data.manpages import FOLDER

ROOT = Path(__file__).parents[2]
PAGES = [
    json.loads(line)
    for line in (FOLDER / "manpages.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture
def rules(monkeypatch):
    """The module that made the questions."""
    monkeypatch.syspath_prepend(ROOT / "recipes")
    return importlib.import_module("manpage_questions")


def test_the_set_is_what_the_how_to_says():
    data = load_text("manpages")
    assert len(PAGES) == 59
    assert len(data) == sum(len(page["questions"]) for page in PAGES) == 340
    assert set(data.domains) == {page["package"] for page in PAGES}
    assert len({example.text for example in data}) == 59
    assert all(example.question and example.answers for example in data)


def test_questions_are_those_that_the_rules_choose(rules):
    for page in PAGES:
        chosen = [question._asdict() for question in rules.choose(page["id"], page["text"])]
        assert json.loads(json.dumps(chosen)) == page["questions"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page["id"])
def test_each_question_has_one_answer_in_its_page(page):
    flat = " ".join(page["text"].split())
    asked = page["questions"]
    assert 3 <= len(asked) <= 6
    assert len({q["question"] for q in asked}) == len(asked)
    answers = Counter(answer for q in asked for answer in set(q["answers"]))
    assert set(answers.values()) == {1}
    for q in asked:
        assert any(answer in flat for answer in q["answers"])
        quoted = q["question"].partition(": ")[2].removesuffix(" ...")
        assert not quoted or flat.count(quoted) == 1
        assert not any(
            re.search(rf"(?<![\w-]){re.escape(answer)}(?![\w-])", q["question"])
            for answer in q["answers"]
        )


def test_pages_are_plain_text_of_bounded_length():
    for page in PAGES:
        assert 1_800 <= len(page["text"]) <= 22_000
        assert "\x08" not in page["text"]
        assert "\n\n\n" not in page["text"]
        assert page["text"].endswith("\n")
    assert len({page["id"] for page in PAGES}) == len(PAGES)


def test_every_option_that_answers_begins_a_line(rules):
    for page in PAGES:
        heads = {
            spelt.name for entry in rules.entries(page["text"]) for spelt in rules.options(entry)
        }
        for q in page["questions"]:
            if q["kind"] in {"option", "long", "short"}:
                assert q["answers"][0] in heads


def test_licences_and_sources_lie_beside_and_all_is_small():
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    packages = {page["package"]: page["license"] for page in PAGES}
    assert {path.stem for path in (FOLDER / "licenses").iterdir()} == set(packages)
    for package, license in packages.items():
        assert f"| {package} | " in sources
        assert license in sources
        assert license in load_text("manpages").license
        text = (FOLDER / "licenses" / f"{package}.txt").read_text(encoding="utf-8")
        assert "opyright" in text or "public domain" in text.lower()
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 1_000_000
