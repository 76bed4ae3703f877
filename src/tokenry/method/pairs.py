"""The contract of pair makers: records in, groups of the same thing out, and pairs to train on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tokenry.method.base import Method


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One text that may tell the same as others.

    Attributes:
        text: What is compared.
        title: What is paired: written independently of the others' titles.
        day: When it appeared, in days; None where that is not known.
    """

    text: str
    title: str = ""
    day: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Groups:
    """What a pair maker found.

    Attributes:
        edges: Pairs of records that are alike.
        labels: The group of each record; one that is like no other is a group of its own.
        pairs: Pairs of records whose titles mean the same and differ, to train on.
    """

    edges: Int[np.ndarray, "m 2"]
    labels: Int[np.ndarray, " n"]
    pairs: Int[np.ndarray, "k 2"]


@dataclass(frozen=True, kw_only=True)
class PairMaker(Method):
    """Finds records that tell the same, and pairs what their authors wrote about it."""

    noun: ClassVar[str] = "maker of pairs"

    @abstractmethod
    def group(
        self, records: Sequence[Record], vectors: Float[np.ndarray, "n d"] | None = None
    ) -> Groups:
        """Groups of records and pairs of titles.

        Args:
            records: The records.
            vectors: One of length one for each record's text, where meaning is compared.

        Raises:
            UsageError: If vectors are needed and not given.
        """
