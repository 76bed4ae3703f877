"""Find methods: by name in the families' lists, ours and those of installed packages."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tokenry.card import FAMILIES
from tokenry.errors import TokenryError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from tokenry.method import Method

M = TypeVar("M", bound="Method")

ENTRY_POINTS = "tokenry.methods"
"""A package joins with `[project.entry-points."tokenry.methods"] name = "pkg.module:Class"`."""

_FILE = Path(__file__).with_name("catalog.json")
_LISTED = 9
"""Most names that a message lists one by one."""
_WORD = re.compile(r"(?!(?:True|False|None)$)[^\W\d][\w-]*")


@lru_cache(maxsize=1)
def cards() -> tuple[dict[str, Any], ...]:
    """Every card of this package as plain data, without importing torch."""
    return tuple(json.loads(_FILE.read_text(encoding="utf-8")))


def card(slug: str) -> dict[str, Any]:
    """The card of one method as plain data; of an installed package's method too.

    Raises:
        UnknownNameError: If no method has this name.
    """
    for entry in cards():
        if entry["slug"] == slug:
            return dict(entry)
    return find(slug).card.to_dict()


def names(family: str | None = None) -> tuple[str, ...]:
    """The names of all methods, or of one family, without importing torch.

    Methods of installed packages come last; their family is not known before they load.
    """
    ours = tuple(c["slug"] for c in cards() if family in (None, c["family"]))
    return ours if family else ours + tuple(sorted(_guests()))


def find(slug: str) -> type[Method]:
    """The class of a method.

    Args:
        slug: Its name, as in `names()`.

    Raises:
        UnknownNameError: If no method has this name; the message holds the nearest ones.
        TokenryError: If an installed package's method cannot be loaded.
    """
    for entry in cards():
        if entry["slug"] == slug:
            module = f"tokenry.{entry['family']}.{slug.replace('-', '_')}"
            found: type[Method] = getattr(importlib.import_module(module), entry["class"])
            return found
    if slug in _guests():
        return _load_guest(slug)
    hint = "`tokenry list` shows all."
    if ":" in slug:
        hint = (
            "A class of your own is handed over as an instance, or gets a name by an entry point "
            "of the group tokenry.methods; only `tokenry check` reads package.module:Class."
        )
    raise UnknownNameError("method", slug, names(), hint)


def make(text: str, /, **settings: Any) -> Method:
    """A configured method, from its name or from `name(setting=value, ...)`.

    Args:
        text: As in `pitome(margin=0.5)`; values are Python's literals, and words need no quotes.
        **settings: Further settings.

    Raises:
        UnknownNameError: If there is no such method or setting; the message holds the nearest ones.
        UsageError: If the text cannot be read, or a value is given twice or out of range.

    >>> make("pitome(margin=.5, schedule=linear)", keep=0.6).describe()
    "PiToMe(schedule='linear', margin=0.5, keep=0.6)"
    """
    from tokenry.method import settings as declared

    slug, inside = parse(text)
    cls = find(slug)
    known = [setting.name for setting in declared(cls)]
    for name in (*inside, *settings):
        if name not in known:
            hint = f"`tokenry show {slug}` lists all."
            raise UnknownNameError(f"{slug}: the setting", name, known, hint)
        if name in inside and name in settings:
            raise UsageError(
                f"method {text!r}: {name} is given inside the parentheses and outside them; "
                "leave one out."
            )
    return cls(**inside, **settings)


def configured(
    given: str | M, contract: type[M] | tuple[type[M], ...], who: str, /, **settings: Any
) -> M:
    """A method of one contract: from its name, or the instance as it is.

    Args:
        given: A name, alone or with settings as `make` reads them, or a configured instance.
        contract: What it has to be; one of them when there are several.
        who: The caller, for messages.
        **settings: Further settings of a method that is given by name.

    Raises:
        UnknownNameError: If there is no such method or setting; the message holds the nearest ones.
        UsageError: If it is of another contract, or settings are given beside an instance.

    >>> from tokenry.method import Chunker
    >>> configured("fixed-chunks(size=50)", Chunker, "cut", overlap=10).describe()
    'FixedChunks(size=50, overlap=10)'
    """
    contracts = contract if isinstance(contract, tuple) else (contract,)
    kind = find(parse(given)[0]) if isinstance(given, str) else type(given)
    if not issubclass(kind, contracts):
        raise UsageError(f"{who}: {_refused(given, contracts)}")
    if isinstance(given, str):
        return cast("M", make(given, **settings))
    if settings:
        raise UsageError(
            f"{who}: {given.describe()} is configured already; set {', '.join(settings)} on it "
            "instead."
        )
    return given


def _refused(given: Any, contracts: tuple[type[Method], ...]) -> str:
    """Why it is not of these contracts, and what is."""
    if isinstance(given, type) and issubclass(given, contracts):
        return f"{given.__name__} is a class; give {given.card.slug!r} or an instance."
    fits = [cls.card for cls in classes() if issubclass(cls, contracts)]
    families = list(dict.fromkeys(card.family for card in fits))
    if len(fits) <= _LISTED:
        hint = f"give {_either(card.slug for card in fits)}"
    elif len(families) == 1:
        hint = f"`tokenry list --family {families[0]}` shows what is"
    else:
        hint = f"`tokenry list --family F`, with {_either(families)} for F, shows what is"
    return f"{_written(given)} is no {_either(one.noun for one in contracts)}; {hint}."


def _written(given: Any) -> str:
    """What a person gave, as a message shows it."""
    from tokenry.method import Method

    if isinstance(given, str):
        return repr(given)
    if isinstance(given, Method):
        return given.describe()
    return (given if isinstance(given, type) else type(given)).__name__


def _either(names: Iterable[str]) -> str:
    """Names joined by commas, the last by `or`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings in `name(setting=value, ...)`; nothing is evaluated.

    Raises:
        UsageError: If the text does not have this form.

    >>> parse("tome(schedule=ratio)")
    ('tome', {'schedule': 'ratio'})
    """
    slug, bracket, inside = text.strip().partition("(")
    if text.count("(") != text.count(")") or (bracket and not inside.endswith(")")):
        raise UsageError(
            f"method {text!r}: the parentheses do not match; write name(setting=value, ...)."
        )
    settings: dict[str, Any] = {}
    for part in split(inside[:-1]):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals):
            raise UsageError(
                f"method {text!r}: {part!r} does not name its setting; write setting=value, as "
                f"`tokenry show {slug.strip()}` lists them."
            )
        if name in settings:
            raise UsageError(f"method {text!r}: {name} is given twice; leave one out.")
        try:
            settings[name] = value if _WORD.fullmatch(value) else ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise UsageError(
                f"method {text!r}: {part!r} is not a plain value; give a number, a word, True, "
                "False or a tuple."
            ) from None
    return slug.strip(), settings


def split(text: str, mark: str = ",") -> list[str]:
    """The parts of a text between commas, or other marks, that no bracket and no quotation holds.

    >>> split("tome, pitome(margin=0.5, schedule=(8, 8))")
    ['tome', 'pitome(margin=0.5, schedule=(8, 8))']
    >>> split("prompt-lookup+snapkv(keep=5e+1)", "+")
    ['prompt-lookup', 'snapkv(keep=5e+1)']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == mark and not depth:
            parts.append("")
            continue
        else:
            depth = max(0, depth + (letter in "([{") - (letter in ")]}"))
        parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def classes() -> tuple[type[Method], ...]:
    """Every method class of this package, from the families' `__all__`; imports torch."""
    found = []
    for family in FAMILIES:
        if importlib.util.find_spec(f"tokenry.{family}") is not None:
            module = importlib.import_module(f"tokenry.{family}")
            found += [getattr(module, name) for name in module.__all__]
    return tuple(found)


def entries() -> list[dict[str, Any]]:
    """The content of `catalog.json`, made from the cards."""
    return [{"class": cls.__name__, **cls.card.to_dict()} for cls in classes()]


def render(content: list[dict[str, Any]]) -> str:
    """`catalog.json` as text."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _guests() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _load_guest(slug: str) -> type[Method]:
    from tokenry.method import Method

    point = _guests()[slug]
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise TokenryError(
            f"method {slug!r}: {point.value}, which an installed package names, cannot be "
            f"loaded: {error}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise TokenryError(f"method {slug!r}: {point.value} is not a subclass of tokenry's Method.")
    if found.card.slug != slug:
        raise TokenryError(
            f"method {slug!r}: {point.value} calls itself {found.card.slug!r} on its card; "
            "entry point and card must agree."
        )
    return found
