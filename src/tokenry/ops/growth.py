r"""Grow a tree of drafted tokens: the places that verification reaches most probably come first.

Below a node with the draft's distribution `D`, tokens `y_1, y_2, ...` are proposed one after the
other, none twice. If the model accepts each with the draft's own probability, it arrives at the
node with the *worth* `w` (the product of the probabilities on the way), at the place of `y_j` with
the *reach* `w (1 - D[y_1] - ... - D[y_{j-1}])`, and at `y_j` itself with `w D[y_j]`. No place is
reached more often than the one above it or before it, so the best places make a tree.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

Key = Literal["reach", "gain"]


def race(probs: Float[Tensor, "f v"], k: int) -> Int[Tensor, "f k"]:
    """Draw `k` tokens from each row one after the other, without putting back.

    The first arrivals of a race in which each token takes an exponential time at the rate of its
    probability.

    >>> race(torch.tensor([[0.0, 1.0]]), 2).tolist()
    [[1, 0]]
    """
    return (probs / torch.empty_like(probs).exponential_()).topk(k).indices


def places(
    probs: Float[Tensor, "f v"],
    worth: Float[Tensor, " f"],
    tokens: Int[Tensor, "f k"],
    key: Key,
    drawn: bool,
) -> tuple[Float[Tensor, "f k"], Float[Tensor, "f k"]]:
    """How promising the places under some nodes are, and what the tokens put there are worth.

    Args:
        probs: The draft's distribution at each node.
        worth: The worth of each node.
        tokens: What is proposed under it, in order.
        key: Whether a place counts by its reach, or by what the likeliest token left would be
            worth there; neither looks at the token that was put there by chance.
        drawn: Whether chance put the tokens in order; else the likeliest come first.

    Returns:
        The key of each place, never larger than the one before, and the worth of its token.
    """
    k = tokens.shape[1]
    chance = probs.gather(1, tokens)
    if key == "reach":
        left = 1 - pad(chance.cumsum(1)[:, :-1], (1, 0))
    elif not drawn:
        left = chance
    else:
        best = probs.topk(k)
        same = best.indices[:, :, None] == tokens[:, None]
        order = torch.where(same.any(2), same.int().argmax(2), k)
        taken = order.cummax(1).values
        turns = torch.arange(k, device=probs.device).expand_as(tokens).contiguous()
        left = best.values.gather(1, torch.searchsorted(taken, turns))
    left = torch.where(chance > 0, left.clamp(0, 1), 0).cummin(1).values
    return worth[:, None] * left, worth[:, None] * chance


class Growth:
    """A tree of up to `count` nodes that grows level by level and ends as the best places of all.

    Args:
        count: Most nodes.
        key: What a place counts by.
        drawn: Whether tokens are drawn at random; the likeliest are chosen otherwise.
        least: The smallest key of a place.
    """

    def __init__(self, count: int, key: Key, drawn: bool, least: float) -> None:
        self._count, self._key, self._drawn, self._least = count, key, drawn, least
        self._tokens = self._parents = self._asked = torch.zeros(0, dtype=torch.long)
        self._keys = self._worth = torch.zeros(0)
        self._new = torch.full((1,), -1)

    def extend(self, probs: Float[Tensor, "f v"]) -> bool:
        """Propose tokens under the nodes last asked about, at first under the root.

        Args:
            probs: The draft's distribution at each of them.

        Returns:
            Whether there are nodes to ask about: `asked` has them at its end.
        """
        if not len(self._keys):
            self._start(probs)
        k = min(self._count, probs.shape[1])
        tokens = race(probs, k) if self._drawn else probs.topk(k).indices
        above, worth = (pad(x, (0, 1), value=1.0)[self._new] for x in (self._keys, self._worth))
        keys, worths = places(probs, worth, tokens, self._key, self._drawn)
        keys = keys.minimum(above[:, None])  # equal but for rounding, and the parent comes first
        fit = (keys > 0) & (keys >= self._least)
        self._tokens = torch.cat([self._tokens, tokens[fit]])
        self._parents = torch.cat([self._parents, self._new[:, None].expand_as(tokens)[fit]])
        self._keys = torch.cat([self._keys, keys[fit]])
        self._worth = torch.cat([self._worth, worths[fit]])
        self._new = self._promising()
        self._asked = torch.cat([self._asked, self._new])
        return bool(len(self._new))

    def _start(self, probs: Float[Tensor, "1 v"]) -> None:
        self._keys = self._worth = probs.new_zeros(0)
        self._tokens, self._parents, self._asked, self._new = (
            x.to(probs.device) for x in (self._tokens, self._parents, self._asked, self._new)
        )

    def _best(self) -> Int[Tensor, " n"]:
        """The best places; of equal ones the higher, then the earlier."""
        return self._keys.argsort(descending=True, stable=True)[: self._count]

    def _promising(self) -> Int[Tensor, " f"]:
        """Nodes of the tree as it stands under which a place might be among the best."""
        best = self._best()
        full = len(best) == self._count
        worth, last = self._worth[best], self._keys[best[-1:]]
        hopes = (worth > last) if full else (worth > 0)
        known = torch.isin(best, self._asked)
        return best[hopes & (worth >= self._least) & ~known].sort().values

    @property
    def asked(self) -> tuple[Int[Tensor, " a"], Int[Tensor, " a"]]:
        """Tokens and parents of all nodes that were asked about so far, in that order."""
        return self._tokens[self._asked], _places_in(self._asked, self._parents[self._asked])

    def tree(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
        """The best places.

        Returns:
            The tokens and parents of the nodes, best first, and where each stands in `asked`; -1
            for those that were never asked about, and have no nodes under them.
        """
        best = self._best()
        return (
            self._tokens[best],
            _places_in(best, self._parents[best]),
            _places_in(self._asked, best),
        )


def _places_in(index: Int[Tensor, " n"], wanted: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Where each wanted number stands in `index`; -1 for those that do not."""
    found: Bool[Tensor, "m n"] = wanted[:, None] == index
    return torch.where(found.any(1), found.int().argmax(1) if len(index) else 0, -1)
