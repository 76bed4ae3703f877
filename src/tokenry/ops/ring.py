"""Which chunks of a sequence meet when its shards go round a ring of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tile:
    """The part of two ranks' shards that has anything to do with each other.

    Attributes:
        queries: The first chunk of the query shard that sees a key; all after it do too.
        keys: How many chunks of the key shard are seen; they are the first ones.
        masked: Whether inside that part some queries must not see some keys.
    """

    queries: int
    keys: int
    masked: bool


def tile(queries: Sequence[int], keys: Sequence[int], causal: bool) -> Tile:
    """Where the queries of some chunks meet the keys of others.

    Args:
        queries: Chunks of the query shard, rising: their places in the whole sequence.
        keys: Chunks of the key shard, rising.
        causal: Whether a query sees only keys at its own place and before.

    >>> tile((1, 6), (0, 7), causal=True)  # all queries see the first key chunk, none the second
    Tile(queries=0, keys=1, masked=False)
    >>> tile((0, 7), (1, 6), causal=True)  # the second half of the queries sees all keys
    Tile(queries=1, keys=2, masked=False)
    """
    if not causal:
        return Tile(queries=0, keys=len(keys), masked=False)
    first = sum(chunk < keys[0] for chunk in queries)
    seen = sum(chunk <= queries[-1] for chunk in keys)
    masked = first < len(queries) and queries[first] <= keys[seen - 1]
    return Tile(queries=first, keys=seen, masked=masked)


def places(chunks: Sequence[int], size: int) -> Int[Tensor, "n"]:
    """The places of a shard's tokens in the whole sequence.

    Args:
        chunks: The shard's chunks.
        size: Tokens in a chunk.

    >>> places((0, 3), 2).tolist()
    [0, 1, 6, 7]
    """
    starts = torch.tensor(chunks).unsqueeze(1) * size
    return (starts + torch.arange(size)).flatten()
