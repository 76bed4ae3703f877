"""Checks that read the class alone: card, settings, bounds, docstring. No model runs."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re
import sys
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Method, Setting, alternatives, settings

M = TypeVar("M", bound=Method)

_PLACEHOLDERS = ("pending", "todo", "tbd", "fixme", "xxx")


def card_complete(cls: type[Method]) -> str:
    """A card of its own, with no placeholder left in it."""
    card = cls.__dict__.get("card")
    if not isinstance(card, Card):
        return f"{cls.__name__} has no card of its own: card: ClassVar[Card] = Card(...)."
    for path, text in _texts(card.to_dict(), "card"):
        if text.strip().lower().rstrip(".") in _PLACEHOLDERS:
            return f"{path} is {text!r}: a placeholder."
    if not (card.is_baseline or card.venue):
        return "card: a published system states its venue."
    return ""


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")


def frozen_dataclass(cls: type[Method]) -> str:
    """Concrete, final, frozen and keyword-only: settings that nobody changes later."""
    if inspect.isabstract(cls):
        return f"{cls.__name__} is abstract: {', '.join(sorted(cls.__abstractmethods__))} missing."
    parameters = cls.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        return f"{cls.__name__} is not decorated with @dataclass(frozen=True, kw_only=True)."
    free = [field.name for field in dataclasses.fields(cls) if not field.kw_only]
    if free:
        return f"{', '.join(free)} can be given without a name: kw_only=True is missing."
    # typing.final leaves no mark on Python 3.10.
    if sys.version_info >= (3, 11) and not getattr(cls, "__final__", False):
        return f"{cls.__name__} is not decorated with @final."
    extra = set(vars(cls())) - {field.name for field in dataclasses.fields(cls)}
    return f"instances carry more than settings: {', '.join(sorted(extra))}." if extra else ""


def settings_annotated(cls: type[Method]) -> str:
    """Every setting says what it is, has a default, and is bounded when it is a number."""
    for setting in settings(cls):
        if setting.default is dataclasses.MISSING:
            return f"{setting.name} has no default."
        numeric = any(kind in (int, float) for kind in alternatives(setting.kind))
        if numeric and setting.bound is None:
            return f"{setting.name} is a number without a bound: add In(low, high)."
    return ""


def bounds_reject(cls: type[Method]) -> str:
    """Every wrong value is refused with who, which setting, which value, what is allowed."""
    for setting in settings(cls):
        for value in wrong_values(setting):
            try:
                cls(**{setting.name: value})
            except UsageError as error:
                lacking = _lacking(str(error), cls, setting, value)
                if lacking:
                    return f"the message for {setting.name}={value!r} lacks {lacking}: {error}"
            else:
                return f"{setting.name}={value!r} is accepted; allowed is {setting.allowed}."
    return ""


def _lacking(message: str, cls: type[Method], setting: Setting, value: Any) -> str:
    if cls.__name__ not in message:
        return "the class"
    if f"{setting.name}={value!r}" not in message:
        return "setting and value"
    if setting.allowed not in message and str(setting.bound) not in message:
        return f"what is allowed ({setting.allowed})"
    return ""


def wrong_values(setting: Setting) -> list[Any]:
    """Values that a setting must refuse, made from its annotation.

    >>> from tokenry.method import In
    >>> wrong_values(Setting("keep", float, In(0, 1, open="left"), "a share", 1.0))
    [0, -1, -5e-324, 2, 1.0000000000000002, nan, inf, -inf, True, 'no such value', None, ()]
    """
    kinds = alternatives(setting.kind)
    wrong: list[Any] = []
    for kind in kinds:
        if kind in (int, float):
            wrong += _wrong_numbers(setting, kind)
        elif typing.get_origin(kind) is tuple:
            item = dataclasses.replace(setting, kind=typing.get_args(kind)[0])
            wrong += [(value,) for value in wrong_values(item)]
    if float not in kinds and int in kinds:
        wrong.append(0.5)
    if bool not in kinds:
        wrong.append(True)
    if str not in kinds:
        wrong.append("no such value")
    if type(None) not in kinds:
        wrong.append(None)
    if not any(typing.get_origin(kind) is tuple for kind in kinds):
        wrong.append(())
    return wrong


def _wrong_numbers(setting: Setting, kind: type) -> list[float]:
    bound = setting.bound
    wrong: list[float] = []
    if bound is not None:
        ends = ((bound.low, -1, ("left", "both")), (bound.high, 1, ("right", "both")))
        for end, step, opens in ends:
            if math.isinf(end):
                continue
            wrong += [end] if bound.open in opens else []
            wrong.append(end + step)
            wrong += [math.nextafter(end, step * math.inf)] if kind is float else []
    if kind is float:
        wrong += [math.nan, math.inf, -math.inf]
    return wrong


def docstring_complete(cls: type[Method]) -> str:
    """One summary line, every setting under Args and nothing else, and the source."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    summary, _, rest = text.partition("\n")
    if not summary.endswith(".") or summary.startswith(f"{cls.__name__}(") or len(summary) > 100:
        return "the docstring does not begin with one sentence on one line."
    if rest and not rest.startswith("\n"):
        return "the docstring has no empty line after its first sentence."
    block = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", rest, re.MULTILINE)
    documented = re.findall(r"^ {4}(\w+):", block.group(1), re.MULTILINE) if block else []
    declared = [setting.name for setting in settings(cls)]
    for name in declared:
        if name not in documented:
            return f"{name} is not described under Args."
    for name in documented:
        if name not in declared:
            return f"Args describes {name}, which is no setting."
    if not cls.card.is_baseline and not re.search(r"^Source: \S", rest, re.MULTILINE):
        return 'no line "Source: authors year, section" names the paper.'
    return ""


def pickles(cls: type[Method]) -> str:
    """Instances survive pickling and copying as equals, and hash alike."""
    for method in variants(cls):
        twins = pickle.loads(pickle.dumps(method)), copy.deepcopy(method)  # noqa: S301 - our own
        for twin in twins:
            if twin != method or hash(twin) != hash(method):
                return f"{method.describe()} comes back as {twin!r}."
    return ""


def variants(cls: type[M], **fixed: Any) -> list[M]:
    """The default, and one instance per other choice of each setting that is a choice."""
    found = [cls(**fixed)]
    for setting in settings(cls):
        for kind in alternatives(setting.kind):
            choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
            choices = (False, True) if kind is bool else choices
            found += [
                cls(**{**fixed, setting.name: choice})
                for choice in choices
                if choice != setting.default and setting.name not in fixed
            ]
    return found
