"""What a shift of all positions changes: by type, by stage, by key, and in real models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.rounding import rounded_rotation, shift_error
from tokenry.plugs.rotary import attention_shift_error, frequencies, rotary_shift_error

INV_FREQ = 1e4 ** (-torch.arange(0, 64, 2).float() / 64)
LICENSE = Path(__file__).parents[2] / "LICENSE"
SHIFTS = (16, 256, 4096, 65536)

# Mean change of a logit for width 64, base 10000, 64 tokens, as an independent script measured it.
EXPECTED = {
    "nothing": (3.5e-7, 1.4e-6, 2.2e-5, 3.5e-4),
    "table+rows": (3.8e-3, 4.1e-3, 4.0e-3, 4.2e-3),
    "angles+table+rows": (0.012, 0.19, 0.58, 0.65),
}


def means(table):
    """Mean error by what was rounded, in the order of the shifts."""
    found = {}
    for row in table.rows:
        found.setdefault(row.rounded, []).append(row.mean)
    return found


def tiny(**settings):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, **settings,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def test_claim_bfloat16_breaks_the_shift():
    """Within a factor of two of the measurement above, at every shift."""
    table = rotary_shift_error(INV_FREQ)
    print(table)
    found = means(table)
    for rounded, expected in EXPECTED.items():
        for here, there in zip(found[rounded], expected, strict=True):
            assert there / 2 < here < there * 2


def test_the_stages_add_up():
    """Cast of the table and arithmetic of the rows are alike, flat, and in quadrature the sum."""
    found = {
        name: torch.tensor(values) for name, values in means(rotary_shift_error(INV_FREQ)).items()
    }
    both = (found["table"] ** 2 + found["rows"] ** 2).sqrt()
    assert (found["table+rows"] / both - 1).abs().max() < 0.35
    assert found["table+rows"].max() < 1.2 * found["table+rows"].min()
    assert found["angles+table+rows"][3] > 30 * found["angles+table+rows"][0]


def test_rounded_queries_and_keys_stay_relative():
    """What breaks is the rotation in a short type, not the cast before it."""
    chance = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 64, 64, generator=chance).bfloat16().float()
    assert shift_error(queries, keys, INV_FREQ, 256, torch.bfloat16, ()).nanmean() < 1e-5
    assert shift_error(queries, keys, INV_FREQ, 256, torch.bfloat16, ("rows",)).nanmean() > 1e-3


@pytest.mark.parametrize("norm", [1.0, 4.0, 16.0])
def test_the_first_key_carries_more_the_longer_it_is(norm):
    """An entry's error is proportional to the key, so the share is norm / (norm + others)."""
    for row in rotary_shift_error(INV_FREQ, shifts=(256,), first_norm=norm, samples=32).rows:
        plain = rotary_shift_error(INV_FREQ, shifts=(256,), samples=32)
        share = next(r.first_share for r in plain.rows if r.rounded == row.rounded)
        expected = norm * share / (norm * share + 1 - share)
        assert row.first_share == pytest.approx(expected, rel=0.1)


def test_half_precision_with_more_digits_errs_less():
    short, half = (
        rotary_shift_error(INV_FREQ, shifts=(256,), dtype=dtype).rows[3].mean
        for dtype in (torch.bfloat16, torch.float16)
    )
    assert 6 < short / half < 10  # three more bits of mantissa


def test_lengths_have_rows_of_their_own():
    table = rotary_shift_error(INV_FREQ, shifts=(16,), lengths=(8, 128))
    assert {row.length for row in table.rows} == {8, 128}
    assert all(len(row.by_key) == row.length for row in table.rows)
    lines = str(table).splitlines()
    assert len(lines) == 1 + 2 * 5
    assert "16" in lines[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_models_own_table_is_the_one_that_is_measured(dtype):
    """transformers takes angles in float32 and casts cos and sin."""
    model, positions = tiny(), torch.arange(300)
    row = torch.zeros(300, 16, dtype=dtype)
    row[:, 0] = 1
    cos, sin = model.model.rotary_emb(row[None], positions[None])
    turned = rounded_rotation(row, positions, frequencies(model), dtype, ("table", "rows"))
    assert torch.equal(turned[:, 0], cos[0, :, 0])
    assert torch.equal(turned[:, 8], sin[0, :, 0])


def test_a_whole_model_is_measured_and_left_alone():
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.arange(24)[None]
    table = attention_shift_error(model, ids, shifts=(16, 64))
    assert [(row.dtype, row.shift) for row in table.rows] == [
        ("float32", 16), ("float32", 64), ("bfloat16", 16), ("bfloat16", 64),
    ]  # fmt: skip
    assert table.rows[2].mean > 100 * table.rows[0].mean
    assert model.config._attn_implementation == "sdpa"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert frequencies(model).dtype == torch.float32


def test_models_without_rotary_positions_are_refused():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(UnsupportedModelError, match="GPT2LMHeadModel has no rotary positions"):
        rotary_shift_error(model)
    with pytest.raises(UnsupportedModelError, match="no rotary positions"):
        attention_shift_error(model, torch.arange(4)[None])


def test_frequencies_of_full_attention_layers():
    """Gemma 3 has a second set for its sliding layers."""
    config = Gemma3TextConfig(
        vocab_size=97, hidden_size=32, intermediate_size=32, num_hidden_layers=6,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16,
    )  # fmt: skip
    rotary = Gemma3ForCausalLM(config).model.rotary_emb
    assert torch.equal(frequencies(Gemma3ForCausalLM(config)), rotary.full_attention_inv_freq)


@pytest.mark.parametrize("wrong", [{"shifts": (0,)}, {"lengths": (0,)}, {"samples": 0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(UsageError, match="must all be at least 1"):
        rotary_shift_error(INV_FREQ, **wrong)


@pytest.mark.slow
def test_claim_the_first_token_errs_most_in_a_real_model(smollm2):
    """SmolLM2 on 128 tokens of a licence: the first errs five times as much as the others."""
    ids = smollm2.processor(LICENSE.read_text(), return_tensors="pt")["input_ids"][:, :127]
    ids = torch.cat([torch.tensor([[smollm2.model.config.bos_token_id]]), ids], 1)
    table = attention_shift_error(smollm2.model, ids)
    print(table)
    for row in table.rows:
        others = sum(row.by_key[1:]) / (len(row.by_key) - 1)
        print(f"{row.dtype} {row.shift}: first {row.by_key[0]:.1e}, others {others:.1e}")
        if row.dtype == "bfloat16":
            assert row.by_key[0] > 5 * others
    short, long = (
        {row.shift: row.mean for row in table.rows if row.dtype == name}
        for name in ("float32", "bfloat16")
    )
    assert long[256] > 1000 * short[256]
    print(rotary_shift_error(smollm2.model))
