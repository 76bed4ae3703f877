"""The contract of finders: from texts that cite something, learn to find others on its theme."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from tokenry.method.base import Method
from tokenry.method.chunker import Embed

Score = Callable[[Sequence[str]], Float[np.ndarray, "n"]]
Train = Callable[[Sequence[str], Bool[np.ndarray, "n"]], Score]
"""Trains a classifier on texts and whether each is on the theme."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Finder:
    """What was learned.

    Attributes:
        score: How likely each text is on the theme; higher is likelier.
        threshold: From which score on it is called so.
    """

    score: Score
    threshold: float

    def find(self, texts: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Which texts are on the theme."""
        return np.asarray(self.score(texts) >= self.threshold)


@dataclass(frozen=True, kw_only=True)
class ThemeFinder(Method):
    """Learns a theme from texts that are known to be on it, by a citation or a label."""

    noun: ClassVar[str] = "finder of themes"

    @abstractmethod
    def learn(
        self,
        texts: Sequence[str],
        on_theme: Sequence[bool],
        embed: Embed | None = None,
        train: Train | None = None,
    ) -> Finder:
        """A finder of further texts on the theme.

        Args:
            texts: Texts.
            on_theme: Which of them are on the theme.
            embed: Vectors of texts, for finders that read them.
            train: What trains a model on them, for finders that do.

        Raises:
            UsageError: If there are no texts of one kind, or something is missing that this
                finder needs.
        """
