"""Landmarks: where they stand in a text, and a softmax that lets them gate their blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad


def grouped_softmax(
    scores: Float[Tensor, "*q n w"],
    earlier: Bool[Tensor, "*#q n"],
    own: Bool[Tensor, "*#q n l"],
) -> Float[Tensor, "*q n w"]:
    r"""Attention weights in which each block is reached through its landmark.

    The last of the `w` slots of a block is its landmark. A query takes one softmax over the tokens
    of its own block and the landmarks of earlier ones, and one inside each earlier block $b$:
    $a_j = p_j$ for a token of its own block, $a_j = p_{\mathrm{lm}(b)}\,\mathrm{softmax}_b(s)_j$
    for one of block $b$, and 0 for every landmark. The weights of a query sum to 1; those of a
    query that may read nothing are 0.

    Args:
        scores: Query times key, already scaled; finite everywhere.
        earlier: Which blocks are complete and before the query.
        own: Which tokens the query reads in its own block, landmarks left out (`l = w - 1`).

    Returns:
        The weights, in the dtype of `scores`; half precision is computed in float32.

    >>> scores = torch.tensor([[1.0, 1.0, 0.0], [0.0, 5.0, 9.0]])
    >>> own = torch.tensor([[False, False], [True, False]])
    >>> grouped_softmax(scores, torch.tensor([True, False]), own).tolist()
    [[0.25, 0.25, 0.0], [0.5, 0.0, 0.0]]

    Source: Mohtashami and Jaggi 2023, section 3.1.
    """
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    tokens, landmarks = wide[..., :-1], wide[..., -1]
    n = landmarks.shape[-1]
    own = own.expand(tokens.shape)
    read = torch.cat([earlier.expand(landmarks.shape), own.flatten(-2)], -1)
    top = torch.cat([landmarks, tokens.flatten(-2)], -1)
    # Not minus infinity: a row in which nothing may be read would have no gradient but NaN.
    top = top.masked_fill(~read, torch.finfo(top.dtype).min).softmax(-1) * read
    gates, mine = top[..., :n], top[..., n:].reshape(tokens.shape)
    return pad(gates.unsqueeze(-1) * tokens.softmax(-1) + mine, (0, 1)).to(scores.dtype)


def best_blocks(scores: Float[Tensor, "*q n"], count: Int[Tensor, "*#q 1"]) -> Int[Tensor, "*q k"]:
    """The `count` blocks of highest score, by age; the newer of two that are as good as equal.

    In the first layer of a model all landmarks have the same key, and rounding noise shall not
    choose among them: scores are compared in steps of 1/1024.

    Args:
        scores: One score per block.
        count: How many each row gets; where it is less than the most, the rest are `n`.

    >>> best_blocks(torch.tensor([[2.0, 7.0, 2.0, 2.0]]), torch.tensor([[2]])).tolist()
    [[1, 3]]
    """
    n = scores.shape[-1]
    ranking = (scores * 1024).round().flip(-1).argsort(dim=-1, descending=True, stable=True)
    best = n - 1 - ranking[..., : int(count.max())]
    rank = torch.arange(best.shape[-1], device=scores.device)
    return best.where(rank < count, n).sort(-1).values


@dataclass(frozen=True, slots=True)
class Marks:
    """Where landmarks go among the next tokens of a batch, one new column for all texts.

    Attributes:
        token: The column that each token moves to.
        mark: The columns of landmarks.
        due: Which text gets a landmark after which token; the others get padding there.
        rank: Place of each column among the tokens and landmarks of its text, -1 before them.
        valid: False where a column is padding for a text.
    """

    token: Int[Tensor, " t"]
    mark: Int[Tensor, " m"]
    due: Bool[Tensor, "b t"]
    rank: Int[Tensor, "b n"]
    valid: Bool[Tensor, "b n"]

    def inserted(self, ids: Int[Tensor, "b t"], landmark: int) -> Int[Tensor, "b n"]:
        """The tokens with landmarks among them."""
        out = torch.full_like(self.rank, landmark)
        out[:, self.token] = ids
        return out

    @property
    def answers(self) -> Int[Tensor, "b t"]:
        """The column whose output predicts what follows a token: the landmark's, if one follows."""
        return self.token + self.due.long()


def place_marks(
    valid: Bool[Tensor, "b t"], block: int, before: Int[Tensor, " b"] | None = None
) -> Marks:
    """Say where landmarks go: one after every `block` tokens of each text, padding not counted.

    Args:
        valid: False where a text has padding.
        block: Tokens between two landmarks (paper: l_block).
        before: Tokens of each text that came before these; none by default.

    >>> marks = place_marks(torch.ones(1, 5, dtype=torch.bool), 2)
    >>> marks.inserted(torch.arange(5).view(1, 5), 9).tolist(), marks.answers.tolist()
    ([[0, 1, 9, 2, 3, 9, 4]], [[0, 2, 3, 5, 6]])
    """
    (b, t), device = valid.shape, valid.device
    held = torch.zeros(b, dtype=torch.long, device=device) if before is None else before
    count = held.unsqueeze(1) + valid.cumsum(1)
    due = valid & (count % block == 0)
    column = due.any(0)
    token = torch.arange(t, device=device) + column.cumsum(0) - column.long()
    mark = token[column] + 1
    wide = torch.zeros(b, t + len(mark), dtype=torch.bool, device=device)
    wide[:, token], wide[:, mark] = valid, due[:, column]
    rank = (held + held // block).unsqueeze(1) + wide.cumsum(1) - 1
    return Marks(token, mark, due, rank, wide)
