"""Labelled pictures: one example, and a set of them that can be cut and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from tokenry.data.base import DataSet, Wanted, group, shares
from tokenry.errors import UsageError

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
class ImageData(DataSet[Example]):
    """A set of pictures.

    `hash` is over ids, labels, splits, domains and picture contents: a file counts by its bytes, a
    picture in memory by its RGB pixels. Each is read once: `load` already looked at the files, so
    that this reads none of them again.

    Attributes:
        name: what tables and reports call it.
        examples: at least one, with distinct ids.
        license: under which licence the pictures come, or "not stated".
        source: where they come from.
    """

    noun: ClassVar[str] = "pictures"
    fields: ClassVar[tuple[str, ...]] = ("label", "split", "domain")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({e.label for e in self.examples if e.label is not None}))

    def where(
        self, *, domain: Wanted = None, split: Wanted = None, label: Wanted = None
    ) -> ImageData:
        """Keep the examples that match every given field; a field takes one value or several.

        Raises:
            UnknownNameError: no example has the value.
            DataError: no example matches all fields.
        """
        return self._where(domain=domain, split=split, label=label)

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
        test = shares(self.examples, group(self.examples, lambda e: (e.label or "",)), n, seed)
        return self._only(
            replace(e, split="test" if i in test else "train") for i, e in enumerate(self.examples)
        )

    def _facts(self) -> list[str]:
        return [f"{len(self.labels)} labels"]

    def _row(self, example: Example) -> list[Any]:
        e = example
        return [e.id, e.label, e.split, e.domain, e.picture.seen.digest]
