"""Token pruning: by hand, and what is claimed for it on manual pages."""

from __future__ import annotations

import pytest
import torch

from tokenry.method import TokensView
from tokenry.retrieval import TokenPruning


def test_pruning_keeps_first_or_rarest():
    x, words = torch.eye(10), torch.arange(10) % 5
    frequency = (words.float() + 1) / 10
    assert (
        TokenPruning().group(x, TokensView(4, words, frequency, 0)).tolist()
        == [0, 1, 2, 3] + [-1] * 6
    )
    # Words 0 and 1 are in the fewest documents: tokens 0, 5, 1, 6, in this order.
    rarest = TokenPruning(by="rare").group(x, TokensView(3, words, frequency, 0)).tolist()
    assert [i for i, g in enumerate(rarest) if g >= 0] == [0, 1, 5]


@pytest.mark.slow
def test_dropping_thirty_percent_costs_little(page_scores):
    for by in ("first", "rare"):
        assert abs((page_scores(TokenPruning(by=by, keep=0.7)) - page_scores(None)).mean()) < 0.03
