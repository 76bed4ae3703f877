"""ActQKV on tiny models: padding, caches cut back, refusals."""

import pytest
import torch

from tokenry.cache.actqkv import ActQKV
from tokenry.errors import UsageError
from tokenry.plugs.attach import attach

SMALL = {"sinks": 4, "local": 8, "block": 4, "members": 2, "chunk": 8}


@torch.no_grad()
def test_padding_before_a_text_of_one_chunk_changes_nothing(tiny_llama):
    """Padding of whole blocks, so that blocks hold the same tokens: token by token the same."""
    ids = torch.randint(3, 61, (1, 60), generator=torch.Generator().manual_seed(6))
    method = ActQKV(**{**SMALL, "chunk": 64}, keep=0.999)

    def run(padding):
        rows = torch.cat([ids.new_zeros(1, padding), ids], 1)
        mask = (torch.arange(rows.shape[1]) >= padding).long()[None]
        with attach(tiny_llama, method):
            n = padding + 40
            out = tiny_llama(rows[:, :n], attention_mask=mask[:, :n])
            memory = [layer.memory for layer in out.past_key_values.layers]
            return (
                out.logits[:, padding:],
                [m["mass"][..., padding:] for m in memory],
                [(m["mean"], m["variance"], m["chunks"]) for m in memory],
            )

    (a, mass, moments), (b, masses, others) = run(0), run(8)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mass, masses, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moments, others, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_cache_cut_back_goes_on_as_if_never_longer(tiny_llama):
    """Blocks and mass of what was taken back are gone; statistics of queries are not."""
    ids = torch.randint(3, 61, (1, 100), generator=torch.Generator().manual_seed(8))
    with attach(tiny_llama, ActQKV(**SMALL, keep=0.4)):
        cache = tiny_llama(ids).past_key_values
        cache.crop(-60)
        tiny_llama(ids[:, 40:50], past_key_values=cache)
        memory = cache.layers[0].memory
        assert memory["mass"].shape[-1] == 50
        assert memory["blocks"].shape[2] <= 50 // 4


@torch.no_grad()
def test_too_little_is_refused(tiny_llama):
    ids = torch.randint(3, 61, (1, 100))
    with attach(tiny_llama, ActQKV(keep=0.5)), pytest.raises(UsageError, match="needs 128"):
        tiny_llama(ids)
