"""The contract of rankers by labels: records with labels in several views in, scores out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tokenry.method.base import Method

Label = tuple[str, ...]
"""A path from the broadest label to the finest: ("works-with", "works-with::audio")."""
Views = Sequence[Collection[Label]]
"""What one record is labelled with, a collection for each view."""


@dataclass(frozen=True, kw_only=True)
class ViewRanker(Method):
    """Scores records by the labels that they share with a query, view by view."""

    noun: ClassVar[str] = "ranker of views"

    @abstractmethod
    def score(self, queries: Sequence[Views], records: Sequence[Views]) -> Float[np.ndarray, "q d"]:
        """How alike each query and each record are, between 0 and 1.

        Raises:
            UsageError: If the records do not have as many views as there are weights.
        """
