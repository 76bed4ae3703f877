"""A head over very many tokens that only scores the nearest ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.leaves import Leaves, leaves

By = Literal["angle", "score"]
"""How neighbours are found."""

_LEAVES = 2  # times the root of the number of tokens: 1,924 of 924,763; the paper has 2,000


class NeighbourHead(nn.Module):
    r"""Scores of the tokens whose output rows are nearest to what the model is about to say.

    The rows stand in leaves, groups of near ones; a state looks into the leaves whose means suit it
    best, and scores their rows. Neighbours are found by angle, among rows of length one, or by
    score, among rows as they are, with the bias as one number more. Found ones are given their
    exact scores, all others minus infinity.

    Args:
        head: The model's own.
        candidates: Tokens that are scored (paper: k = 20); at the number of all tokens, all are.
        searched: Leaves that are looked into, of about two roots of the number of tokens (paper:
            250 of 2,000). An attribute too, which may be changed at any time.
        by: "angle", as the paper has it, or "score", for rows of different lengths, such as FVT's.

    Raises:
        UsageError: If a number is out of range.

    Source: Feher et al. 2024, section 5.
    """

    def __init__(
        self, head: nn.Linear, candidates: int = 20, searched: int = 250, by: By = "angle"
    ) -> None:
        super().__init__()
        v = len(head.weight)
        if not 1 <= candidates <= v or searched < 1:
            raise UsageError(
                f"NeighbourHead: candidates={candidates} and searched={searched}; allowed are "
                f"candidates in [1, {v}], the number of tokens, and searched from 1 on."
            )
        if by not in ("angle", "score"):
            raise UsageError(f"NeighbourHead: by={by!r}; allowed: 'angle' or 'score'.")
        self.head, self.candidates, self.searched, self.by = head, candidates, searched, by
        self._leaves: Leaves | None = _leaves(head, by) if candidates < v else None

    @property
    def weight(self) -> Tensor:
        """The output rows."""
        return self.head.weight

    @property
    def index_bytes(self) -> int:
        """Memory of the leaves, the rows of the head itself left out."""
        return 0 if self._leaves is None else self._leaves.size

    def forward(self, hidden: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
        """Scores of all tokens."""
        if self._leaves is None:
            scores: Tensor = self.head(hidden)
            return scores
        flat = hidden.flatten(0, -2)
        found = self.nearest(flat)
        exact = torch.einsum("nd,nkd->nk", flat, self.weight[found])
        if self.head.bias is not None:
            exact = exact + self.head.bias[found]
        lowest = flat.new_full((len(flat), len(self.weight)), -torch.inf)
        return lowest.scatter(1, found, exact).view(*hidden.shape[:-1], -1)

    @torch.no_grad()
    def nearest(self, hidden: Float[Tensor, "n d"]) -> Int[Tensor, "n k"]:
        """The tokens that are scored, nearest first."""
        if self._leaves is None:
            scores: Tensor = self.head(hidden)
            return scores.topk(self.candidates).indices
        asked = hidden.float()
        if self.by == "score":  # the bias counts once
            asked = torch.cat([asked, asked.new_ones(len(asked), 1)], 1)
        rows = [self._leaves.best(one, self.candidates, self.searched) for one in asked]
        return torch.stack(rows) if rows else hidden.new_zeros(0, self.candidates, dtype=torch.long)


@torch.no_grad()
def _leaves(head: nn.Linear, by: By) -> Leaves:
    """The rows of a head, as they are compared."""
    rows = head.weight.detach().float()
    if by == "angle":
        rows = normalize(rows, dim=1)
    else:
        bias = rows.new_zeros(len(rows)) if head.bias is None else head.bias.detach().float()
        rows = torch.cat([rows, bias[:, None]], 1)
    return leaves(rows, max(1, min(len(rows), round(_LEAVES * len(rows) ** 0.5))))


@contextmanager
def neighbour_head(
    model: Any, candidates: int = 20, searched: int = 250, by: By = "angle"
) -> Iterator[NeighbourHead]:
    """Let a model score only the nearest tokens; afterwards it has its own head again.

    `generate` then takes what it takes always: `do_sample=True, top_k=10, min_p=0.1,
    repetition_penalty=1.1` and `sequence_bias` are the paper's.

    Args:
        model: A causal language model, best one with many more tokens than it was trained with.
        candidates: Tokens that are scored.
        searched: Leaves that are looked into.
        by: How neighbours are found: "angle" or "score".

    Raises:
        UnsupportedModelError: If the model's head is no linear layer.
        UsageError: If a number is out of range.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise UnsupportedModelError(
            f"neighbour_head: {type(model).__name__} has {type(head).__name__} for a head; a "
            "linear layer over the vocabulary is needed."
        )
    name = next(name for name, module in model.named_modules() if module is head)
    made = NeighbourHead(head, candidates, searched, by)
    model.set_submodule(name, made)
    try:
        yield made
    finally:
        model.set_submodule(name, head)
