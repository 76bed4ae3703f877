"""Where an example's pixels come from: encoded bytes, or something that makes them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tokenry.data.decode import decode
from tokenry.data.files import read_bounded

if TYPE_CHECKING:
    from PIL import Image


class Seen(NamedTuple):
    """What one full look at a picture tells."""

    digest: str
    notes: Mapping[str, str]


class Picture(ABC):
    """One picture, decoded anew at each call; `seen` looks at it once and remembers."""

    @abstractmethod
    def rgb(self) -> Image.Image:
        """Decode to RGB.

        Raises:
            DataError: the picture cannot be read.
        """

    @property
    @abstractmethod
    def seen(self) -> Seen:
        """The digest and the notes of a picture that can be decoded.

        Raises:
            DataError: the picture cannot be read.
        """


@dataclass(frozen=True)
class Encoded(Picture):
    """A picture in a file or a table's cell; its digest is over the bytes.

    Attributes:
        read: returns the bytes.
        name: what messages call it.
        max_pixels: the most pixels allowed.
    """

    read: Callable[[], bytes]
    name: str
    max_pixels: int

    def rgb(self) -> Image.Image:
        """Read and decode."""
        return decode(self.read(), self.name, self.max_pixels)[0]

    @cached_property
    def seen(self) -> Seen:
        """Read once, for the digest and the check both."""
        data = self.read()
        frames = decode(data, self.name, self.max_pixels, draft=True)[1]
        notes = {"frames": f"first of {frames}"} if frames > 1 else {}
        return Seen(hashlib.sha256(data).hexdigest(), notes)


@dataclass(frozen=True)
class Pixels(Picture):
    """A picture in memory; its digest is over the RGB pixels.

    Attributes:
        make: returns the RGB picture.
    """

    make: Callable[[], Image.Image]

    def rgb(self) -> Image.Image:
        """Make the picture."""
        return self.make()

    @cached_property
    def seen(self) -> Seen:
        """Make it once."""
        image = self.make()
        size = f"{image.width}x{image.height}:".encode()
        return Seen(hashlib.sha256(size + image.tobytes()).hexdigest(), {})


def read_file(path: Path, name: str, max_pixels: int) -> bytes:
    """Read a picture file that is no larger than its pixels could need.

    Raises:
        DataError: no such file, not a plain file, not readable, or too large.
    """
    most = max_pixels * 8 + 2**20  # 16-bit RGBA, not compressed, and its headers
    advice = f"more than {max_pixels:,} pixels can need; make it smaller, or raise max_pixels."
    return read_bounded(path, name, most, advice)
