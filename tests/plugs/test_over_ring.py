"""A model over a ring of one rank, and models and calls that no ring takes."""

import re
from copy import deepcopy

import pytest
import torch
import torch.distributed as dist
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tokenry.cache import TokenRing
from tokenry.errors import UsageError
from tokenry.plugs.distributed import token_ring
from tokenry.plugs.over_ring import Shards, over_ring


@pytest.fixture
def alone(tmp_path):
    """A process group of this process only."""
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


SIZE = {"vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}


def llama(**settings):
    torch.manual_seed(0)
    config = LlamaConfig(**SIZE, intermediate_size=48, num_key_value_heads=2, **settings)
    return LlamaForCausalLM(config).double().eval()


IDS = torch.arange(24).view(2, 12)


def test_one_rank_is_the_untouched_model(alone):
    model = llama()
    before = model(IDS, labels=IDS)
    with over_ring(model, TokenRing()) as shards:
        found = model(**shards.cut(IDS, labels=IDS))
        assert model.config._attn_implementation == "tokenry-ring"
    torch.testing.assert_close(found.logits, before.logits, rtol=0, atol=1e-13)
    assert found.loss.item() == pytest.approx(before.loss.item(), abs=1e-6)
    assert (shards.traffic.sent, shards.traffic.pairs) == ([], [78, 78])
    assert torch.equal(model(IDS).logits, before.logits)


def test_the_model_is_restored_after_an_exception(alone):
    model = llama(attn_implementation="eager")
    state = dict(vars(model.config)), {k: v.clone() for k, v in model.state_dict().items()}
    modules = [dict(vars(m)) for m in model.modules()]
    with pytest.raises(ZeroDivisionError), over_ring(model, TokenRing()):
        raise ZeroDivisionError
    assert dict(vars(model.config)) == state[0]
    assert [dict(vars(m)) for m in model.modules()] == modules
    assert all(torch.equal(v, state[1][k]) for k, v in model.state_dict().items())
    assert model.config._attn_implementation == "eager"


def mistral():
    size = SIZE | {"num_key_value_heads": 2, "intermediate_size": 48, "sliding_window": 4}
    return MistralForCausalLM(MistralConfig(**size))


def bloom():
    config = BloomConfig(vocab_size=50, hidden_size=32, n_layer=1, n_head=2)
    return BloomForCausalLM(config)


def t5():
    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    return T5ForConditionalGeneration(T5Config(vocab_size=50, **size))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (t5, "T5ForConditionalGeneration"),
        (bloom, "the attention of BloomForCausalLM cannot be replaced"),
        (lambda: torch.nn.Linear(2, 2), "the attention of Linear cannot be replaced"),
        (mistral, "the layers of MistralForCausalLM are sliding_attention; only full_attention"),
    ],
)
def test_what_cannot_run_over_a_ring_is_refused_and_unchanged(alone, make, message):
    model = make()
    before = deepcopy(vars(model.config)) if hasattr(model, "config") else None
    with pytest.raises(UsageError, match=re.escape(message)), over_ring(model, TokenRing()):
        pass
    if before is not None:
        assert vars(model.config) == before


@pytest.mark.parametrize(
    ("partition", "world", "length", "count"),
    [("zigzag", 2, 22, 4), ("zigzag", 3, 16, 6), ("contiguous", 4, 10, 4), ("zigzag", 2, 0, 4)],
)
def test_ranks_that_do_not_divide_the_length(alone, partition, world, length, count):
    ring, ids = TokenRing(partition=partition), torch.zeros(1, length, dtype=torch.long)
    shards = Shards(ring, dist.group.WORLD, rank=world - 1, world=world)
    for use in (shards.places, lambda n: shards.cut(ids)):
        with pytest.raises(UsageError, match=rf"{length} tokens cannot .* a multiple of {count}\."):
            use(length)


def test_without_a_process_group_the_message_names_torchrun():
    x, model = torch.zeros(1, 1, 2, 2), llama()
    before = dict(vars(model.config))
    with pytest.raises(UsageError, match=r"token_ring: there is no process group; .* torchrun"):
        token_ring(x, x, x, TokenRing())
    with pytest.raises(UsageError, match=r"over_ring: there is no process group; .* torchrun"):
        over_ring(model, TokenRing()).__enter__()
    assert dict(vars(model.config)) == before
