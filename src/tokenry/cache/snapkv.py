"""SnapKV: the last queries of the prompt say what the answer will look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool1d

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.attention import by_key_head, column_mass
from tokenry.ops.slots import reachable, top_slots


@final
@dataclass(frozen=True, kw_only=True)
class SnapKV(CachePolicy):
    r"""Keep the slots that a window of last queries attends to, with their neighbours.

    The score of a slot is the attention it gets from the last `last` queries, averaged over them
    and over the query heads of its group, then smoothed over `pool` neighbours. The window itself
    stays.

    Args:
        keep: Share of the full cache's slots that is held.
        last: How many last queries look, and stay (paper: observation window).
        pool: Over how many neighbours scores are averaged; odd (paper: kernel size).

    Raises:
        UsageError: If a setting is out of range.

    >>> SnapKV(keep=0.25, last=16).least
    17

    Source: Li et al. 2024, section 4.
    """

    card: ClassVar[Card] = Card(
        slug="snapkv",
        name="SnapKV",
        title="SnapKV: LLM Knows What You are Looking for Before Generation",
        summary="Keeps what the end of the prompt attends to; strong when the question is there.",
        family="cache",
        have="a long prompt that ends with the question",
        want="a cache cut for that question, at the cost of a few rows of attention",
        dial="keep sets the number of slots held, window included (paper: max capacity)",
        year=2024,
        arxiv="2404.14469",
        venue="NeurIPS 2024",
        code="https://github.com/FasterDecoding/SnapKV",
        claims=(
            Claim(
                paper="Prompts of 16k tokens answered from 1,024 slots with little loss.",
                effect="With the question at the end, more right answers than with a window.",
                test="tests/cache/test_references.py::"
                "test_the_question_at_the_end_finds_its_answer",
                measured="17 of 24 hidden numbers found at keep=0.25 with last=16 (14 with "
                "last=32), 1 with sinks and a window, 23 with the full cache (SmolLM2-135M, some "
                "430 tokens of Python's language reference).",
            ),
        ),
        differs=(
            "The cache is cut while decoding too; the paper cuts once, after the prompt.",
            "With shared key heads the query heads of a group vote together, so that memory is "
            "really saved.",
        ),
    )

    last: Annotated[int, In(1, 100_000), "how many last queries look, and stay"] = 32
    pool: Annotated[int, In(1, 999), "over how many neighbours scores are averaged; odd"] = 5

    @property
    def window(self) -> int:
        """The queries that look."""
        return self.last

    @property
    def least(self) -> int:
        """The window and one more slot."""
        return self.last + 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool % 2 == 0:
            raise UsageError(
                f"SnapKV: pool={self.pool} is even, but a slot stands in the middle of the "
                "neighbours that it is averaged over; give an odd number."
            )

    def evict(self, view: KVView) -> Slots:
        """Keep the window and the slots it attends to, `view.count` in all."""
        g, rows = view.keys.shape[1], view.query_tokens
        allowed = reachable(view.tokens, rows, view.valid)
        bias = None if view.size is None else view.size.log()
        mass = column_mass(
            view.queries, view.keys, view.scale, allowed, rows >= 0, bias, view.weighing
        )
        score = by_key_head(mass, g).mean(2)
        real = torch.ones_like(score) if view.valid is None else view.valid.to(score.dtype)
        score = self._smooth(score) / self._smooth(real).clamp(min=1 / self.pool)
        return Slots(top_slots(score, view.count, last=self.last, valid=view.valid))

    def _smooth(self, score: Float[Tensor, "b g s"]) -> Float[Tensor, "b g s"]:
        """Sum over the neighbours, over `pool`; those beyond the ends count nothing."""
        return avg_pool1d(score, self.pool, 1, self.pool // 2)
