"""Rows of a new vocabulary as weighted sums of those of the old one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from tokenry.method.vocab import EmbeddingRows, Embeddings, Move, Origin, Vocab

Blend = Sequence[tuple[int, float]]
"""Source tokens and their weights, most important first; empty when nothing is known."""


def blended(move: Move, blends: Sequence[Blend]) -> EmbeddingRows:
    r"""Rows that are weighted sums of source rows, input, output and bias by the same weights.

    A token of which nothing is known gets a row that is drawn, number by number, from the normal
    distribution with mean and standard deviation of the source's rows.

    Args:
        move: The move.
        blends: One per token of the target.
    """
    counts = torch.tensor([len(blend) for blend in blends])
    parents = torch.tensor([token for blend in blends for token, _ in blend], dtype=torch.long)
    weights = torch.tensor([weight for blend in blends for _, weight in blend])
    source = torch.Generator().manual_seed(move.seed)

    def fill(table: Tensor) -> Tensor:
        known = table[: len(move.source)].float().cpu()
        made = embedding_bag(
            parents, known, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights
        )
        std, mean = torch.std_mean(known, 0, correction=0)
        drawn = mean + std * torch.randn(made.shape, generator=source)
        return torch.where(counts[:, None] > 0, made, drawn).to(table)

    given = move.embeddings
    bias = None if given.bias is None else fill(given.bias[:, None])[:, 0]
    rows = Embeddings(
        input=fill(given.input),
        output=None if given.output is None else fill(given.output),
        bias=bias,
    )
    alone = torch.tensor([len(blend) == 1 and blend[0][1] == 1 for blend in blends])
    origin = torch.where(alone, Origin.COPIED, Origin.MIXED)
    origin = torch.where(counts > 0, origin, Origin.DRAWN)
    return EmbeddingRows(
        embeddings=rows,
        origin=origin,
        parents=[[token for token, _ in blend] for blend in blends],
    )


def shared(source: Vocab, target: Vocab) -> dict[int, int]:
    """The tokens of the target that spell what a source token spells, with that source token.

    A space where a word begins counts as a letter. Of several source tokens it is the first.
    """
    places: dict[bytes, int] = {}
    for token, spelled in enumerate(source.spelled):
        if spelled:
            places.setdefault(spelled, token)
    return {
        token: places[spelled]
        for token, spelled in enumerate(target.spelled)
        if spelled and spelled in places
    }
