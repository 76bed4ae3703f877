"""Lexinvariant language models: token embeddings drawn anew for every text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, RowSampler


@final
@dataclass(frozen=True, kw_only=True)
class Lexinvariant(RowSampler):
    r"""Reads and writes every text with Gaussian vectors that are drawn for it.

    For each text $E \sim N(0, 1/d)$, one row per token, is drawn; a token is read as its row, and
    the logits are $h E^T$ with the same draw. Nothing can be learned about a token by itself, so
    that renaming all tokens renames the predictions: $p(\pi(x)) = p(x)$.

    With `share` below one, each token of each text gets a drawn row with that probability and its
    learned one otherwise, a regulariser in training (the paper's lexinvariance regularization).

    Args:
        share: The paper's probability that a token's embedding is random.
        special: Whether tokens that stand for no text keep their learned rows.
        seed: Of the draws.

    Source: https://arxiv.org/abs/2305.16349, sections 2 and 4.

    >>> source = Generator().manual_seed(0)
    >>> learned, special = torch.zeros(5, 64), torch.tensor([True, False, False, False, False])
    >>> rows = Lexinvariant().rows(learned, special, 2, source)
    >>> rows.shape, bool((rows[:, 0] == 0).all()), round(float(rows[:, 1:].norm(dim=-1).mean()), 1)
    (torch.Size([2, 5, 64]), True, 1.0)
    """

    card: ClassVar[Card] = Card(
        slug="lexinvariant",
        name="Lexinvariant LM",
        title="Lexinvariant Language Models",
        summary="Draws the embeddings of all tokens anew for every text; a substitution cipher "
        "is read like plain text.",
        family="vocab",
        have="a causal model to train, on symbols that mean nothing by themselves",
        want="predictions that do not depend on what the symbols are called",
        dial="no dial: the paper has none",
        needs="training",
        year=2023,
        arxiv="2305.16349",
        venue="NeurIPS 2023",
        claims=(
            Claim(
                paper="Predictions are equivariant under any renaming of the symbols.",
                effect="The loss on a substitution cipher is that on the plain text, while the "
                "cipher breaks a model with learned embeddings.",
                test="tests/vocab/test_lexinvariant.py::"
                "test_claim_a_cipher_is_read_like_plain_text",
                measured="3.220 nats per letter on plain text, 3.215 on the cipher (standard error "
                "0.007); with learned embeddings 1.99 and 5.00. Two layers, width 64, Python's "
                "reference as letters, trained for 300 and 150 steps.",
            ),
            Claim(
                paper="The loss falls with the length of the context.",
                effect="Letters late in a text cost less than the first ones.",
                test="tests/vocab/test_lexinvariant.py::"
                "test_claim_what_was_read_tells_what_symbols_mean",
                measured="3.34 nats for the first 12 letters, 3.19 for the last 24 of 96; uniform "
                "guesses cost 3.30. The same model.",
            ),
            Claim(
                paper="With characters the gap to a standard model falls below one (in units of "
                "perplexity ratio) within 512 tokens; symbols are deciphered from the hidden "
                "states; synthetic look-ups are solved about four times as often.",
                effect="The gap closes with context, a probe names frequent letters, and look-ups "
                "succeed more often than with learned embeddings.",
                not_shown="A model that trains in a minute learns little more than how frequent "
                "each symbol of a text is: 3.23 nats where the standard model needs 2.16, a "
                "probe names 10 to 11 % of the letters and 24 to 29 % of the spaces, and 4.6 % of "
                "look-ups are right, chance being 3.7. Trained on look-ups themselves, 3,000 steps "
                "of 64, 10.7 % against 30.7 with learned embeddings (recipes/lexinvariant_toy.py). "
                "The paper trains 150 million parameters for 250,000 steps.",
            ),
        ),
        differs=(
            "Texts of a batch that are equal share a draw, so that the beams of a prompt can be "
            "reordered.",
            "Tokens that stand for no text keep their learned rows unless special=False.",
        ),
    )

    share: Annotated[float, In(0, 1), "the share of tokens that get drawn rows"] = 1.0
    special: Annotated[bool, "whether tokens that stand for no text keep their learned rows"] = True
    seed: Annotated[int, In(0, 2**63 - 1), "the seed of the draws"] = 0

    def rows(
        self,
        learned: Float[Tensor, "v d"],
        special: Bool[Tensor, " v"],
        count: int,
        source: Generator,
    ) -> Float[Tensor, "b v d"]:
        """Drawn rows, and the learned ones where those are kept."""
        v, d = learned.shape
        drawn = torch.randn(count, v, d, device=source.device, generator=source).to(learned)
        kept = torch.rand(count, v, device=source.device, generator=source) >= self.share
        if self.special:
            kept |= special
        return torch.where(kept[..., None], learned, drawn / d**0.5)
