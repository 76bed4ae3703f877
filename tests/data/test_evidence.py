"""Questions with evidence: what ships, and tables of one's own."""

from __future__ import annotations

import json

import pytest

from tokenry.data import TextData, TextExample
from tokenry.data.evidence import chunking, load_questions, locate
from tokenry.errors import DataError

TEXTS = TextData(
    "own",
    (TextExample("a.md", "One two.\nThree  four."), TextExample("b.md", "Five six.")),
    "CC0-1.0",
    "made for tests",
)


def table(tmp_path, *rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_shipped_evidence_is_what_the_table_quotes():
    asked = chunking()
    assert (len(asked.documents), len(asked.questions)) == (2, 132)
    document, start, end = asked.questions[0].evidence[0]
    assert (
        asked.documents.examples[document].text[start:end].startswith("My administration announced")
    )


@pytest.mark.parametrize(
    ("evidence", "found"),
    [
        (["One two."], [(0, 8)]),
        ("two.\nThree", [(4, 14)]),
        (["Three four."], [(9, 21)]),
        ([{"start": 0, "end": 3}], [(0, 3)]),
        ({"text": "four"}, [(16, 20)]),
        (json.dumps([{"content": "x", "start_index": 4, "end_index": 7}]), [(4, 7)]),
    ],
)
def test_evidence_is_quotes_or_places(tmp_path, evidence, found):
    for name in ("a.md", "a"):
        row = {"question": "What?", "document": name, "evidence": evidence}
        (question,) = load_questions(table(tmp_path, row), TEXTS)
        assert question.evidence == tuple((0, *span) for span in found)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "", "document": "a", "evidence": ["One"]}, "has no question"),
        ({"question": "Q", "document": "c", "evidence": ["One"]}, "'c' is no document"),
        ({"question": "Q", "document": "a", "evidence": []}, "has no evidence"),
        ({"question": "Q", "document": "a", "evidence": ["Six"]}, "does not stand in the document"),
        ({"question": "Q", "document": "a", "evidence": [{"start": 3, "end": 99}]}, "not inside"),
        ({"question": "Q", "document": "a"}, "named evidence or references"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, row, said):
    with pytest.raises(DataError, match=said):
        load_questions(table(tmp_path, row), TEXTS)


def test_folders_and_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"holds no corpora"):
        chunking(tmp_path)
    with pytest.raises(DataError, match="is no table"):
        load_questions(tmp_path / "questions.txt", TEXTS)


def test_a_quote_is_found_as_it_is_before_blanks_are_forgiven():
    assert locate("a b", "a  b a b") == (5, 8)
    assert locate("a  b", "x a b") == (2, 5)
    assert locate("a.c", "abc") is None
