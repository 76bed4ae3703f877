"""A language model's advice on what fits a column of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from tokenry.method.linker import Referee, Scores
from tokenry.ops.questions import NONE, Column, describes, which
from tokenry.ops.verdicts import Group, shifts, tournaments, unshifted


class Adviser:
    """Asks a language model what fits a column, and nothing twice.

    Args:
        referee: The model.
        group: Texts in one question of a tournament.
        shifted: Ask once for each cyclic shift of the options, so that no place is preferred.
    """

    def __init__(self, referee: Referee, *, group: int = 5, shifted: bool = True) -> None:
        self._referee, self._group, self._shifted = referee, group, shifted
        self._answers: dict[str, Float[np.ndarray, "_"]] = {}

    def written(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """The first line of what follows each prompt."""
        found = self._referee.write(prompts, tokens)
        return [(text.strip().splitlines() or [""])[0] for text in found]

    def fits(self, columns: Sequence[Column], texts: Sequence[str]) -> Scores:
        """The probability that each text describes its column."""
        prompts = [describes(one, text) for one, text in zip(columns, texts, strict=True)]
        found = self._asked(prompts, lambda new: self._referee.yes(new)[:, None])
        return np.array([answer[0] for answer in found])

    def choose(self, fields: Sequence[tuple[Column, Sequence[str]]]) -> list[dict[str, float]]:
        """A tournament of different texts for each column; the score of each of them."""

        def ask(questions: list[tuple[int, Group]]) -> list[Float[np.ndarray, "_"]]:
            asked: list[list[str]] = []
            for number, group in questions:
                column, texts = fields[number]
                options = [*(texts[one] for one in group), NONE]
                orders = shifts(len(options))[: None if self._shifted else 1]
                asked.append([which(column, [options[i] for i in order]) for order in orders])
            for size in sorted({len(group) + 1 for _, group in questions}):
                pairs = zip(asked, questions, strict=True)
                rows = [row for row, (_, group) in pairs if len(group) + 1 == size]
                options_of = partial(self._referee.options, count=size)
                self._asked([prompt for row in rows for prompt in row], options_of)
            return [unshifted(np.array([self._answers[one] for one in row])) for row in asked]

        found = tournaments([range(len(texts)) for _, texts in fields], self._group, ask)
        return [
            {texts[at]: score for at, score in scores.items()}
            for (_, texts), scores in zip(fields, found, strict=True)
        ]

    def best(
        self, columns: Sequence[Column], options: Sequence[Sequence[str]], choose: bool
    ) -> list[str]:
        """The option that fits each column best; nothing where none does."""
        if choose:
            scores = self.choose(list(zip(columns, options, strict=True)))
        else:
            pairs = zip(columns, options, strict=True)
            asked = [(column, text) for column, some in pairs for text in some]
            fit = iter(self.fits([one for one, _ in asked], [text for _, text in asked]).tolist())
            scores = [{text: next(fit) for text in some} for some in options]
        best = [max(some, key=some.__getitem__, default="") for some in scores]
        return [
            text if text and some[text] >= 0.5 else ""
            for text, some in zip(best, scores, strict=True)
        ]

    def _asked(
        self, prompts: Sequence[str], ask: Callable[[list[str]], Float[np.ndarray, "m c"]]
    ) -> list[Float[np.ndarray, "_"]]:
        new = [one for one in dict.fromkeys(prompts) if one not in self._answers]
        if new:
            self._answers.update(zip(new, ask(new), strict=True))
        return [self._answers[one] for one in prompts]
