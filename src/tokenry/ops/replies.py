"""What a language model wrote when it was asked to decide, read as tolerantly as is safe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """Whether two things are the same, and how sure whoever said so was, from 0 to 1."""

    match: bool
    confidence: float = 1.0

    @property
    def probability(self) -> float:
        """The probability of a match that this comes to."""
        return self.confidence if self.match else 1 - self.confidence


_DECISIONS = ("match", "is_match", "matches", "same", "answer", "verdict", "decision", "result")
_SURETIES = ("confidence", "probability", "certainty", "score")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_FIELD = r"""["']?\b{}\b["']?\s*[:=]\s*["']?([\w.%' -]+)"""
_FIRST = re.compile(r"\W*(yes|no|true|false)\b", re.IGNORECASE)
# "no match" holds "match": what denies is looked for first.
_NO = re.compile(
    r"\b(no|not|none|never|cannot|false|differ\w*|distinct|unrelated|mismatch\w*|unmatched"
    r"|non-?match\w*|unlikely)\b|n't\b|n\u2019t\b",
    re.IGNORECASE,
)
_YES = re.compile(r"\b(yes|true|match(es|ed|ing)?|same|identical|duplicates?)\b", re.IGNORECASE)
_LETTER = re.compile(r"\W*([A-Z])(?:\W*$|[).:,\n])")
_LABEL = re.compile(r"^(?:new text|answer)\s*:\s*", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
_NAMED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is)?\W*([A-Z])\b", re.IGNORECASE)


def read_verdict(text: str) -> Verdict | None:
    """Read a verdict: JSON, something like it, or a sentence; None where there is none.

    What denies weighs more than what affirms: "no match" is no match.

    >>> read_verdict('Sure: {"match": false, "confidence": "80%"}')
    Verdict(match=False, confidence=0.8)
    >>> read_verdict("There is no match."), read_verdict("hm")
    (Verdict(match=False, confidence=1.0), None)
    """
    text = _THOUGHT.sub(" ", text)
    hits = {name: _field(name, text) for name in (*_DECISIONS, *_SURETIES)}
    loose = {name: hit[1] for name, hit in hits.items() if hit is not None}
    for fields in (*_objects(text), loose):
        if not fields.keys().isdisjoint(_DECISIONS):
            return _from_fields(fields)
    match = _decided(text)
    return None if match is None else Verdict(match)


def read_letter(text: str, count: int) -> int | None:
    """Which of the first letters was answered, from 0 on; None where none was.

    >>> read_letter("B) the second", 3), read_letter("The answer is C.", 3), read_letter("D", 3)
    (1, 2, None)
    >>> read_letter("A column of names", 3) is None
    True
    """
    text = _THOUGHT.sub(" ", text)
    found = _LETTER.match(text) or _NAMED.search(text)
    if found is None or not found[1].isupper():
        return None
    place = ord(found[1]) - ord("A")
    return place if place < count else None


def read_text(reply: str) -> str | None:
    r"""The text that was asked for: the first line, without what was put around it; None for none.

    >>> read_text('<think>hm</think>\nNew text: "Acme"\nText: more'), read_text(" ")
    ('Acme', None)
    """
    lines = (line.strip() for line in _THOUGHT.sub(" ", reply).splitlines())
    first = next((line for line in lines if line), "")
    first = _LABEL.sub("", first)
    if len(first) > 1 and _QUOTES.get(first[0]) == first[-1]:
        first = first[1:-1].strip()
    return first or None


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON object in a text, from left to right."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(found, dict):
                yield {str(key).casefold(): value for key, value in found.items()}
        at = text.find("{", end)


def _field(name: str, text: str) -> re.Match[str] | None:
    return re.search(_FIELD.format(name), text, re.IGNORECASE)


def _from_fields(fields: Mapping[str, Any]) -> Verdict | None:
    decided = [_decided(fields[name]) for name in _DECISIONS if name in fields]
    match = next((one for one in decided if one is not None), None)
    if match is None:
        return None
    sure = [_number(fields[name]) for name in _SURETIES if name in fields]
    return Verdict(match, next((one for one in sure if one is not None), 1.0))


def _decided(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    if value.strip() in ("0", "1"):
        return value.strip() == "1"
    if first := _FIRST.match(value):
        return first[1].casefold() in ("yes", "true")
    if _NO.search(value):
        return False
    return True if _YES.search(value) else None


def _number(value: Any) -> float | None:
    """A confidence; percent are read as such, and what is no share is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    try:
        number = float(text.rstrip("% "))
    except ValueError:
        return None
    if text.endswith("%") or number > 1:
        number /= 100
    return number if 0 <= number <= 1 else None
