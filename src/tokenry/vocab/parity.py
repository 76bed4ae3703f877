"""Parity: what a text costs in tokens, and how much more it costs in one language than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Float, Int

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, In, Judge, Usage, Vocab

_RESAMPLES = 2000


@final
@dataclass(frozen=True, kw_only=True)
class Parity(Judge):
    r"""Counts what texts cost: bytes per token, tokens per word, split words, evenness of use.

    Evenness is Rényi's efficiency $H_\alpha / \log v$ (Zouhar et al. 2023). With parallel texts,
    the premium of a category is its tokens over those of the reference for the same documents
    (Petrov et al. 2023), with an interval from resampling the documents.

    Args:
        parallel: Whether documents of the same name say the same in each category.
        reference: The category that others are measured against; "en" if there is one and none is
            named, else the one with the fewest tokens.
        alpha: Order of Rényi's entropy.
        seed: Of the resampling.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="parity",
        name="Parity",
        title="Bytes per token, fertility, Rényi efficiency, and the premium of each language",
        summary="Says what texts cost in tokens, and which languages pay more for the same.",
        family="vocab",
        have="a tokenizer and texts, parallel ones for premiums",
        want="to know what each language costs",
        dial="keep does not apply: a judge changes nothing",
        differs=(
            "Words stand between blanks; where a language writes none, figures per word say "
            "nothing.",
        ),
    )

    parallel: Annotated[bool, "whether documents of one name say the same in each category"] = False
    reference: Annotated[str, "the category that others are measured against"] = ""
    alpha: Annotated[float, In(0, 100), "the order of Rényi's entropy"] = 2.5
    seed: Annotated[int, In(0, 2**32 - 1), "the seed of the resampling"] = 0

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Costs of all texts and of each category.

        Raises:
            UsageError: If there is no text, the reference is none of its categories, or documents
                that should be parallel share no name.
        """
        if not usage:
            raise UsageError("Parity: there is no text; give at least one category.")
        figures = self._figures(vocab, usage)
        for one in usage if len(usage) > 1 else ():
            found = self._figures(vocab, [one])
            figures |= {f"{name}/{one.category}": figure for name, figure in found.items()}
        if self.parallel:
            figures |= self._premiums(usage)
        return Findings(figures=figures)

    def _figures(self, vocab: Vocab, usage: Sequence[Usage]) -> dict[str, Figure]:
        counts = np.sum([one.counts for one in usage], axis=0)
        tokens = int(counts.sum())
        if not tokens:
            raise UsageError("Parity: no token was written; give texts to write.")
        size, characters, blank, whole, split = (
            sum(getattr(one, name) for one in usage)
            for name in ("size", "characters", "blank_words", "whole_words", "split_words")
        )
        silent = [token for token, spelled in enumerate(vocab.spelled) if spelled is None]
        words = max(1, whole + split)
        return {
            "bytes per token": Figure(value=size / tokens, unit="bytes per token", better="high"),
            "characters per token": Figure(
                value=characters / tokens, unit="characters per token", better="high"
            ),
            "tokens per word": Figure(
                value=tokens / max(1, blank), unit="tokens per word", better="low"
            ),
            "whole words": Figure(
                value=100 * whole / words, unit="% of words in one token", better="high"
            ),
            "coverage": Figure(
                value=100 * (1 - int(counts[silent].sum()) / tokens),
                unit="% of tokens that are known",
                better="high",
            ),
            "vocabulary used": Figure(
                value=100 * int((counts > 0).sum()) / len(vocab), unit="% of the vocabulary"
            ),
            "evenness": Figure(
                value=renyi_efficiency(counts, len(vocab), self.alpha),
                unit="Rényi efficiency",
                better="high",
            ),
        }

    def _premiums(self, usage: Sequence[Usage]) -> dict[str, Figure]:
        by_name = {one.category: _by_document(one) for one in usage}
        reference = self.reference or ("en" if "en" in by_name else "")
        if reference not in by_name and reference:
            raise UsageError(
                f"Parity: reference={reference!r} is no category; there are "
                f"{', '.join(map(repr, by_name))}."
            )
        names = sorted(set.intersection(*map(set, by_name.values())))
        if not names or len(usage) < 2:
            raise UsageError(
                "Parity: parallel=True, but no document has the same name in all categories; give "
                "each category files of the same names, or leave parallel out."
            )
        tokens = {
            category: np.array([found[name] for name in names], dtype=float)
            for category, found in by_name.items()
        }
        reference = reference or min(tokens, key=lambda category: float(tokens[category].sum()))
        draws = _draws(len(names), self.seed)
        return {
            f"premium/{category}": _ratio(mine, tokens[reference], draws)
            for category, mine in tokens.items()
        }


def renyi_efficiency(counts: Int[np.ndarray, "_"], size: int, alpha: float) -> float:
    """Rényi's entropy of the shares of tokens over that of even use; 1 is the most.

    >>> renyi_efficiency(np.array([5, 5, 5, 5]), 4, 2.5)
    1.0
    """
    shares = counts[counts > 0] / counts.sum()
    if alpha == 1:
        bits = -(shares * np.log(shares)).sum()
    else:
        bits = np.log((shares**alpha).sum()) / (1 - alpha)
    return round(float(bits / np.log(max(size, 2))), 12)


def _by_document(usage: Usage) -> dict[str, int]:
    """Tokens of each document."""
    found: dict[str, int] = {}
    lengths = () if usage.lengths is None else usage.lengths[:, 1].tolist()
    for name, tokens in zip(usage.names, lengths, strict=True):
        found[name] = found.get(name, 0) + tokens
    return found


def _draws(n: int, seed: int) -> Int[np.ndarray, "r n"]:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)


def _ratio(
    mine: Float[np.ndarray, "_"], other: Float[np.ndarray, "_"], draws: Int[np.ndarray, "_ _"]
) -> Figure:
    """The ratio of sums, with its interval over resampled documents."""
    ratios = (draws @ mine) / np.maximum(draws @ other, 1)
    value = float(mine.sum() / other.sum())
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Figure(
        value=value,
        unit="times the tokens of the reference",
        better="low",
        low=min(value, float(low)),
        high=max(value, float(high)),
    )
