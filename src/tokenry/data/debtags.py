"""Packages of Debian with the facets that people gave them, from a package index."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenry.data.files import read_bounded
from tokenry.errors import DataError

_LARGEST = 2**28
_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """One package.

    Attributes:
        name: Its name.
        text: What it is, in a line or several.
        section: Where the archive keeps it.
        tags: Its facets, as `works-with::audio`, in the order of the alphabet.
    """

    name: str
    text: str
    section: str
    tags: tuple[str, ...]

    def facet(self, name: str) -> tuple[tuple[str, ...], ...]:
        """The labels of one facet, as paths from the facet to the tag.

        >>> Package("gimp", "an editor", "graphics", ("works-with::image:raster",)).facet(
        ...     "works-with"
        ... )
        (('works-with', 'image', 'raster'),)
        """
        found = (tag.partition("::") for tag in self.tags)
        return tuple((name, *value.split(":")) for facet, _, value in found if facet == name)


def debtags(index: str | os.PathLike[str]) -> tuple[Package, ...]:
    """Read the tagged packages of a package index, each name once, in the order of the alphabet.

    Args:
        index: A `Packages` file of a Debian archive, or what `apt-cache dumpavail` prints.

    Raises:
        DataError: If the file cannot be read, or holds no tagged packages.
    """
    path = Path(index)
    data = read_bounded(path, str(path), _LARGEST, f"more than {_LARGEST:,}; give one index.")
    found = {one.name: one for one in _packages(data.decode("utf-8", errors="replace"))}
    if not found:
        raise DataError(
            f"{path}: holds no tagged packages; give a Packages file of Debian, or what "
            "`apt-cache dumpavail` prints."
        )
    return tuple(found[name] for name in sorted(found))


def _packages(text: str) -> Iterator[Package]:
    for entry in text.split("\n\n"):
        fields = dict(_FIELD.findall(entry))
        tags = sorted({tag.strip() for tag in fields.get("Tag", "").split(",") if "::" in tag})
        if tags and fields.get("Package"):
            yield Package(
                name=fields["Package"],
                text=" ".join(fields.get("Description", "").split()),
                section=fields.get("Section", ""),
                tags=tuple(tags),
            )
