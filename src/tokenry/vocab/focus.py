"""FOCUS: a new token is a sparse mix of the tokens that both vocabularies have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import EmbeddingRows, In, Move, VocabMap, WordVectors
from tokenry.method.blends import Blend, blended, shared
from tokenry.ops.simplex import sparsemax

_AT_ONCE = 1024  # tokens whose scores against all shared ones exist at once


@final
@dataclass(frozen=True, kw_only=True)
class Focus(VocabMap):
    r"""Copy shared tokens, and build every other one from those that stand in similar places.

    Vectors $a$ of the target's tokens are learned from text of the target language, written with
    the target's tokens. A token x that the source lacks becomes
    $e_x = \sum_j w_j e_j$ with $w = \operatorname{sparsemax}_j \cos(a_x, a_j)$ over the shared
    tokens j. Tokens too rare for a vector are copied where shared, else drawn at random.

    Args:
        width: Numbers in a vector (paper: dimension).
        epochs: How often the text is read for them.
        least: How often a token occurs at least to get one (paper: min count).

    Source: Dobler and de Melo 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="focus",
        name="FOCUS",
        title="FOCUS: Effective Embedding Initialization for Monolingual Specialization of "
        "Multilingual Models",
        summary="Copies shared tokens and mixes the others from shared ones that stand in "
        "similar places of the target's text.",
        family="vocab",
        have="a model that knows the target language somewhat, and text of that language",
        want="a vocabulary of that language's own",
        dial="none",
        year=2023,
        arxiv="2305.14481",
        venue="EMNLP 2023",
        code="https://github.com/konstantinjdobler/focus",
        code_license="MIT",
        claims=(
            Claim(
                paper="XLM-R moved to vocabularies of German, Arabic, Swahili, Hausa and Xhosa: "
                "lower loss than WECHSEL and random rows, before and during further training.",
                effect="Fewer bits per byte before any training than WECHSEL by words, the mean, "
                "and random rows.",
                test="tests/vocab/test_move_claims.py::test_order_before_any_training",
                measured="TODO",
            ),
        ),
        differs=(
            "Tokens are shared where they spell the same bytes; the official code compares "
            "decoded texts, in which broken characters are all alike.",
            "Of several source tokens that spell the same, the first gives the row.",
        ),
    )

    width: Annotated[int, In(1, 10_000), "numbers in a token's vector"] = 100
    epochs: Annotated[int, In(1, 10_000), "how often the text is read for the vectors"] = 3
    least: Annotated[int, In(1, 1_000_000), "how often a token occurs at least to get one"] = 10

    def rows(self, move: Move) -> EmbeddingRows:
        """Copies of shared tokens, mixes of them, and random rows for the rare."""
        known = shared(move.source, move.target)
        if not known:
            raise UsageError(
                f"Focus: {move.source.name} and {move.target.name} share no token, so that there "
                "is nothing to mix; wechsel needs no shared tokens."
            )
        near = self._vectors(move)
        learned = near.any(-1)
        fixed = torch.tensor([token for token in known if learned[token]], dtype=torch.long)
        new = [t for t, a in enumerate(learned.tolist()) if a and t not in known]
        blends: list[Blend] = [()] * len(move.target)
        for token, parent in known.items():
            blends[token] = [(parent, 1.0)]
        if len(fixed):
            for start in range(0, len(new), _AT_ONCE):
                some = new[start : start + _AT_ONCE]
                weights = sparsemax(near[some] @ near[fixed].T)
                for token, row in zip(some, weights, strict=True):
                    blends[token] = _sparse(row, [known[j] for j in fixed.tolist()])
        return blended(move, blends)

    def _vectors(self, move: Move) -> Float[Tensor, "v e"]:
        """A unit vector per token of the target; zero where it is too rare."""
        words = move.target_words or self._learned(move)
        seen = [piece if piece in words.counts else "" for piece in move.target.pieces]
        found = torch.zeros(len(seen), words.vectors(seen[:1]).shape[1])
        places = [token for token, piece in enumerate(seen) if piece]
        found[places] = torch.tensor(words.vectors([seen[token] for token in places])).float()
        return normalize(found, dim=-1)

    def _learned(self, move: Move) -> WordVectors:
        pieces = move.target.pieces
        sentences = [
            [pieces[token] for token in ids] for ids in move.target.scribe.encode(move.target_texts)
        ]
        learning = {"width": self.width, "epochs": self.epochs, "least": self.least}
        return move.learned("Focus", sentences, **learning)


def _sparse(weights: Float[Tensor, " k"], tokens: list[int]) -> Blend:
    """The weights that are not zero, largest first."""
    values, order = weights.sort(descending=True)
    count = int((values > 0).sum())
    pairs = zip(order[:count].tolist(), values[:count].tolist(), strict=True)
    return [(tokens[place], weight) for place, weight in pairs]
