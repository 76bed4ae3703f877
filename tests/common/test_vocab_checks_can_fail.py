"""Each check of the vocab contracts catches a class broken in its way, and passes a sound one."""

import itertools
from dataclasses import dataclass, replace
from typing import ClassVar, final

import pytest
import torch
from tokenizers import Tokenizer, models

from tokenry import checks
from tokenry.card import Card
from tokenry.method import (
    EmbeddingRows,
    Embeddings,
    Figure,
    Findings,
    Judge,
    Origin,
    TokenizerTrainer,
    VocabMap,
)

CARD = Card(
    slug="sound",
    name="Sound",
    title="A class that passes every check",
    summary="A control.",
    family="vocab",
    have="a test",
    want="a control",
    dial="no dial",
)
COUNTER = itertools.count()


def made(base, name, **body):
    doc = "A class for tests." + (
        "\n\nArgs:\n    size: Most tokens." if base is TokenizerTrainer else ""
    )
    body = {"__module__": __name__, "__doc__": doc, "card": CARD, **body}
    return final(dataclass(frozen=True, kw_only=True)(type(name, (base,), body)))


def taken(move, rows, tokens):
    """Row `tokens[i]` of the source for token i of the target."""
    return [None if one is None else one[tokens].clone() for one in rows]


@final
@dataclass(frozen=True, kw_only=True)
class Copies(VocabMap):
    """Give each token the row of a source token."""

    card: ClassVar[Card] = CARD

    def rows(self, move):
        tokens = [i % len(move.source) for i in range(len(move.target))]
        old = move.embeddings
        tables = taken(move, (old.input, old.output, old.bias), tokens)
        origin = torch.full((len(tokens),), int(Origin.COPIED))
        return EmbeddingRows(
            embeddings=Embeddings(input=tables[0], output=tables[1], bias=tables[2]),
            origin=origin,
            parents=[[token] for token in tokens],
        )


def changed(**new):
    """A map whose result is changed."""

    def rows(self, move):
        one = Copies.rows(self, move)
        return replace(one, **{name: make(one, move) for name, make in new.items()})

    return made(VocabMap, "Broken", rows=rows)


def scaled(one, factor):
    return replace(one.embeddings, input=one.embeddings.input * factor)


def views(self, move):
    one = Copies.rows(self, move)
    return replace(one, embeddings=replace(one.embeddings, input=move.embeddings.input[:-2]))


def remembers(self, vocab, usage=()):
    object.__setattr__(self, "seen", 1)
    return Findings(figures={"n": Figure(value=1, unit="x")})


MAPS = {
    "too few rows": (
        changed(embeddings=lambda o, m: replace(o.embeddings, input=o.embeddings.input[:3])),
        "shapes",
        "for 300 tokens",
    ),
    "not finite": (changed(embeddings=lambda o, m: scaled(o, torch.inf)), "shapes", "not finite"),
    "no head": (changed(embeddings=lambda o, m: replace(o.embeddings, output=None)), "shapes", "2"),
    "not a copy": (changed(embeddings=lambda o, m: scaled(o, 2)), "provenance", "not that of"),
    "no parent": (changed(parents=lambda o, m: [[]] * len(o.parents)), "provenance", "0 parents"),
    "foreign parent": (
        changed(parents=lambda o, m: [[9999]] * len(o.parents)),
        "provenance",
        "does not have",
    ),
    "no origin": (changed(origin=lambda o, m: o.origin + 9), "provenance", "no Origin"),
    "draws": (
        changed(embeddings=lambda o, m: scaled(o, torch.rand(1))),
        "repeat",
        "different rows",
    ),
    "a view": (made(VocabMap, "Broken", rows=views), "untouched", "the rows of the source"),
    "float": (
        changed(embeddings=lambda o, m: scaled(o, torch.ones(1, dtype=torch.float32))),
        "precision",
        "float32",
    ),
}


@final
@dataclass(frozen=True, kw_only=True)
class Counts(Judge):
    """Count tokens."""

    card: ClassVar[Card] = CARD

    def judge(self, vocab, usage=()):
        return Findings(figures={"tokens": Figure(value=len(vocab), unit="tokens")})


def says(**figure):
    """A judge of one figure, whose parts are made from the usage."""

    def judge(self, vocab, usage=()):
        whole = {"value": lambda u: 1.0, "unit": lambda u: "tokens", **figure}
        return Findings(figures={"n": Figure(**{k: make(usage) for k, make in whole.items()})})

    return made(Judge, "Broken", judge=judge)


def table(self, vocab, usage=()):
    figures = {"n": Figure(value=1, unit="x")}
    return Findings(figures=figures, tables={"t": [{"token": b"bytes"}]})


def clears(self, vocab, usage=()):
    for one in usage:
        one.counts[:] = 0
    return Findings(figures={"n": Figure(value=1, unit="x")})


JUDGES = {
    "not finite": (says(value=lambda u: float("nan")), "figures", "not finite"),
    "outside": (says(low=lambda u: 2.0), "figures", "below its interval"),
    "no unit": (says(unit=lambda u: ""), "figures", "what it counts"),
    "no figure": (
        made(Judge, "Broken", judge=lambda self, v, u=(): Findings(figures={})),
        "figures",
        "no figure",
    ),
    "bytes in a table": (made(Judge, "Broken", judge=table), "figures", "JSON"),
    "one kind only": (
        made(Judge, "Broken", judge=lambda self, v, u=(): 1 / (v.kind == "BPE")),
        "kinds",
        "",
    ),
    "needs text": (says(value=lambda u: 1 / len(u)), "nothing", "ZeroDivisionError"),
    "counts calls": (says(value=lambda u: next(COUNTER)), "repeat", "different findings"),
    "first category": (says(value=lambda u: float(u[0].counts.sum())), "order", "'n'"),
    "clears counts": (made(Judge, "Broken", judge=clears), "untouched", "the counts"),
}


@final
@dataclass(frozen=True, kw_only=True)
class Letters(TokenizerTrainer):
    """Learn letters.

    Args:
        size: Most tokens.
    """

    card: ClassVar[Card] = CARD

    def train(self, texts):
        letters = sorted({letter for text in self.some(texts) for letter in text})
        return Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))


def learns(change):
    def train(self, texts):
        return change(self, Letters.train(self, texts))

    return made(TokenizerTrainer, "Broken", train=train)


def without_g(self, made):
    return Tokenizer(models.BPE({"A": 0, "C": 1, "T": 2}, []))


def numbered(self, made):
    made.add_tokens([f"x{next(COUNTER)}"])
    return made


def many(self, made):
    made.add_tokens([f"x{i}" for i in range(9000)])
    return made


TRAINERS = {
    "too many": (learns(many), "size", "not at most 6000"),
    "counts calls": (learns(numbered), "repeat", "different tokenizers"),
    "loses a letter": (learns(without_g), "written", "in none of its tokens"),
    "takes nothing": (
        made(TokenizerTrainer, "Broken", train=lambda self, texts: Letters().train(["ACGT"])),
        "nothing",
        "learns something from []",
    ),
}


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [*MAPS.values(), *JUDGES.values(), *TRAINERS.values()],
    ids=[*MAPS, *JUDGES, *TRAINERS],
)
def test_a_broken_class_is_caught(cls, name, message):
    result = checks.one(cls, name)
    assert result.outcome == "failed"
    assert message in result.message


@pytest.mark.parametrize("cls", [Copies, Counts, Letters])
def test_a_sound_class_passes(cls):
    found = {one.name: (one.outcome, one.message) for one in checks.check(cls)}
    assert found == dict.fromkeys(found, ("passed", ""))


def test_a_class_that_changes_is_caught():
    assert "changed while it judged" in _message(made(Judge, "Broken", judge=remembers))

    def rows(self, move):
        object.__setattr__(self, "seen", 1)
        return Copies.rows(self, move)

    assert "changed while it ran" in _message(made(VocabMap, "Broken", rows=rows))

    def train(self, texts):
        object.__setattr__(self, "seen", 1)
        return Letters().train(texts)

    assert "the method changed" in _message(made(TokenizerTrainer, "Broken", train=train))


def _message(cls):
    return checks.one(cls, "untouched").message


def test_saved_catches_a_tokenizer_whose_file_says_something_else(monkeypatch):
    monkeypatch.setattr(
        checks.learners.Tokenizer, "from_str", lambda text: without_g(None, None), raising=False
    )
    assert "writes otherwise" in checks.one(Letters, "saved").message
