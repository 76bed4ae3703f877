"""Heads that are dropped while an encoder trains: what stays, what returns, and who has none."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from tokenry.errors import UnsupportedModelError
from tokenry.plugs.dropped_heads import dropped_heads, thinned

SHAPE = {
    "vocab_size": 30,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
}
IDS = torch.tensor([[1, 5, 9, 3], [2, 2, 8, 4], [7, 6, 5, 4]])


def build(kind):
    torch.manual_seed(0)
    if kind == "bert":
        return BertModel(BertConfig(**SHAPE)).train()
    return LlamaModel(LlamaConfig(**SHAPE, num_key_value_heads=2, attention_dropout=0.3)).train()


def read(model, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        return model(IDS).last_hidden_state


def test_each_row_has_silent_heads_and_louder_ones():
    x = torch.randn(500, 3, 12, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    made = thinned(x, 4, 0.3).unflatten(-1, (4, 3)) / x.unflatten(-1, (4, 3))
    scale = made[:, 0, :, 0]
    assert torch.allclose(made, scale[:, None, :, None].expand_as(made), atol=1e-5)
    for row in scale.tolist():
        kept = [one for one in row if one]
        assert kept == pytest.approx([4 / len(kept)] * len(kept))
    assert 0.25 < float((scale == 0).float().mean()) < 0.35


def test_a_row_of_which_none_would_stay_keeps_all():
    x = torch.randn(50, 2, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    scale = (thinned(x, 2, 0.99) / x).unflatten(-1, (2, 4))[:, 0, :, 0]
    assert {tuple(row) for row in scale.round().tolist()} <= {(1, 1), (2, 0), (0, 2)}
    assert (scale.round() == 1).all(1).sum() > 40


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_two_readings_differ_by_heads_alone_and_all_is_undone(kind):
    model = build(kind)
    before = read(model)
    with dropped_heads(model, 0.5):
        assert not torch.equal(read(model, 1), read(model, 2))
        assert torch.equal(read(model, 1), read(model, 1))
        model.eval()
        assert torch.equal(read(model, 1), read(model, 2))
        model.train()
    with dropped_heads(model, 1e-9):  # no head goes, and dropout is off
        assert torch.equal(read(model, 1), read(model, 2))
        assert torch.equal(read(model), read(model.eval()))
    assert torch.equal(read(model.train()), before)
    with pytest.raises(ZeroDivisionError), dropped_heads(model, 0.5):
        _ = 1 / 0
    assert torch.equal(read(model), before)
    with dropped_heads(model, 0.0):
        assert torch.equal(read(model), before)


def test_a_model_without_heads_is_refused():
    with (
        pytest.raises(UnsupportedModelError, match="Linear has no attention whose output is named"),
        dropped_heads(nn.Linear(2, 2), 0.1),
    ):
        pass
