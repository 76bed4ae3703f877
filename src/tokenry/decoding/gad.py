"""Generalized aggressive decoding: a block of tokens filled in at once, then verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from jaxtyping import Float
from torch import Tensor, nn

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Drafter, DraftView, In, TokenTree
from tokenry.ops.tree import chain


@final
@dataclass(frozen=True, kw_only=True)
class GAD(Drafter):
    r"""Draft a block by a model that fills in masks, all in one pass; the best token for each.

    By default a token is accepted when it is the model's own choice. With `top` and `gap` (GAD++)
    greedy search also accepts a token $y$ that is among the `top` best and close behind the first,
    $\log p[y] \ge \max \log p - \mathrm{gap}$: longer blocks, but the output is no longer the
    model's. Sampling stays exact with any setting.

    Args:
        budget: Tokens of a pass.
        filler: The model that fills in: an encoder-decoder over the same vocabulary, trained with
            `tokenry.plugs.filling.block_loss`, or its folder.
        block: Masks of a pass (paper: k).
        top: How many best tokens may be accepted (paper: beta).
        gap: How far behind the best one in log probability (paper: tau).

    Raises:
        UsageError: If a setting is out of range.

    >>> GAD(top=3, gap=1.0).exact
    False

    Source: Xia et al. 2022, sections 3 and 4.
    """

    card: ClassVar[Card] = Card(
        slug="gad",
        name="GAD",
        title="Speculative Decoding: Exploiting Speculative Execution for Accelerating Seq2seq "
        "Generation",
        summary="A second model fills in the next block of tokens at once; one pass verifies it.",
        family="decoding",
        have="a translation or summary model, and time to train a drafter for it",
        want="fewer passes also where nothing is copied",
        dial="none: output is unchanged with the defaults; block sets how many are filled in",
        needs="training",
        exact=False,
        year=2022,
        arxiv="2203.16487",
        venue="Findings of EMNLP 2023",
        code="https://github.com/hemingkx/GAD",
        claims=(
            Claim(
                paper="3 to 5 times faster on translation and summarisation, same quality.",
                effect="A filler distilled from the model has more than one token of a block "
                "accepted, at the same output.",
                test="tests/decoding/test_toy_seq2seq.py::test_a_distilled_filler_is_believed",
                measured="18.6 tokens of a pass accepted, 117 passes for 2,051 tokens, all 100 "
                "texts the same (BART of two layers that copies letters with edits; its filler "
                "begins as its copy and learns from 2,000 of its texts; "
                "recipes/aggressive_toy.py).",
            ),
            Claim(
                paper="GAD++ accepts longer blocks at the same BLEU.",
                effect="With top=3 and gap=2 fewer passes than with strict verification.",
                test="tests/decoding/test_toy_seq2seq.py::test_lenient_blocks_are_longer",
                measured="18.8 tokens of a pass accepted against 18.6, 113 passes against 117; not "
                "all texts the same (the same models).",
            ),
        ),
        differs=(
            "Glancing and label smoothing as in the paper, on the model's own greedy texts instead "
            "of the training targets.",
            "Texts of a batch are filled in one by one and advance by the smallest accepted count.",
            "Sampling is exact; top and gap are for greedy search.",
        ),
    )

    filler: Annotated[str | nn.Module | None, "the model that fills in masks, or its folder"] = None
    block: Annotated[int, In(1, 1023), "how many tokens are filled in at once"] = 25
    top: Annotated[int, In(1, 1_000_000), "how many best tokens may be accepted"] = 1
    gap: Annotated[float, In(0, 1_000_000), "how far behind the best in log probability"] = 0.0

    @property
    def exact(self) -> bool:
        """Whether only the model's own choice is accepted."""
        return self.top == 1 or self.gap == 0

    def draft(self, view: DraftView) -> TokenTree:
        """The best token for each mask of a block."""
        if view.fill is None:
            raise UsageError(
                "GAD: there is no model that fills in masks; give one, as in "
                "GAD(filler=model) or GAD(filler='folder')."
            )
        tokens = view.fill(min(self.block, view.count)).argmax(-1)
        return TokenTree(tokens, chain(len(tokens)))

    def accepts(self, scores: Float[Tensor, " v"], token: int) -> bool:
        """Whether a token is among the `top` best, and no more than `gap` behind the first."""
        better = int((scores > scores[token]).sum())
        return better < self.top and float(scores.max() - scores[token]) <= self.gap
