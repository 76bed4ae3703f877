"""Scores of texts and graphs at a finer grain than one vector each.

`a` texts with `n` tokens, `c` graphs with `m` nodes.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tokenry.ops.transport import ipot

_EPS = 1e-6


def grained(
    tokens: Float[Tensor, "a c n d"],
    real_tokens: Bool[Tensor, "a c n"],
    nodes: Float[Tensor, "c m d"],
    real_nodes: Bool[Tensor, "c m"],
) -> Float[Tensor, "a c"]:
    """Every token gathers the nodes that it is like; texts and what they gathered are compared.

    The products of a token with all nodes are scaled to [0, 1] and to the sum 1; so weighted nodes
    are what the token gathered. Tokens, and what they gathered, are brought to length one, summed,
    and standardised; the score is the product of the two.

    Args:
        tokens: Of each text as it is compared with each graph.
        real_tokens: Those that are no padding.
        nodes: Of each graph.
        real_nodes: Those that are no padding; others change nothing.

    Source: Orma, section III-C, sparse alignment.
    """
    likeness = torch.einsum("acnd,cmd->acnm", tokens, nodes)
    there = real_nodes[None, :, None, :]
    low = likeness.masked_fill(~there, torch.inf).amin(-1, keepdim=True)
    high = likeness.masked_fill(~there, -torch.inf).amax(-1, keepdim=True)
    weight = ((likeness - low) / (high - low).clamp(min=_EPS) + _EPS).masked_fill(~there, 0.0)
    weight = weight / weight.sum(-1, keepdim=True)
    gathered = torch.einsum("acnm,cmd->acnd", weight, nodes)
    inside = real_tokens[..., None]
    unit = torch.nn.functional.normalize
    text = (unit(tokens, dim=-1) * inside).sum(2)
    graph = (unit(gathered, dim=-1) * inside).sum(2)
    return (standardised(text) * standardised(graph)).sum(-1)


def phrases(
    tokens: Float[Tensor, "a n d"],
    real_tokens: Bool[Tensor, "a n"],
    motifs: Float[Tensor, "c m d"],
    real_motifs: Bool[Tensor, "c m"],
    rule: Literal["most", "least"] = "most",
) -> tuple[Float[Tensor, "a c m d"], Bool[Tensor, "a c m"]]:
    """One vector for each motif: the mean of the tokens that transport sends there.

    Args:
        tokens: Of each text.
        real_tokens: Those that are no padding.
        motifs: Of each graph.
        real_motifs: Those that are no padding.
        rule: A token goes where most of its mass goes; "least" is what the released code does.

    Returns:
        Vectors, and which motifs got a token at all.
    """
    unit = torch.nn.functional.normalize
    cost = 1 - torch.einsum("and,cmd->acnm", unit(tokens, dim=-1), unit(motifs, dim=-1))
    rows = real_tokens[:, None].expand(cost.shape[:3])
    columns = real_motifs[None].expand(len(tokens), -1, -1)
    plan = ipot(cost.detach().float(), rows, columns)
    plan = plan if rule == "most" else -plan
    chosen = plan.masked_fill(~columns[:, :, None, :], -torch.inf).argmax(-1)
    given = torch.nn.functional.one_hot(chosen, motifs.shape[1]) * rows[..., None]
    counts = given.sum(2)
    total = torch.einsum("acnm,and->acmd", given.to(tokens.dtype), tokens)
    return total / counts.clamp(min=1)[..., None], counts > 0


def standardised(vectors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """Mean 0 and variance 1 over the channels."""
    return torch.nn.functional.layer_norm(vectors, vectors.shape[-1:])
