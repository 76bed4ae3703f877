"""Token pruning by hand."""

from __future__ import annotations

import torch

from tokenry.method import TokensView
from tokenry.retrieval import TokenPruning


def view(n, count):
    words = torch.arange(n) % 5
    return TokensView(count, words, (words.float() + 1) / 10, 0)


def test_pruning_keeps_first_or_rarest():
    x = torch.eye(10)
    assert TokenPruning().group(x, view(10, 4)).tolist() == [0, 1, 2, 3] + [-1] * 6
    # Words 0 and 1 are in the fewest documents: tokens 0, 5, 1, 6, in this order.
    rarest = TokenPruning(by="rare").group(x, view(10, 3)).tolist()
    assert [i for i, g in enumerate(rarest) if g >= 0] == [0, 1, 5]
