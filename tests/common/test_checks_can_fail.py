"""Each common check catches a method that is broken in its way, and passes a sound one."""

import sys
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, final

import pytest
import torch

from tokenry import check, checks
from tokenry.card import Card, Claim
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import In, Method, TokenReducer
from tokenry.ops.plan import Plan
from tokenry.plugs import reduction
from tokenry.plugs.trace import TokenState

CARD = Card(
    slug="sound",
    name="Sound",
    title="Drop the shortest rows",
    summary="A method that passes every check.",
    family="vision",
    have="a test",
    want="a control",
    dial="keep sets the number dropped per layer",
)


def drop_lowest(score, view):
    """Keep the protected rows and the `view.count` real ones of highest score, in order."""
    score = score.masked_fill(~view.valid, -torch.inf) if view.valid is not None else score
    score[:, : view.protected] = torch.inf
    return Plan(score.topk(view.count).indices.sort(-1).values)


@final
@dataclass(frozen=True, kw_only=True)
class Sound(TokenReducer):
    """Drop the shortest rows.

    Args:
        keep: The dial.
        sign: Which end goes.
    """

    card: ClassVar[Card] = CARD
    sign: Annotated[int, In(-1, 1), "which end goes"] = 1

    def reduce(self, x, view):
        return drop_lowest(self.sign * x.float().norm(dim=-1), view)


def broken(*, base=Sound, decorate=True, **body):
    """A copy of the sound method with some attributes replaced."""
    body = {"__module__": __name__, "__doc__": base.__doc__, "card": CARD, **body}
    cls = type("Broken", (base,), {key: value for key, value in body.items() if value is not None})
    return final(dataclass(frozen=True, kw_only=True)(cls)) if decorate else cls


def scored(score):
    """A broken method whose rows are ranked by `score(x, view)`."""
    return broken(reduce=lambda self, x, view: drop_lowest(score(x, view), view))


def card(**changes):
    known = {name: getattr(CARD, name) for name in ("name", "title", "summary", "have", "want")}
    return Card(**{**known, "slug": "sound", "family": "vision", "dial": "keep", **changes})


PAPER = {
    "arxiv": "2405.16148",
    "year": 2024,
    "claims": (Claim(paper="It works.", effect="It works.", not_shown="a toy"),),
}


def keeps_last(self, x, view):
    return Plan(torch.arange(x.shape[1] - view.count, x.shape[1]).expand(x.shape[0], -1))


def merges_into_class(self, x, view):
    b, n, _ = x.shape
    source = torch.arange(view.count, n).expand(b, -1)
    return Plan(torch.arange(view.count).expand(b, -1), source, torch.zeros_like(source))


def keeps_twice(self, x, view):
    rows = torch.arange(view.count)
    rows[-1] = rows[-2]
    return Plan(rows.expand(x.shape[0], -1))


def one_row_short(self, x, view):
    return Plan(torch.arange(view.count - 1).expand(x.shape[0], -1))


def longest(x, view):
    score = x.float().norm(dim=-1)
    score[:, : view.protected] = torch.inf
    return score.topk(view.count).indices.sort(-1).values


def remembers(self, x, view):
    score = x.float().norm(dim=-1)
    if SEEN:
        score = score * (SEEN[-1] + torch.arange(x.shape[1])).sin()
    SEEN.append(score.abs().mean().item())
    return drop_lowest(score, view)


SEEN = []


def compiles_differently(self, x, view):
    sign = -1 if torch.compiler.is_compiling() else 1
    return drop_lowest(sign * x.float().norm(dim=-1), view)


def halves_the_image(self, grid):
    return grid[0] // 2, grid[1] // 2


def wordless(self):
    if not 0 < self.keep <= 1:
        raise UsageError("no")


def cannot_be_copied(self, memo):
    raise TypeError("no copies")


def marked(self):
    object.__setattr__(self, "seen", 1)


UNBOUND = {"__annotations__": {"power": Annotated[float, "a power"]}, "power": 1.0}
UNEXPLAINED = {"__annotations__": {"power": float}, "power": 1.0}
NO_DEFAULT = {"__annotations__": {"power": Annotated[float, In(0, 1), "a power"]}}
POSITIONAL = {**UNBOUND, "power": field(default=1.0, kw_only=False)}
EXTRA_WORD = Sound.__doc__.replace("sign:", "sine: Nothing.\n        sign:")

CASES = {
    "card: none of its own": (broken(card=None), "card"),
    "card: a placeholder": (broken(card=card(summary="TODO")), "card"),
    "card: published without venue": (broken(card=card(**PAPER)), "card"),
    "frozen: not a dataclass of its own": (broken(decorate=False), "frozen"),
    "frozen: abstract": (broken(base=TokenReducer, __doc__="x"), "frozen"),
    "frozen: positional": (broken(**POSITIONAL), "frozen"),
    "frozen: more than settings": (broken(__post_init__=marked), "frozen"),
    "settings: no bound": (broken(**UNBOUND), "settings"),
    "settings: no explanation": (broken(**UNEXPLAINED), "settings"),
    "settings: no default": (broken(**NO_DEFAULT), "settings"),
    "bounds: accepts all": (broken(__post_init__=lambda self: None), "bounds"),
    "bounds: says nothing": (broken(__post_init__=wordless), "bounds"),
    "docstring: none": (broken(__doc__=None), "docstring"),
    "docstring: lacks a setting": (broken(__doc__="Drop.\n\nArgs:\n    keep: Dial."), "docstring"),
    "docstring: has one too many": (broken(__doc__=EXTRA_WORD), "docstring"),
    "docstring: no source": (broken(card=card(**PAPER, venue="X")), "docstring"),
    "docstring: two lines at once": (broken(__doc__="Drop.\nArgs:\n    keep: Dial."), "docstring"),
    "pickle: comes back as another": (
        broken(__reduce__=lambda self: (Sound, ())),
        "pickle",
    ),
    "identity: halves the image": (broken(input_grid=halves_the_image), "identity"),
    "count: removes nothing": (broken(layers=lambda self, depth: ()), "count"),
    "count: one row short": (broken(reduce=one_row_short), "count"),
    "protected: drops the class token": (broken(reduce=keeps_last), "protected"),
    "protected: merges into it": (broken(reduce=merges_into_class), "protected"),
    "origins: keeps a row twice": (broken(reduce=keeps_twice), "origins"),
    "padding: counts it": (
        scored(lambda x, view: (x.float() - x.float().mean(1, keepdim=True)).norm(dim=-1)),
        "padding",
    ),
    "padding: keeps it": (
        broken(reduce=lambda self, x, view: Plan(longest(x, view))),
        "padding",
    ),
    "batch: looks at the neighbours": (
        scored(lambda x, view: (x.float() - x.float().mean(0)).norm(dim=-1)),
        "batch",
    ),
    "batch: depends on the place": (
        scored(lambda x, view: torch.arange(len(x))[:, None].sub(0.5) * x.float().norm(dim=-1)),
        "batch",
    ),
    "repeat: draws without a seed": (
        scored(lambda x, view: torch.rand(x.shape[:2])),
        "repeat",
    ),
    "leak: remembers the last image": (broken(reduce=remembers), "leak"),
    "precision: only float32": (
        scored(lambda x, view: torch.from_numpy(x.detach().numpy()).norm(dim=-1)),
        "precision",
    ),
    "deepcopy: refused": (broken(__deepcopy__=cannot_be_copied), "deepcopy"),
    "compile: another rule": (broken(reduce=compiles_differently), "compile"),
}


PARAMETERS = [
    # Tracing through the shape checks takes seconds.
    pytest.param(*case, id=title, marks=[pytest.mark.slow] if case[1] == "compile" else [])
    for title, case in CASES.items()
]


@pytest.mark.parametrize(("cls", "name"), PARAMETERS)
def test_broken_method_is_caught(cls, name, request):
    if name == "compile":
        request.getfixturevalue("untyped")
    result = checks.one(cls, name)
    assert result.outcome == "failed"
    assert result.message


@pytest.mark.parametrize("name", [name for name in checks.names(Sound) if name != "compile"])
def test_sound_method_passes(name):
    assert checks.one(Sound, name) == checks.CheckResult(name, "passed")


@pytest.mark.slow
def test_sound_method_passes_everything(untyped):
    results = check(Sound)
    assert [result for result in results if result.outcome != "passed"] == []
    assert [result.name for result in results] == ["expected-failures", *checks.names(Sound)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing.final leaves no mark before 3.11")
def test_method_that_is_not_final_is_caught():
    cls = dataclass(frozen=True, kw_only=True)(broken(decorate=False, __final__=False))
    assert "@final" in checks.one(cls, "frozen").message


def unhook_only(self):
    for handle in self._handles:
        handle.remove()
    for module in (self._tower, *self._row.blocks(self._tower)):
        del module._tokenry


def test_restore_catches_attributes_left_behind(monkeypatch):
    monkeypatch.setattr(reduction.Reduction, "detach", lambda self: None)
    assert "attributes" in checks.one(Sound, "restore").message


def test_restore_catches_classes_left_behind(monkeypatch):
    monkeypatch.setattr(reduction.Reduction, "detach", unhook_only)
    assert "class" in checks.one(Sound, "restore").message


def test_restore_catches_hooks_left_behind(monkeypatch):
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "remove", lambda self: None)
    assert "hooks" in checks.one(Sound, "restore").message


def test_gradient_catches_a_cut(monkeypatch):
    apply = TokenState.apply
    monkeypatch.setattr(TokenState, "apply", lambda self, x, plan: apply(self, x.detach(), plan))
    assert "no gradient reaches" in checks.one(Sound, "gradient").message


def test_state_dict_catches_a_new_buffer(monkeypatch):
    put_on = reduction.Reduction._put_on

    def with_buffer(self):
        put_on(self)
        self._tower.register_buffer("extra", torch.zeros(1))

    monkeypatch.setattr(reduction.Reduction, "_put_on", with_buffer)
    assert "extra" in checks.one(Sound, "state-dict").message


def test_a_check_that_never_fails_here_does_not_exist():
    caught = {name for _, name in CASES.values()} | {"restore", "gradient", "state-dict"}
    assert caught == set(checks.names(Sound))


def test_expected_failure_is_reported_with_its_reason():
    cls = broken(reduce=keeps_last, expected_failures={"protected": "a toy without class tokens"})
    result = checks.one(cls, "protected")
    assert (result.outcome, result.message) == ("expected failure", "a toy without class tokens")


def test_expected_failure_that_passes_is_a_failure():
    cls = broken(expected_failures={"protected": "it was so once upon a time"})
    result = checks.one(cls, "protected")
    assert result.outcome == "failed"
    assert "it was so once upon a time" in result.message


@pytest.mark.parametrize("declared", [{"nonsense": "a good long reason"}, {"count": "hard"}])
def test_expected_failure_needs_a_check_and_a_reason(declared):
    (result, *_) = [checks.declared(broken(expected_failures=declared))]
    assert result.outcome == "failed"
    assert next(iter(declared)) in result.message


def test_methods_of_other_kinds_get_the_checks_of_every_method():
    @final
    @dataclass(frozen=True, kw_only=True)
    class Other(Method):
        """Do something that is no token reduction."""

        card: ClassVar[Card] = CARD

    assert [result.outcome for result in checks.check(Other)][:5] == ["passed"] * 5
    assert checks.names(Other) == tuple(checks.DECLARATION)
    with pytest.raises(UnknownNameError, match="check 'identity' is unknown"):
        checks.one(Other, "identity")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.such.module:Class", "cannot be imported"),
        ("tokenry.method:Missing", "cannot be imported"),
        ("tokenry.method:In", "not a subclass"),
        ("tomme", "nearest: tome"),
        (":x", "cannot be imported"),
    ],
)
def test_what_is_no_method_is_refused(path, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        check(path)


def test_a_method_is_found_by_path_and_by_name():
    assert checks.load("tokenry.vision.tome:ToMe") is checks.load("tome")
