"""A head over very many tokens that only scores the nearest ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize
from tqdm import tqdm

from tokenry.errors import MissingExtraError, UnsupportedModelError, UsageError

By = Literal["angle", "score"]
"""How neighbours are found."""

_AT_ONCE = 10_000  # rows that are put into the index between two steps of the bar


class NeighbourHead(nn.Module):
    r"""Scores of the tokens whose output rows are nearest to what the model is about to say.

    Neighbours are found by angle, in an index over rows of length one, or by score: with one more
    number each, $\sqrt{m^2 - |w_i|^2 - b_i^2}$, all rows are as long as the longest, m, so that
    the nearest by angle are those of the highest $w_i \cdot h + b_i$. Found ones are then given
    their exact scores, all others minus infinity.

    Args:
        head: The model's own.
        candidates: Tokens that are scored (paper: k = 20); at the number of all tokens, all are.
        searched: Tokens that the search looks at; more finds better neighbours (paper: 200). An
            attribute too, which may be changed at any time.
        by: "angle", as the paper has it, or "score", for rows of different lengths, such as FVT's.

    Raises:
        MissingExtraError: If usearch is not installed.
        UsageError: If a number is out of range.

    Source: Feher et al. 2024, section 5.
    """

    def __init__(
        self, head: nn.Linear, candidates: int = 20, searched: int = 200, by: By = "angle"
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
        self._index: Any = _index(_rows(head, by)) if candidates < v else None

    @property
    def weight(self) -> Tensor:
        """The output rows."""
        return self.head.weight

    @property
    def index_bytes(self) -> int:
        """Memory of the index, the rows of the head itself left out."""
        return 0 if self._index is None else int(self._index.memory_usage)

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
        asked = hidden.detach().float().cpu()
        if self.by == "score":  # the bias counts once, the filling not at all
            asked = torch.cat([asked, torch.tensor([[1.0, 0.0]]).expand(len(asked), 2)], 1)
        self._index.expansion_search = self.searched
        matches = self._index.search(normalize(asked, dim=1).numpy(), self.candidates)
        keys = torch.from_numpy(matches.keys.reshape(len(asked), -1).astype("int64"))
        return keys.to(hidden.device)


def _rows(head: nn.Linear, by: By) -> Float[Tensor, "v d"]:
    """What the index holds of each token."""
    rows = head.weight.detach().float().cpu()
    if by == "angle":
        return normalize(rows, dim=1)
    bias = rows.new_zeros(len(rows)) if head.bias is None else head.bias.detach().float().cpu()
    rows = torch.cat([rows, bias[:, None]], 1)
    lengths = rows.square().sum(1, keepdim=True)
    return torch.cat([rows, (lengths.max() - lengths).clamp(min=0).sqrt()], 1)


def _index(rows: Float[Tensor, "v d"]) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("NeighbourHead", "pip install 'tokenry[vocab]'") from error
    # Half precision is enough to find what is scored exactly afterwards, in numbers up to 1.
    index = Index(ndim=rows.shape[1], metric="cos", dtype="f16")
    longest = rows.norm(dim=1).max().clamp(min=torch.finfo(rows.dtype).tiny)
    parts = (rows / longest).split(_AT_ONCE)
    bar = tqdm(parts, "index of tokens", delay=2, leave=False, disable=None)
    for number, part in enumerate(bar):
        start = number * _AT_ONCE
        index.add(torch.arange(start, start + len(part)).numpy(), part.numpy())
    return index


@contextmanager
def neighbour_head(
    model: Any, candidates: int = 20, searched: int = 200, by: By = "angle"
) -> Iterator[NeighbourHead]:
    """Let a model score only the nearest tokens; afterwards it has its own head again.

    `generate` then takes what it takes always: `do_sample=True, top_k=10, min_p=0.1,
    repetition_penalty=1.1` and `sequence_bias` are the paper's.

    Args:
        model: A causal language model, best one with many more tokens than it was trained with.
        candidates: Tokens that are scored.
        searched: Tokens that the search looks at.
        by: How neighbours are found: "angle" or "score".

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
    made = NeighbourHead(head, candidates, searched, by)
    model.set_submodule(name, made)
    try:
        yield made
    finally:
        model.set_submodule(name, head)
