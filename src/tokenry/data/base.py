"""What every set of examples can do: be counted, hashed, and cut to fewer."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from tokenry.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

Wanted = str | Iterable[str] | None


class Item(Protocol):
    """What an example of any kind has."""

    @property
    def id(self) -> str:
        """Unique in its set and stable."""

    @property
    def split(self) -> str | None:
        """The part, "train" or "test", if known."""

    @property
    def domain(self) -> str | None:
        """Where it comes from, if known."""


E = TypeVar("E", bound=Item)


@dataclass(frozen=True, repr=False)
class DataSet(ABC, Generic[E]):
    """A set of examples.

    Attributes:
        name: what tables and reports call it.
        examples: at least one, with distinct ids.
        license: under which licence they come, or "not stated".
        source: where they come from.
    """

    noun: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]  # what `limit` gives each its share of

    name: str
    examples: tuple[E, ...]
    license: str
    source: str

    def __post_init__(self) -> None:
        if not self.examples:
            raise DataError(f"{self.name}: holds no {self.noun}; give at least one.")
        seen: set[str] = set()
        for example in self.examples:
            if example.id in seen:
                raise DataError(f"{self.name}: two {self.noun} have the id {example.id!r}.")
            seen.add(example.id)

    def __repr__(self) -> str:
        parts = [f"{len(self)} {self.noun}", *self._facts()]
        if self.domains:
            parts.append(f"domains {', '.join(self.domains)}")
        return f"{type(self).__name__}({self.name!r}: {', '.join(parts)})"

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> E:
        return self.examples[index]

    def __iter__(self) -> Iterator[E]:
        return iter(self.examples)

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """The distinct domains, sorted."""
        return tuple(sorted({e.domain for e in self.examples if e.domain is not None}))

    @cached_property
    def hash(self) -> str:
        """A sha256 over all that a measurement depends on, in order."""
        total = hashlib.sha256()
        for example in self.examples:
            total.update(json.dumps(self._row(example)).encode() + b"\n")
        return total.hexdigest()

    def limit(self, n: int, seed: int = 0) -> Self:
        """Keep at most n examples, each stratum (label, split, domain) its share.

        The same seed keeps the same examples on every machine. With fewer places than strata,
        a label comes with all its domains before the next label comes.

        Args:
            n: at least 1.
            seed: another seed, another choice.

        Raises:
            UsageError: n is below 1.
        """
        if n < 1:
            raise UsageError(f"limit: n={n} is below 1; it is the number of {self.noun} to keep.")
        if n >= len(self):
            return self
        strata = group(self.examples, lambda e: tuple(getattr(e, f) or "" for f in self.fields))
        kept = shares(self.examples, strata, n, seed)
        return self._only(e for i, e in enumerate(self.examples) if i in kept)

    def _where(self, **fields: Wanted) -> Self:
        kept: Sequence[E] = self.examples
        for kind, wanted in fields.items():
            if wanted is None:
                continue
            allowed = {wanted} if isinstance(wanted, str) else set(wanted)
            known = {value for e in self.examples if (value := getattr(e, kind)) is not None}
            for name in sorted(allowed - known):
                raise UnknownNameError(kind, name, known, f"{self.name} has no such {kind}.")
            kept = [e for e in kept if getattr(e, kind) in allowed]
        return self._only(kept)

    def _only(self, examples: Iterable[E]) -> Self:
        return replace(self, examples=tuple(examples))

    @abstractmethod
    def _facts(self) -> list[str]:
        """Say what `repr` tells beside the number of examples."""

    @abstractmethod
    def _row(self, example: E) -> list[Any]:
        """List what the hash is made of; JSON can write it."""


Strata = dict[tuple[str, ...], list[int]]


def group(examples: Sequence[E], key: Callable[[E], tuple[str, ...]]) -> Strata:
    """Sort the examples' indices by a key."""
    strata: Strata = defaultdict(list)
    for i, example in enumerate(examples):
        strata[key(example)].append(i)
    return strata


def _rank(seed: int, text: str) -> bytes:
    # A digest orders the same on every machine and release, which no random generator promises.
    return hashlib.sha256(f"{seed}:{text}".encode("utf-8", "backslashreplace")).digest()


def shares(examples: Sequence[Item], strata: Strata, n: int, seed: int) -> set[int]:
    """Choose n indices by largest remainders; equal remainders go label by label."""
    total = len(examples)
    quota = {key: len(members) * n // total for key, members in strata.items()}
    by_rest = sorted(
        strata, key=lambda key: (-(len(strata[key]) * n % total), _rank(seed, key[0]), key)
    )
    for key in by_rest[: n - sum(quota.values())]:
        quota[key] += 1
    return {
        i
        for key, members in strata.items()
        for i in sorted(members, key=lambda i: _rank(seed, examples[i].id))[: quota[key]]
    }
