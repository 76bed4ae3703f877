"""The content hash changes with the content and with nothing else."""

from __future__ import annotations

import copy
import time

import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from tokenry.zoo import weights_hash
from tokenry.zoo.weights import first_not_finite


@pytest.fixture
def model() -> Dinov2Model:
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    return Dinov2Model(config).eval()


def test_same_content_same_hash(tmp_path, model) -> None:
    known = weights_hash(model)
    assert known == weights_hash(copy.deepcopy(model))
    model.save_pretrained(tmp_path / "a")
    loaded = Dinov2Model.from_pretrained(tmp_path / "a")
    again = Dinov2Model.from_pretrained(tmp_path / "a", attn_implementation="eager")
    assert weights_hash(loaded) == weights_hash(again)


def test_any_change_of_content_changes_it(model) -> None:
    hashes = [weights_hash(model)]
    for change in (
        lambda m: m.layernorm.bias.data[-1].add_(1e-6),
        lambda m: setattr(m.config, "layer_norm_eps", 1e-5),
        lambda m: m.double(),
        lambda m: m.to(torch.bfloat16),
    ):
        change(model)
        hashes.append(weights_hash(model))
    assert len(set(hashes)) == len(hashes)


def test_name_shape_and_class_count() -> None:
    def module(name: str, *shape: int) -> nn.Module:
        holder = nn.Module()
        holder.register_buffer(name, torch.zeros(*shape))
        return holder

    class Other(nn.Module):
        pass

    other = Other()
    other.register_buffer("a", torch.zeros(2, 3))
    modules = [module("a", 2, 3), module("b", 2, 3), module("a", 3, 2), module("a", 6), other]
    assert len({weights_hash(m) for m in modules}) == len(modules)


def test_every_dtype_and_shape_is_read() -> None:
    holder = nn.Module()
    for i, tensor in enumerate(
        (torch.tensor(1.5), torch.zeros(0), torch.ones(2, dtype=torch.bool), torch.ones(3).half())
    ):
        holder.register_buffer(f"b{i}", tensor)
    holder.register_buffer("strided", torch.arange(6.0).reshape(2, 3).T)
    before = weights_hash(holder)
    holder.strided[2, 1] = 0
    assert weights_hash(holder) != before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_first_parameter_that_is_not_finite(model, dtype, value) -> None:
    model.to(dtype)
    model.register_parameter("empty", nn.Parameter(torch.zeros(0)))
    assert first_not_finite(model) is None
    model.layernorm.weight.data[5] = float(value)
    assert first_not_finite(model) == "layernorm.weight"
    model.embeddings.cls_token.data[0, 0, 3] = float("nan")
    assert first_not_finite(model) == "embeddings.cls_token"


def test_it_is_fast_enough_for_every_start() -> None:
    small = nn.Linear(5632, 1024)  # a quarter of DINOv2-small's bytes
    start = time.process_time()
    weights_hash(small)
    assert time.process_time() - start < 0.3
