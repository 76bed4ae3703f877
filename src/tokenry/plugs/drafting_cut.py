"""Where drafts are laid on when a cache policy cuts what lies under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache

from tokenry.errors import UsageError
from tokenry.method import CachePolicy
from tokenry.plugs.caching import Caching
from tokenry.plugs.drafting_ground import Ground

_FURTHEST = 1025
"""No draft is deeper, whatever the policy allows."""


class CutGround(Ground):
    """A cache that a policy cuts, under the texts of a batch.

    The policy cuts when enough tokens have come in, and counts all texts of a batch together. So
    all advance by the same count, and never beyond the token after which it cuts: what it sees
    then is what it would have seen token by token.

    Args:
        model: The model.
        cache: Its cache, which the policy has seen.
        kwargs: What `generate` prepared for the model, without the cache.
        batch: Rows of the batch.
        caching: The policy on the model.

    Attributes:
        lengths: Tokens that each row has put in.
    """

    lockstep = True

    def __init__(
        self, model: Any, cache: Cache, kwargs: dict[str, Any], batch: int, caching: Caching
    ) -> None:
        super().__init__(model, cache, kwargs, batch)
        self._caching = caching

    def feed(
        self, tokens: Int[Tensor, "b t"], seen: Bool[Tensor, "b t t"]
    ) -> Float[Tensor, "b t v"]:
        """One pass over the roots and their trees; the scores after each token."""
        with self._caching.drafted(seen):
            return super().feed(tokens, seen)

    def _mask(self, seen: Bool[Tensor, "b t t"]) -> Tensor | None:
        """Which tokens are no padding; the policy knows what is left, and who sees whom."""
        if self._padding is None:
            return None
        more = self.lengths[0] + seen.shape[1] - self._padding.shape[1]
        return torch.nn.functional.pad(self._padding, (0, more), value=True).long()

    def ahead(self) -> int:
        """Most tokens of a text that a pass may take in with the result of one by one."""
        return self._caching.ahead(self._cache, _FURTHEST)

    def keep(self, slots: Sequence[Sequence[int]]) -> None:
        """Of the last pass keep in each row these tokens, 0 being the root; the rest goes."""
        m = max(map(len, slots))
        # A row that has ended keeps what the others advance by, of no matter what.
        stay = [[*row, *[row[-1]] * (m - len(row))] for row in slots]
        self._caching.settle(torch.tensor(stay))
        self.lengths = [n + m for n in self.lengths]

    def drop(self, counts: Sequence[int]) -> None:
        """Let go of so many tokens at the end as every row may."""
        least = min(counts)
        if least:
            self._cache.crop(-least)
            self.lengths = [n - least for n in self.lengths]


def refuse_together(drafter: str, policy: CachePolicy, batch: int) -> None:
    """Refuse a batch whose texts a policy does not cut each by itself.

    Raises:
        UsageError: If it is one.
    """
    if batch > 1 and policy.keep < 1 and type(policy).shares is not CachePolicy.shares:
        name = type(policy).__name__
        raise UsageError(
            f"{drafter}: {name} shares its slots out among the layers by all texts of a batch, "
            "those that have ended included, so that drafts could change the others; generate "
            f"one text at a time, or take a policy that cuts all layers alike."
        )
