"""Labelled pictures: one example, and a set of them that can be cut and hashed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tokenry.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from tokenry.data.pictures import Picture


@dataclass(frozen=True)
class Example:
    """One picture and what is known about it.

    Attributes:
        id: unique in its set and stable: relative path, vendor and code point, or index.
        label: the class or concept, if known.
        split: "train", "test", or None where the source does not say.
        domain: who drew or took it, if known; emoji: the vendor.
        meta: further text, for people.
        picture: where the pixels come from.
    """

    id: str
    label: str | None
    split: str | None
    domain: str | None
    meta: Mapping[str, str] = field(hash=False)
    picture: Picture = field(repr=False, compare=False)

    def image(self) -> Image.Image:
        """Decode the picture to RGB; nothing is kept.

        Raises:
            DataError: the file went away or changed since it was loaded.
        """
        return self.picture.rgb()


@dataclass(frozen=True, repr=False)
class ImageData:
    """A set of examples.

    Attributes:
        name: what tables and reports call it.
        examples: at least one, with distinct ids.
        license: under which licence the pictures come, or "not stated".
        source: where they come from.
    """

    name: str
    examples: tuple[Example, ...]
    license: str
    source: str

    def __post_init__(self) -> None:
        if not self.examples:
            raise DataError(f"{self.name}: holds no pictures; give at least one.")
        seen: set[str] = set()
        for example in self.examples:
            if example.id in seen:
                raise DataError(f"{self.name}: two pictures have the id {example.id!r}.")
            seen.add(example.id)

    def __repr__(self) -> str:
        parts = [f"{len(self)} pictures", f"{len(self.labels)} labels"]
        if self.domains:
            parts.append(f"domains {', '.join(self.domains)}")
        return f"ImageData({self.name!r}: {', '.join(parts)})"

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({e.label for e in self.examples if e.label is not None}))

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """The distinct domains, sorted."""
        return tuple(sorted({e.domain for e in self.examples if e.domain is not None}))

    @cached_property
    def hash(self) -> str:
        """A sha256 over ids, labels, splits, domains and picture contents, in order.

        A file counts by its bytes, a picture in memory by its RGB pixels. Each is read once:
        `load` already looked at the files, so that this reads none of them again.
        """
        total = hashlib.sha256()
        for e in self.examples:
            row = [e.id, e.label, e.split, e.domain, e.picture.seen.digest]
            total.update(json.dumps(row).encode() + b"\n")
        return total.hexdigest()

    def limit(self, n: int, seed: int = 0) -> ImageData:
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
            raise UsageError(f"limit: n={n} is below 1; it is the number of pictures to keep.")
        if n >= len(self):
            return self
        strata = _strata(self.examples, lambda e: (e.label or "", e.split or "", e.domain or ""))
        kept = _shares(self.examples, strata, n, seed)
        return self._only(e for i, e in enumerate(self.examples) if i in kept)

    def where(
        self,
        *,
        domain: str | Iterable[str] | None = None,
        split: str | Iterable[str] | None = None,
        label: str | Iterable[str] | None = None,
    ) -> ImageData:
        """Keep the examples that match every given field; a field takes one value or several.

        Raises:
            UnknownNameError: no example has the value.
            DataError: no example matches all fields.
        """
        kept: Sequence[Example] = self.examples
        for kind, wanted in (("domain", domain), ("split", split), ("label", label)):
            if wanted is None:
                continue
            allowed = {wanted} if isinstance(wanted, str) else set(wanted)
            known = {value for e in self.examples if (value := getattr(e, kind)) is not None}
            for name in sorted(allowed - known):
                raise UnknownNameError(kind, name, known, f"{self.name} has no such {kind}.")
            kept = [e for e in kept if getattr(e, kind) in allowed]
        return self._only(kept)

    def with_split(self, test_share: float, seed: int = 0) -> ImageData:
        """Divide into train and test anew, each label its share.

        Args:
            test_share: in (0, 1).
            seed: another seed, another division.

        Raises:
            UsageError: the share is outside (0, 1), or leaves train or test empty.
        """
        n = round(test_share * len(self)) if 0 < test_share < 1 else 0
        if not 0 < n < len(self):
            raise UsageError(
                f"with_split: test_share={test_share} of {len(self)} pictures leaves a part empty; "
                "give a share in (0, 1) that leaves both some."
            )
        test = _shares(self.examples, _strata(self.examples, lambda e: (e.label or "",)), n, seed)
        return self._only(
            replace(e, split="test" if i in test else "train") for i, e in enumerate(self.examples)
        )

    def _only(self, examples: Iterable[Example]) -> ImageData:
        return replace(self, examples=tuple(examples))


_Strata = dict[tuple[str, ...], list[int]]


def _strata(examples: Sequence[Example], key: Callable[[Example], tuple[str, ...]]) -> _Strata:
    strata: _Strata = defaultdict(list)
    for i, example in enumerate(examples):
        strata[key(example)].append(i)
    return strata


def _rank(seed: int, text: str) -> bytes:
    # A digest orders the same on every machine and release, which no random generator promises.
    return hashlib.sha256(f"{seed}:{text}".encode("utf-8", "backslashreplace")).digest()


def _shares(examples: Sequence[Example], strata: _Strata, n: int, seed: int) -> set[int]:
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
