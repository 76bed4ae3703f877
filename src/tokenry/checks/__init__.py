"""The common checks: what every method promises, tried on any class, ours or yours."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tokenry import catalog
from tokenry.checks import (
    caches,
    chunks,
    declaration,
    drafts,
    handling,
    judges,
    late,
    learners,
    linkers,
    moves,
    tokens,
)
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import (
    CachePolicy,
    Chunker,
    Drafter,
    Judge,
    LateScorer,
    Linker,
    Method,
    TokenizerTrainer,
    TokenReducer,
    VocabMap,
)

Outcome = Literal["passed", "failed", "expected failure"]
Check = Callable[[type[Any]], str]
"""Takes the class, returns what is wrong with it in a sentence, or nothing."""

DECLARATION: dict[str, Check] = {
    "card": declaration.card_complete,
    "frozen": declaration.frozen_dataclass,
    "settings": declaration.settings_annotated,
    "bounds": declaration.bounds_reject,
    "docstring": declaration.docstring_complete,
    "pickle": declaration.pickles,
}
"""Checks of every method."""

REDUCER: dict[str, Check] = {
    "identity": tokens.identity,
    "count": tokens.count,
    "protected": tokens.protected,
    "origins": tokens.origins,
    "padding": tokens.padding,
    "batch": tokens.batch,
    "repeat": tokens.repeat,
    "leak": tokens.leak,
    "restore": handling.restore,
    "precision": handling.precision,
    "gradient": handling.gradient,
    "deepcopy": handling.deepcopy,
    "state-dict": handling.state_dict,
    "compile": handling.compiled,
}
"""Further checks of a `TokenReducer`."""

CACHE: dict[str, Check] = {
    "identity": caches.identity,
    "count": caches.count,
    "padding": caches.padding,
    "batch": caches.batch,
    "repeat": caches.repeat,
    "leak": caches.leak,
    "restore": caches.restore,
    "precision": caches.precision,
}
"""Further checks of a `CachePolicy`."""

DRAFTER: dict[str, Check] = {
    "identity": drafts.identity,
    "budget": drafts.budget,
    "batch": drafts.batch,
    "repeat": drafts.repeat,
    "leak": drafts.leak,
    "restore": drafts.restore,
    "precision": drafts.precision,
}
"""Further checks of a `Drafter`."""

VOCAB_MAP: dict[str, Check] = {
    "shapes": moves.shapes,
    "provenance": moves.provenance,
    "repeat": moves.repeat,
    "untouched": moves.untouched,
    "precision": moves.precision,
}
"""Further checks of a `VocabMap`."""

JUDGE: dict[str, Check] = {
    "figures": judges.figures,
    "kinds": judges.kinds,
    "nothing": judges.nothing,
    "repeat": judges.repeat,
    "order": judges.order,
    "untouched": judges.untouched,
}
"""Further checks of a `Judge`."""

TRAINER: dict[str, Check] = {
    "size": learners.size,
    "repeat": learners.repeat,
    "written": learners.written,
    "saved": learners.saved,
    "nothing": learners.nothing,
    "untouched": learners.untouched,
}
"""Further checks of a `TokenizerTrainer`."""

CHUNKER: dict[str, Check] = {
    "covers": chunks.covers,
    "order": chunks.order,
    "size": chunks.size,
    "repeat": chunks.repeat,
}
"""Further checks of a `Chunker`."""

LATE: dict[str, Check] = {
    "shape": late.shape,
    "nothing": late.nothing,
    "queries": late.queries,
    "documents": late.documents,
    "repeat": late.repeat,
    "precision": late.precision,
}
"""Further checks of a `LateScorer`."""

LINKER: dict[str, Check] = {
    "scores": linkers.scores,
    "nearest": linkers.nearest,
    "portions": linkers.portions,
    "ties": linkers.ties,
    "order": linkers.order,
    "repeat": linkers.repeat,
    "itself": linkers.itself,
    "few": linkers.few,
    "parts": linkers.parts,
    "untouched": linkers.untouched,
}
"""Further checks of a `Linker`."""

_KINDS: dict[type[Method], dict[str, Check]] = {
    TokenReducer: REDUCER,
    CachePolicy: CACHE,
    Drafter: DRAFTER,
    VocabMap: VOCAB_MAP,
    Judge: JUDGE,
    TokenizerTrainer: TRAINER,
    Chunker: CHUNKER,
    LateScorer: LATE,
    Linker: LINKER,
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: Name of the check.
        outcome: Whether the method passed.
        message: What is wrong, or why the failure is expected; empty when it passed.
    """

    name: str
    outcome: Outcome
    message: str = ""


def check(method: str | type[Method]) -> list[CheckResult]:
    """Try every common check on a method.

    Args:
        method: The class, or where it is: `package.module:Class`; or the name of a method.

    Returns:
        One result per check, in the order of `names`. A failure that the class declares in
        `expected_failures` is an "expected failure"; one that is declared and passes is "failed".

    Raises:
        UsageError: If `method` is not a Method class, or cannot be imported.
        UnknownNameError: If no method has this name.
    """
    cls = load(method) if isinstance(method, str) else method
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise UsageError(f"check: {method!r} is not a subclass of tokenry.method.Method.")
    return [declared(cls), *(one(cls, name) for name in names(cls))]


def names(cls: type[Method]) -> tuple[str, ...]:
    """The names of the checks that apply to a class."""
    return tuple(_checks(cls))


def _checks(cls: type[Method]) -> dict[str, Check]:
    found = dict(DECLARATION)
    if cls.card.needs == "training":  # the tiny models have no landmarks, fillers or networks
        return found
    for kind, checks in _KINDS.items():
        if issubclass(cls, kind):
            found |= checks
    return found


def one(cls: type[Method], name: str) -> CheckResult:
    """Try one check.

    Raises:
        UnknownNameError: If no check of this class has this name.
    """
    if name not in names(cls):
        raise UnknownNameError("check", name, names(cls))
    found = _checks(cls)[name]
    try:
        with torch.random.fork_rng(devices=[]):
            message = found(cls)
    except Exception as error:  # whatever a foreign method raises is a finding
        message = f"{type(error).__name__}: {error}"
    reason = cls.expected_failures.get(name)
    if message:
        return CheckResult(name, "expected failure" if reason else "failed", reason or message)
    if reason:
        return CheckResult(
            name, "failed", f"passes, although it is declared to fail ({reason}); take that off."
        )
    return CheckResult(name, "passed")


def declared(cls: type[Method]) -> CheckResult:
    """Expected failures name checks that exist, with a reason each."""
    message = ""
    for name, reason in cls.expected_failures.items():
        if name not in names(cls):
            message = f"{name!r} is no check; there are {', '.join(names(cls))}."
        elif not (isinstance(reason, str) and len(reason.split()) > 2):
            message = f"the failure of {name!r} is declared without a reason."
    return CheckResult("expected-failures", "failed" if message else "passed", message)


def load(path: str) -> type[Method]:
    """The class at `package.module:Class`, or the method of that name.

    Raises:
        UsageError: If nothing can be imported from there.
        UnknownNameError: If no method has this name.
    """
    module, colon, name = path.partition(":")
    if not colon:
        return catalog.find(path)
    try:
        found: type[Method] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"check: {path!r} cannot be imported: {error}; give package.module:Class."
        ) from error
    return found
