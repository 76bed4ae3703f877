"""Which methods at which keep: from what the user wrote to what is run."""

from __future__ import annotations

import hashlib
import inspect
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenry import catalog
from tokenry.compare.kinds import KINDS
from tokenry.compare.records import UNTOUCHED, MethodInfo, Skipped
from tokenry.errors import UsageError
from tokenry.method import Method, settings


@dataclass(frozen=True, slots=True)
class Configuration:
    """One thing to run.

    Attributes:
        label: Name of the method in the results.
        keep: The dial.
        identity: What the method is called in the store: its class, settings and source code.
        method: The method; None for the untouched model.
    """

    label: str
    keep: float
    identity: str
    method: Method | None

    def __str__(self) -> str:
        return "the untouched model" if self.method is None else self.method.describe()


REFERENCE = Configuration(UNTOUCHED, 1.0, UNTOUCHED, None)


def keeps(keep: Any, who: str = "compare") -> tuple[float, ...]:
    """The values of the dial, checked, without repeats.

    Raises:
        UsageError: If one is not a number in (0, 1].
    """
    values = keep if isinstance(keep, Iterable) and not isinstance(keep, str) else (keep,)
    found = []
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 < value <= 1):
            raise UsageError(
                f"{who}: keep={value!r} is outside (0, 1]; keep is the share of tokens that is "
                "really processed."
            )
        found.append(float(value))
    if not found:
        raise UsageError(f"{who}: keep is empty; give at least one share in (0, 1].")
    return tuple(dict.fromkeys(found))


def configure(
    methods: Any, dial: Sequence[float], who: str = "compare"
) -> tuple[list[MethodInfo], list[Configuration], list[Skipped]]:
    """The methods, everything to run with the untouched model first, and what cannot be run.

    Args:
        methods: Names, as in "pitome" or "pitome(margin=0.5)", configured instances, or lists
            (stacks) of them.
        dial: Values of keep; they replace the one of an instance.
        who: The verb, for messages.

    Raises:
        UnknownNameError: If there is no such method or setting.
        UsageError: If a method is given twice, is not a method, or cannot be compared.
    """
    infos: list[MethodInfo] = []
    chosen, skipped = [REFERENCE], []
    for method in [_method(m, who) for m in ([methods] if isinstance(methods, str) else methods)]:
        info = _info(method)
        if any(info.label == other.label for other in infos):
            raise UsageError(f"{who}: the method {info.label!r} is given twice.")
        infos.append(info)
        identity = f"{info.module}:{info.cls}({info.settings})#{source_digest(type(method))}"
        for keep in dial if _has_dial(method) else (1.0,):
            made, reason = _at(method, keep)
            if made is None:
                skipped.append(Skipped(info.label, keep, reason))
            else:
                chosen.append(Configuration(info.label, keep, identity, made))
    if not infos:
        raise UsageError(f"{who}: methods is empty; `tokenry list` shows what there is.")
    return infos, chosen, skipped


def source_digest(cls: type) -> str:
    """A digest of a class's source, so that results of older code are not taken for its own.

    A class whose source cannot be read, such as one typed at a prompt, gets a new digest each
    time: its results are never reused.
    """
    try:
        return hashlib.sha256(inspect.getsource(cls).encode()).hexdigest()[:12]
    except (OSError, TypeError):
        return secrets.token_hex(6)


def _at(method: Any, keep: float) -> tuple[Method | None, str]:
    """The method at this keep, or why it cannot be."""
    if not _has_dial(method):
        return method, ""
    try:
        return replace(method, keep=keep), ""
    except UsageError as error:
        return None, str(error)


def _has_dial(method: Method) -> bool:
    return any(s.name == "keep" for s in settings(type(method)))


def _method(given: Any, who: str) -> Method:
    if isinstance(given, list | tuple):
        parts = [_method(part, who) for part in given]
        if len(parts) != 1:
            names = " and ".join(part.card.slug for part in parts) or "nothing"
            raise UsageError(
                f"{who}: the stack of {names} cannot be combined: methods that remove tokens "
                "from the same model exclude each other. Give them one by one."
            )
        return parts[0]
    if isinstance(given, str) and given == UNTOUCHED:
        raise UsageError(
            f"{who}: {UNTOUCHED!r} is the untouched model, which always runs; leave it out."
        )
    if isinstance(given, str) and "keep" in catalog.parse(given)[1]:
        raise UsageError(
            f"{who}: {given!r} sets keep, which {who}'s own keep sets for every method; "
            "leave it out of the parentheses."
        )
    method: Any = catalog.make(given) if isinstance(given, str) else given
    contracts: Any = tuple(kind.contract for kind in KINDS.values())
    if isinstance(method, type) and issubclass(method, Method):
        raise UsageError(
            f"{who}: {method.__name__} is a class; give {method.card.slug!r} or an instance."
        )
    if not isinstance(method, contracts):
        does = " nor ".join(kind.does for kind in KINDS.values())
        families = " or ".join(kind.family for kind in KINDS.values())
        raise UsageError(
            f"{who}: {type(method).__name__} does not {does}; `tokenry list --family F`, with "
            f"{families} for F, shows the methods that do."
        )
    found: Method = method
    return found


def _contract(cls: type[Method]) -> str:
    """The name of the class below `Method` that says what it answers."""
    return next(base.__name__ for base in reversed(cls.__mro__) if base in Method.__subclasses__())


def _info(method: Method) -> MethodInfo:
    changed = [
        f"{s.name}={getattr(method, s.name)!r}"
        for s in settings(type(method))
        if s.name != "keep" and getattr(method, s.name) != s.default
    ]
    inside = ", ".join(changed)
    slug = method.card.slug
    return MethodInfo(
        label=f"{slug}({inside})" if inside else slug,
        cls=type(method).__qualname__,
        module=type(method).__module__,
        settings=inside,
        listed=slug in catalog.names() and catalog.find(slug) is type(method),
        card=method.card.to_dict(),
        dial=_has_dial(method),
        contract=_contract(type(method)),
    )
