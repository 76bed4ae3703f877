"""Each check of drafters catches one that is broken in its way, and passes a sound one."""

import itertools
from dataclasses import dataclass
from typing import ClassVar, final

import pytest
import torch

from tokenry import checks
from tokenry.card import Card
from tokenry.method import Drafter, TokenTree
from tokenry.plugs import drafting, drafting_loop

CARD = Card(
    slug="sound",
    name="Sound",
    title="Draft the last token again",
    summary="A drafter that passes every check.",
    family="decoding",
    have="a test",
    want="a control",
    dial="no dial",
    exact=True,
)


@final
@dataclass(frozen=True, kw_only=True)
class Sound(Drafter):
    """Draft what stood five tokens before.

    Args:
        budget: Tokens that a pass may verify.
    """

    card: ClassVar[Card] = CARD

    def draft(self, view):
        n = min(view.count, 5, len(view.text))
        return TokenTree(view.text[-5:][:n], torch.arange(-1, n - 1))


def broken(**body):
    cls = type("Broken", (Drafter,), {"__doc__": Sound.__doc__, "card": CARD, **body})
    return final(dataclass(frozen=True, kw_only=True)(cls))


def outcome(cls, name):
    result = checks.one(cls, name)
    return result.outcome, result.message


@pytest.mark.parametrize("name", checks.names(Sound))
def test_a_sound_drafter_passes(name):
    assert outcome(Sound, name) == ("passed", "")


def too_many(self, view):
    return TokenTree(view.text[-1:].repeat(9), torch.arange(-1, 8))


def no_token(self, view):
    return TokenTree(torch.tensor([1000]), torch.tensor([-1]))


_steps = itertools.count()


def never_twice(self, view):
    n = next(_steps) % 3
    return TokenTree(view.text[-1:].repeat(n), torch.arange(-1, n - 1))


@pytest.mark.parametrize(
    ("draft", "name", "message"),
    [
        (too_many, "budget", "its draft has 9 tokens"),
        (no_token, "identity", "not all of the vocabulary of 97"),
        (never_twice, "repeat", "different outputs or drafts"),
    ],
)
def test_a_drafter_that_is_broken_in_its_draft(draft, name, message):
    found, said = outcome(broken(draft=draft), name)
    assert found == "failed"
    assert message in said


def test_a_method_that_changes_is_caught():
    def draft(self, view):
        object.__setattr__(self, "budget", 3)
        return Sound.draft(self, view)

    assert "the method changed while it ran" in outcome(broken(draft=draft), "leak")[1]


def test_identity_catches_a_loop_that_follows_any_draft(monkeypatch):
    """A model that is said to agree with whatever was drafted."""

    class Agrees(drafting_loop.Loop):
        def _verify(self, drafts, scores, rows):
            for draft in drafts:
                for i, token in enumerate(draft.tokens):
                    scores[:, i, token] = 1e9
            super()._verify(drafts, scores, rows)

    monkeypatch.setattr(drafting, "Loop", Agrees)
    assert "changes the output of LlamaForCausalLM" in outcome(Sound, "identity")[1]


def test_restore_catches_what_is_left_behind(monkeypatch):
    monkeypatch.setattr(drafting.Drafting, "detach", lambda self: None)
    found, said = outcome(Sound, "restore")
    assert found == "failed"
    assert "a normal exit" in said


def test_batch_catches_a_row_that_depends_on_its_place(monkeypatch):
    class Mixed(drafting_loop.Loop):
        def _verify(self, drafts, scores, rows):
            scores[1:] = scores[1:] + torch.arange(scores.shape[-1]) % 7
            super()._verify(drafts, scores, rows)

    monkeypatch.setattr(drafting, "Loop", Mixed)
    assert "changes what is written" in outcome(Sound, "batch")[1]
