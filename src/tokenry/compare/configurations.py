"""Which methods at which keep: from what the user wrote to what is run."""

from __future__ import annotations

import hashlib
import inspect
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
        methods: The method, or those of a stack; none for the untouched model.
    """

    label: str
    keep: float
    identity: str
    methods: tuple[Method, ...]

    def __str__(self) -> str:
        return " + ".join(m.describe() for m in self.methods) or "the untouched model"


REFERENCE = Configuration(UNTOUCHED, 1.0, UNTOUCHED, ())


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
    for given in [methods] if isinstance(methods, str) else methods:
        stack, keep = _stack(given, who)
        dials = any(map(_has_dial, stack))
        shares = (keep,) if keep else dial if dials else (1.0,)
        tried = [(_described(stack, share), share) for share in shares]
        for info in {info.label: info for info, _ in tried}.values():
            if any(info.label == other.label for other in infos):
                raise UsageError(f"{who}: the method {info.label!r} is given twice.")
            infos.append(info)
        for info, share in tried:
            made, reason = _at(stack, share)
            if made:
                identity = "+".join(map(_identity, info.stack or (info,), made))
                chosen.append(Configuration(info.label, share, identity, made))
            else:
                skipped.append(Skipped(info.label, share, reason))
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


def _identity(info: MethodInfo, method: Method) -> str:
    digest = source_digest(type(method))
    return f"{info.module}:{info.cls}({info.settings})#{digest}{_weights_of(method)}"


def _weights_of(method: Method) -> str:
    """A digest of the weights in a folder that a method's encoder names.

    Tuned again, they are another encoder under the same name.
    """
    named = getattr(method, "encoder", None)
    folder = Path(named).expanduser() if isinstance(named, str) and named else None
    if folder is None or not folder.is_dir():
        return ""
    total = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as data:
            while part := data.read(2**20):
                total.update(part)
    return f"@{total.hexdigest()}"


def _at(stack: Sequence[Any], keep: float) -> tuple[tuple[Method, ...], str]:
    """The methods at this keep; none, and why, if one cannot be."""
    try:
        return tuple(replace(one, keep=keep) if _has_dial(one) else one for one in stack), ""
    except UsageError as error:
        return (), str(error)


def _has_dial(method: Method) -> bool:
    return any(s.name == "keep" for s in settings(type(method)))


def _stack(given: Any, who: str) -> tuple[tuple[Method, ...], float | None]:
    """The methods of a stack, mostly one, and the keep that stands in the name of one of many."""
    if isinstance(given, str):
        given = catalog.split(given, "+")
    parts = given if isinstance(given, list | tuple) else [given]
    settings = [catalog.parse(part)[1] if isinstance(part, str) else {} for part in parts]
    if len(parts) == 1 and "keep" in settings[0]:
        raise UsageError(
            f"{who}: {parts[0]!r} sets keep, which {who}'s own keep sets for every method; "
            "leave it out of the parentheses."
        )
    stack = tuple(_method(part, who) for part in parts)
    if len(stack) != 1 and not any(kind.takes(stack) for kind in KINDS.values()):
        names = " and ".join(one.card.slug for one in stack) or "nothing"
        raise UsageError(
            f"{who}: the stack of {names} cannot be combined: methods for the same model exclude "
            "each other, but one drafter goes with one cache policy. Give them one by one."
        )
    keep = next((inside["keep"] for inside in settings if "keep" in inside), None)
    return stack, None if keep is None else float(keep)


def _method(given: Any, who: str) -> Method:
    if isinstance(given, str) and given == UNTOUCHED:
        raise UsageError(
            f"{who}: {UNTOUCHED!r} is the untouched model, which always runs; leave it out."
        )
    contracts = tuple(one for kind in KINDS.values() for one in kind.contracts)
    method: Method = catalog.configured(given, contracts, who)
    return method


def _contract(cls: type[Method]) -> str:
    """The name of the class below `Method` that says what it answers."""
    return next(base.__name__ for base in reversed(cls.__mro__) if base in Method.__subclasses__())


def _described(stack: Sequence[Method], keep: float) -> MethodInfo:
    """What is known of a method; of a stack the keep too, which is part of its name."""
    if len(stack) == 1:
        return _info(stack[0], None)
    parts = tuple(_info(one, keep) for one in stack)
    cards = [part.card for part in parts]
    texts = {
        name: " + ".join(dict.fromkeys(filter(None, (str(card[name] or "") for card in cards))))
        for name in ("slug", "title", "summary", "dial", "arxiv", "venue", "code")
    }
    lists = {name: [x for card in cards for x in card[name]] for name in ("claims", "differs")}
    needs = next((card["needs"] for card in cards if card["needs"] != "nothing"), "nothing")
    name = " + ".join(
        f"{part.card['name']}{part.label.removeprefix(part.card['slug'])}" for part in parts
    )
    years = [card["year"] for card in cards if card["year"]]
    facts = {"name": name, "needs": needs, "year": max(years, default=None)}
    facts["exact"] = all(card["exact"] for card in cards)
    return MethodInfo(
        label="+".join(part.label for part in parts),
        cls="",
        module="",
        settings="",
        listed=False,
        card={**cards[0], **texts, **lists, **facts},
        stack=parts,
        dial=False,
    )


def _info(method: Method, keep: float | None) -> MethodInfo:
    """What is known of a method; its keep is no setting unless it is given."""
    changed = [
        f"{s.name}={getattr(method, s.name)!r}"
        for s in settings(type(method))
        if s.name != "keep" and getattr(method, s.name) != s.default
    ]
    if keep is not None and _has_dial(method):
        changed.append(f"keep={keep!r}")
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
