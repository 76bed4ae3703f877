"""Each check of cache policies catches one that is broken in its way, and passes a sound one."""

from dataclasses import dataclass
from typing import ClassVar, final

import pytest
import torch

from tokenry import checks
from tokenry.card import Card
from tokenry.method import CachePolicy, Read, Slots
from tokenry.ops.slots import top_slots
from tokenry.plugs import caching

CARD = Card(
    slug="sound",
    name="Sound",
    title="Keep the longest keys",
    summary="A policy that passes every check.",
    family="cache",
    have="a test",
    want="a control",
    dial="keep sets the number of slots",
)


@final
@dataclass(frozen=True, kw_only=True)
class Sound(CachePolicy):
    """Keep the longest keys.

    Args:
        keep: The dial.
    """

    card: ClassVar[Card] = CARD

    def evict(self, view):
        score = view.keys.float().norm(dim=-1)
        return Slots(top_slots(score, view.count, valid=view.valid))


@final
@dataclass(frozen=True, kw_only=True)
class Selects(CachePolicy):
    """Read the longest keys, and the own ones.

    Args:
        keep: The dial.
    """

    card: ClassVar[Card] = CARD

    def select(self, view):
        t = view.queries.shape[2]
        score = view.keys.float().norm(dim=-1)
        return (Read(top_slots(score, view.count, last=t, valid=view.valid)),)


def broken(**body):
    body = {"__module__": __name__, "__doc__": Sound.__doc__, "card": CARD, **body}
    return final(dataclass(frozen=True, kw_only=True)(type("Broken", (Sound,), body)))


def scored(score):
    """A broken policy whose slots are ranked by `score(view)`."""

    def evict(self, view):
        return Slots(top_slots(score(view), view.count, valid=view.valid))

    return broken(evict=evict)


def changed(**new):
    """A broken policy that writes something else into the slots that stay."""

    def evict(self, view):
        left = Sound.evict(self, view)
        return Slots(left.keep, **{name: make(view, left.keep) for name, make in new.items()})

    return broken(evict=evict)


def padding_stays(self, view):
    return Slots(torch.arange(view.count).expand(*view.tokens.shape[:2], -1))


def padding_votes(view):
    score = view.keys.float()
    return (score - score.mean(2, keepdim=True)).norm(dim=-1)


def place_counts(view):
    return view.keys.float().norm(dim=-1) * (torch.arange(len(view.keys)) - 0.5)[:, None, None]


def remembers(view):
    score = view.keys.float().norm(dim=-1)
    if SEEN:
        score = score * (SEEN[-1] + torch.arange(score.shape[-1])).sin()
    SEEN.append(score.abs().mean().item())
    return score


SEEN = []

CASES = {
    "count: one slot too many in each layer": (
        broken(evict=lambda self, view: Slots(torch.arange(view.count + 2).expand(2, 2, -1))),
        "count",
    ),
    "count: another share": (broken(shares=lambda self, views: [0.5] * len(views)), "count"),
    "padding: stays": (broken(evict=padding_stays), "padding"),
    "padding: votes": (scored(padding_votes), "padding"),
    "batch: depends on the place": (scored(place_counts), "batch"),
    "repeat: draws without a seed": (scored(lambda view: torch.rand(view.tokens.shape)), "repeat"),
    "leak: remembers the last text": (scored(remembers), "leak"),
    "precision: not finite": (
        changed(keys=lambda view, keep: view.keys[:, :, : keep.shape[-1]] / 0),
        "precision",
    ),
}


@pytest.mark.parametrize(("cls", "name"), CASES.values(), ids=CASES)
def test_broken_policy_is_caught(cls, name):
    result = checks.one(cls, name)
    assert result.outcome == "failed"
    assert "Error" not in result.message


@pytest.mark.parametrize("name", checks.CACHE)
@pytest.mark.parametrize("cls", [Sound, Selects])
def test_sound_policy_passes(cls, name):
    assert checks.one(cls, name) == checks.CheckResult(name, "passed")


def test_policies_get_their_own_checks():
    assert checks.names(Sound) == (*checks.DECLARATION, *checks.CACHE)


def test_identity_catches_a_policy_that_acts_at_keep_one(monkeypatch):
    def attend(self, call):
        return call.plain() * (1 + 1e-6)

    monkeypatch.setattr(caching.Caching, "attend", attend)
    assert "changes the output" in checks.one(Sound, "identity").message


def test_leak_catches_a_cache_that_is_held(monkeypatch):
    held, traced = [], caching.traced

    def hoard(layers, read, selects):
        held.append(layers)
        return traced(layers, read, selects)

    monkeypatch.setattr(caching, "traced", hoard)
    assert "referred to" in checks.one(Sound, "leak").message


def test_restore_catches_attributes_left_behind(monkeypatch):
    monkeypatch.setattr(caching.Caching, "detach", lambda self: None)
    assert "attributes" in checks.one(Sound, "restore").message


def test_restore_catches_hooks_left_behind(monkeypatch):
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "remove", lambda self: None)
    assert "hooks" in checks.one(Sound, "restore").message


def test_restore_catches_another_config(monkeypatch):
    def detach(self):
        for handle in self._handles:
            handle.remove()
        for module in (self._decoder, *self._attentions.values()):
            module.__dict__.pop("_tokenry", None)

    monkeypatch.setattr(caching.Caching, "detach", detach)
    assert "config" in checks.one(Sound, "restore").message


def test_a_check_that_never_fails_here_does_not_exist():
    assert {name for _, name in CASES.values()} | {"identity", "restore"} == set(checks.CACHE)
