"""Token streams cut to windows of one length, each token scored once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tokenry.errors import UsageError


class TokenWindows(NamedTuple):
    """Windows over one stream of tokens.

    Attributes:
        ids: the tokens of each window.
        scored: True where the token's prediction counts.
        start: where each window begins in the stream.
    """

    ids: Int[Tensor, "w n"]
    scored: Bool[Tensor, "w n"]
    start: Int[Tensor, "w"]


def token_windows(
    texts: Iterable[Sequence[int]],
    size: int,
    stride: int | None = None,
    separator: Sequence[int] = (),
) -> TokenWindows:
    """Join tokenized texts and cut them to windows of `size` tokens for perplexity.

    Window `i` begins at `i * stride`; the last one begins earlier where the stream would end inside
    it, so that all are full and no token is lost. A token is scored in the first window that holds
    it with a token before it: with `stride` below `size` every token but the stream's first is
    scored exactly once; with `stride == size` the first of each window is not scored.

    Args:
        texts: token ids of each text.
        size: tokens per window, at least 2; a shorter stream makes one shorter window.
        stride: tokens from one window's begin to the next, in [1, size]; `size // 2` when not
            given. A scored token has at least `size - stride` tokens before it, except in the
            first window.
        separator: token ids between two texts, such as the end-of-text token.

    Returns:
        The windows, in order.

    Raises:
        UsageError: `size` or `stride` out of range, or fewer than two tokens in all.

    >>> windows = token_windows([[1, 2, 3], [4, 5]], size=4, stride=2, separator=[0])
    >>> windows.ids.tolist()
    [[1, 2, 3, 0], [3, 0, 4, 5]]
    >>> windows.scored.int().tolist()
    [[0, 1, 1, 1], [0, 0, 1, 1]]
    """
    stride = max(1, size // 2) if stride is None else stride
    if size < 2 or not 1 <= stride <= size:
        raise UsageError(
            f"token_windows: size={size}, stride={stride}; size is at least 2, stride in [1, size]."
        )
    parts = chain.from_iterable((separator, text) for text in texts)
    stream = torch.tensor(list(chain.from_iterable(parts))[len(separator) :], dtype=torch.int64)
    total = len(stream)
    if total < 2:
        raise UsageError(f"token_windows: {total} tokens in all; give at least 2.")
    size = min(size, total)
    start = torch.tensor([*range(0, total - size, stride), total - size])
    at = start[:, None] + torch.arange(size)
    seen = torch.cat([start.new_zeros(1), start[:-1] + size])  # what earlier windows cover
    scored = (at >= seen[:, None]) & (torch.arange(size) > 0)
    return TokenWindows(stream[at], scored, start)
