"""A head over very many tokens that only scores the nearest ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from tokenry.errors import MissingExtraError, UnsupportedModelError, UsageError


class NeighbourHead(nn.Module):
    r"""Scores of the tokens whose output rows are nearest to what the model is about to say.

    Neighbours are found by angle, in an index over rows of length one; their scores are then the
    exact ones, $w_i \cdot h + b_i$. All others are minus infinity.

    Args:
        head: The model's own.
        candidates: Tokens that are scored (paper: k = 20); at the number of all tokens, all are.
        searched: Tokens that the search looks at; more finds better neighbours (paper: 200).

    Raises:
        MissingExtraError: If usearch is not installed.
        UsageError: If a number is out of range.

    Source: Feher et al. 2024, section 5.
    """

    def __init__(self, head: nn.Linear, candidates: int = 20, searched: int = 200) -> None:
        super().__init__()
        v, d = head.weight.shape
        if not 1 <= candidates <= v or searched < 1:
            raise UsageError(
                f"NeighbourHead: candidates={candidates} and searched={searched}; allowed are "
                f"candidates in [1, {v}], the number of tokens, and searched from 1 on."
            )
        self.head, self.candidates = head, candidates
        self._index: Any = _index(head.weight, d, searched) if candidates < v else None

    @property
    def weight(self) -> Tensor:
        """The output rows."""
        return self.head.weight

    def forward(self, hidden: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
        """Scores of all tokens."""
        if self._index is None:
            scores: Tensor = self.head(hidden)
            return scores
        flat = hidden.flatten(0, -2)
        found = self.nearest(flat)
        exact = torch.einsum("nd,nkd->nk", flat, self.weight[found])
        if self.head.bias is not None:
            exact = exact + self.head.bias[found]
        lowest = flat.new_full((len(flat), len(self.weight)), -torch.inf)
        return lowest.scatter(1, found, exact).view(*hidden.shape[:-1], -1)

    def nearest(self, hidden: Float[Tensor, "n d"]) -> Int[Tensor, "n k"]:
        """The tokens that are scored, nearest first."""
        asked = hidden.detach().float().cpu().numpy()
        matches = self._index.search(asked, self.candidates)
        keys = torch.from_numpy(matches.keys.reshape(len(asked), -1).astype("int64"))
        return keys.to(hidden.device)


def _index(weight: Tensor, width: int, searched: int) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("NeighbourHead", "pip install 'tokenry[vocab]'") from error
    index = Index(ndim=width, metric="cos", dtype="f32", expansion_search=searched)
    rows = normalize(weight.detach().float(), dim=1).cpu()
    index.add(torch.arange(len(rows)).numpy(), rows.numpy())
    return index


@contextmanager
def neighbour_head(
    model: Any, candidates: int = 20, searched: int = 200
) -> Iterator[NeighbourHead]:
    """Let a model score only the nearest tokens; afterwards it has its own head again.

    `generate` then takes what it takes always: `do_sample=True, top_k=10, min_p=0.1,
    repetition_penalty=1.1` and `sequence_bias` are the paper's.

    Args:
        model: A causal language model, best one with many more tokens than it was trained with.
        candidates: Tokens that are scored.
        searched: Tokens that the search looks at.

    Raises:
        UnsupportedModelError: If the model's head is no linear layer.
        MissingExtraError: If usearch is not installed.
        UsageError: If a number is out of range.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise UnsupportedModelError(
            f"neighbour_head: {type(model).__name__} has {type(head).__name__} for a head; a "
            "linear layer over the vocabulary is needed."
        )
    name = next(name for name, module in model.named_modules() if module is head)
    made = NeighbourHead(head, candidates, searched)
    model.set_submodule(name, made)
    try:
        yield made
    finally:
        model.set_submodule(name, head)
