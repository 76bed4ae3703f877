"""Texts, with questions about them where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tokenry.data.base import DataSet, Wanted


@dataclass(frozen=True)
class TextExample:
    """One text and what is asked about it.

    Attributes:
        id: unique in its set and stable: relative path, page and number, or index.
        text: the text.
        question: what is asked about it, if anything.
        answers: every accepted answer; none where only the text or the question is known.
        answer_prefix: how a reply begins, if it is given: the model goes on from there.
        split: "train", "test", or None where the source does not say.
        domain: where it comes from, if known; manual pages: the package.
        meta: further text, for people.
    """

    id: str
    text: str = field(repr=False)
    question: str | None = None
    answers: tuple[str, ...] = ()
    answer_prefix: str | None = None
    split: str | None = None
    domain: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, repr=False)
class TextData(DataSet[TextExample]):
    """A set of texts, or of questions about them.

    `hash` is over all fields but `meta`.

    Attributes:
        name: what tables and reports call it.
        examples: at least one, with distinct ids.
        license: under which licence the texts come, or "not stated".
        source: where they come from.
    """

    noun: ClassVar[str] = "texts"
    fields: ClassVar[tuple[str, ...]] = ("split", "domain")

    def where(self, *, domain: Wanted = None, split: Wanted = None) -> TextData:
        """Keep the examples that match every given field; a field takes one value or several.

        Raises:
            UnknownNameError: no example has the value.
            DataError: no example matches all fields.
        """
        return self._where(domain=domain, split=split)

    def _facts(self) -> list[str]:
        asked = sum(e.question is not None for e in self.examples)
        return [f"{asked} questions"] if asked else []

    def _row(self, example: TextExample) -> list[Any]:
        e = example
        return [e.id, e.text, e.question, e.answers, e.answer_prefix, e.split, e.domain]
