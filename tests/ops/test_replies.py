"""Replies as models write them, and ones that must not be misread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.ops.replies import Verdict, read_letter, read_verdict


@pytest.mark.parametrize(
    ("text", "match", "confidence"),
    [
        ('{"match": true, "confidence": 0.93}', True, 0.93),
        ('```json\n{"Match": "No", "Confidence": "70%"}\n```', False, 0.7),
        ('Here: {"note": "x"} and {"is_match": 1, "confidence": 85}', True, 0.85),
        ("{'match': True, 'confidence': 0.4}", True, 0.4),
        ('{"match": false, "confidence": 0.9', False, 0.9),
        ('{"verdict": "not a match"}', False, 1.0),
        ('{"match": "no match", "confidence": "high"}', False, 1.0),
        ("match: no, confidence: .25", False, 0.25),
        ("No match.", False, 1.0),
        ("These do not match", False, 1.0),
        ("They aren't the same", False, 1.0),
        ("a mismatch", False, 1.0),
        ("different entities", False, 1.0),
        ("**Yes**, although not written the same way", True, 1.0),
        ("They match.", True, 1.0),
        ("The records are identical", True, 1.0),
        ("<think>no, yes, it matches</think>no", False, 1.0),
        ('{"match": true, "confidence": -3}', True, 1.0),
        ('{"match": true, "confidence": true}', True, 1.0),
    ],
)
def test_verdicts(text, match, confidence):
    assert read_verdict(text) == Verdict(match, confidence)


@pytest.mark.parametrize("text", ["", "hm", "{}", '{"match": null}', '{"match": 7}', "{" * 5000])
def test_what_decides_nothing_is_none(text):
    assert read_verdict(text) is None


@given(st.text())
def test_no_text_is_too_strange(text):
    assert read_verdict(text) in (None, (True, 1.0), (False, 1.0)) or "onf" in text
    read_letter(text, 26)


def test_a_denied_match_with_confidence_is_unlikely():
    assert Verdict(False, 0.9).probability == pytest.approx(0.1)
    assert Verdict(True, 0.9).probability == 0.9


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A", 0),
        ("(B)", 1),
        ("**C**", 2),
        ("C: the third", 2),
        ("Answer: B", 1),
        ("the answer is (A)", 0),
        ("Option C", 2),
        ("E", None),
        ("A good question", None),
        ("I think that none fits", None),
        ("the answer is a column", None),
        ("", None),
    ],
)
def test_letters(text, place):
    assert read_letter(text, 4) == place
