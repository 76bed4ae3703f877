"""What a method is, how its settings are bounded, and the one dial."""

from __future__ import annotations

import types
import typing
from abc import ABC
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from tokenry.card import Card
from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class In:
    """A bound on a number, written in the annotation of a setting.

    Args:
        low: Smallest value.
        high: Largest value.
        open: Which ends do not belong to the range.

    >>> In(0, 1, open="left")
    (0, 1]
    >>> In(0, 1, open="left").holds(0.0)
    False
    """

    low: float
    high: float
    open: Literal["neither", "left", "right", "both"] = "neither"

    def holds(self, value: float) -> bool:
        """Whether `value` is in the range; NaN never is."""
        left = value > self.low if self.open in ("left", "both") else value >= self.low
        right = value < self.high if self.open in ("right", "both") else value <= self.high
        return left and right

    def __repr__(self) -> str:
        left = "(" if self.open in ("left", "both") else "["
        right = ")" if self.open in ("right", "both") else "]"
        low, high = (
            f"{end:.0f}" if float(end).is_integer() else f"{end:g}" for end in (self.low, self.high)
        )
        return f"{left}{low}, {high}{right}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a method, as its annotation declares it."""

    name: str
    kind: Any
    bound: In | None
    doc: str
    default: Any

    @property
    def allowed(self) -> str:
        """What may stand here, for messages and tables."""
        options = [o for o in alternatives(self.kind) if o is not type(None)]
        words = []
        for option in options:
            if typing.get_origin(option) is Literal:
                words += [repr(value) for value in typing.get_args(option)]
            elif typing.get_origin(option) is tuple:
                words.append(f"a tuple of {typing.get_args(option)[0].__name__}")
            else:
                words.append(
                    f"{option.__name__} in {self.bound}" if self.bound else option.__name__
                )
        return " or ".join(words)

    def check(self, owner: str, value: Any) -> None:
        """Raise UsageError unless `value` may stand here."""
        if not any(_fits(value, option) for option in alternatives(self.kind)):
            raise UsageError(
                f"{owner}: {self.name}={value!r} is not {self.allowed}; {self.name} is {self.doc}."
            )
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if self.bound and isinstance(number, int | float) and not self.bound.holds(number):
                raise UsageError(
                    f"{owner}: {self.name}={value!r} is outside {self.bound}; "
                    f"{self.name} is {self.doc}."
                )


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union type; of another type, the type itself."""
    union = (typing.Union, types.UnionType)
    return typing.get_args(kind) if typing.get_origin(kind) in union else (kind,)


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        # True equals 1, and is no number that anybody meant.
        return any(type(value) is type(o) and value == o for o in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return isinstance(value, tuple) and all(_fits(v, item) for v in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


@cache
def settings(cls: type[Method]) -> tuple[Setting, ...]:
    """The settings of a method class, read from its annotations.

    Raises:
        UsageError: If a field is not `Annotated[type, bound, "what it is"]`.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in fields(cls):
        hint = hints[field.name]
        kind, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        docs = [note for note in notes if isinstance(note, str)]
        bounds = [note for note in notes if isinstance(note, In)]
        if len(docs) != 1:
            raise UsageError(
                f"{cls.__name__}: {field.name} must be annotated as "
                'Annotated[type, In(low, high), "what it is"].'
            )
        bound = bounds[0] if bounds else None
        found.append(Setting(field.name, kind, bound, docs[0], field.default))
    return tuple(found)


@dataclass(frozen=True)
class Method(ABC):
    """A published system as settings and a rule; it holds no state and sees no model.

    A concrete method is a frozen, keyword-only dataclass with a class attribute `card`.
    Every field is `Annotated[type, In(low, high), "what it is"]`; the annotation is what
    checks the value, and what help texts and documentation are made from.
    """

    card: ClassVar[Card]
    noun: ClassVar[str] = "method"
    """What messages call a method of this contract; each contract has its own."""
    expected_failures: ClassVar[dict[str, str]] = {}
    """Common checks that this method does not pass, each with the reason."""

    def __post_init__(self) -> None:
        for setting in settings(type(self)):
            setting.check(type(self).__name__, getattr(self, setting.name))

    def describe(self) -> str:
        """The call that makes this method, with the settings that are not the defaults.

        The dial comes last, as people read it: `PiToMe(margin=0.5, keep=0.6)`.
        """
        changed = {s.name: getattr(self, s.name) for s in settings(type(self))}
        for setting in settings(type(self)):
            if changed[setting.name] == setting.default and setting.name != "keep":
                del changed[setting.name]
        order = sorted(changed, key=lambda name: name == "keep")
        return f"{type(self).__name__}({', '.join(f'{n}={changed[n]!r}' for n in order)})"


Keep = Annotated[
    float,
    In(0, 1, open="left"),
    "the share of tokens that is really processed, averaged over the layers",
]
