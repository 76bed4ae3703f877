"""Rotation against complex numbers by loops, and against a model's own rotary embedding."""

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.rope import rotate

MANY = settings(deadline=None, max_examples=30)


def rows(seed, b=2, g=3, s=5, e=8, dtype=torch.float64):
    return torch.randn(b, g, s, e, generator=torch.Generator().manual_seed(seed)).to(dtype)


def frequencies(f, base=10_000.0):
    return 1.0 / base ** (torch.arange(f).float() / f)


def by_loops(x, positions, inv_freq):
    """Each pair is one complex number, multiplied by e^(i angle)."""
    y, f = x.clone(), len(inv_freq)
    for b, g, s in torch.cartesian_prod(*map(torch.arange, x.shape[:3])).tolist():
        for i in range(f):
            pair = complex(x[b, g, s, i], x[b, g, s, i + f])
            angle = float(positions[b, g, s].float() * inv_freq[i])
            turned = pair * cmath.exp(1j * angle)
            y[b, g, s, i], y[b, g, s, i + f] = turned.real, turned.imag
    return y


@MANY
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_equals_complex_numbers_also_on_a_slice(seed, f):
    x = rows(seed)
    positions = torch.randint(-5_000, 5_000, (2, 3, 5))
    got = rotate(x, positions, frequencies(f))
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, by_loops(x, positions, frequencies(f)), atol=1e-12, rtol=0)
    assert torch.equal(got[..., 2 * f :], x[..., 2 * f :])


def test_positions_broadcast_over_heads_and_batch():
    x, theta = rows(0), frequencies(4)
    line = torch.tensor([3, -1, 0, 7, 40])
    expected = by_loops(x, line.expand(2, 3, 5), theta)
    for positions in (line, line.expand(1, 1, 5), line.expand(2, 1, 5), line.expand(2, 3, 5)):
        torch.testing.assert_close(rotate(x, positions, theta), expected, atol=1e-12, rtol=0)


def test_positions_of_one_head_stay_with_it():
    x, theta = rows(1), frequencies(4)
    positions = torch.arange(30).view(2, 3, 5)
    torch.testing.assert_close(
        rotate(x, positions, theta), by_loops(x, positions, theta), atol=1e-12, rtol=0
    )


@MANY
@given(st.integers(0, 10_000), st.integers(-300, 300), st.integers(-300, 300))
def test_rotations_compose(seed, a, b):
    x, theta = rows(seed), frequencies(4)
    at = torch.full((5,), 1)
    twice = rotate(rotate(x, at * a, theta), at * b, theta)
    torch.testing.assert_close(twice, rotate(x, at * (a + b), theta), atol=2e-4, rtol=0)


@MANY
@given(st.integers(0, 10_000), st.integers(-100_000, 100_000))
def test_the_way_back_is_exact(seed, a):
    x, theta = rows(seed), frequencies(4)
    at = torch.full((5,), a)
    torch.testing.assert_close(rotate(rotate(x, at, theta), -at, theta), x, atol=1e-12, rtol=0)


def test_zero_is_the_identity_bit_for_bit():
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        x = rows(2, dtype=dtype)
        assert torch.equal(rotate(x, torch.zeros(5, dtype=torch.int64), frequencies(4)), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_once(dtype):
    x, at = rows(3, dtype=dtype), torch.arange(5) * 1_001
    got = rotate(x, at, frequencies(4))
    assert got.dtype == dtype
    assert torch.equal(got, rotate(x.float(), at, frequencies(4)).to(dtype))


@pytest.mark.parametrize("kind", ["default", "linear", "llama3"])
def test_equals_the_rotation_of_a_model(kind):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    parameters = {"rope_type": kind, "rope_theta": 10_000.0}
    if kind != "default":
        parameters["factor"] = 4.0
    if kind == "llama3":
        parameters |= {
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    config = LlamaConfig(hidden_size=32, num_attention_heads=4, rope_parameters=parameters)
    embedding = LlamaRotaryEmbedding(config)
    x, at = rows(4, dtype=torch.float32), torch.tensor([0, 1, 17, 400, 1_999])
    cos, sin = embedding(x, at.expand(2, 5))
    expected = apply_rotary_pos_emb(x, x, cos, sin)[1]
    torch.testing.assert_close(rotate(x, at, embedding.inv_freq), expected, atol=1e-5, rtol=0)


def test_too_many_frequencies_are_refused():
    with pytest.raises(UsageError, match=r"5 frequencies turn 10 channels, but rows have 8"):
        rotate(rows(0), torch.arange(5), frequencies(5))
