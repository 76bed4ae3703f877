"""Attention weights against loops, and the size bias against really repeated keys."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops import attention
from tokenry.ops.attention import attend_and_weigh, class_weights, column_mass, key_bias, weights

MANY = settings(deadline=None, max_examples=30)


def random_heads(seed, b=2, h=3, n=6, e=4):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(b, h, n, e, generator=source) for _ in range(3)]


def softmax_by_loops(queries, keys, scale, bias):
    out = np.zeros((*queries.shape[:3], keys.shape[2]))
    for image, head, i in np.ndindex(queries.shape[:3]):
        powers = [
            math.exp(scale * float(queries[image, head, i] @ keys[image, head, j]) + bias[image, j])
            for j in range(keys.shape[2])
        ]
        out[image, head, i] = np.array(powers) / sum(powers)
    return out


@MANY
@given(st.integers(0, 10_000), st.integers(1, 7), st.booleans())
def test_weights_equal_loops(seed, n, biased):
    q, k, _ = random_heads(seed, n=n)
    bias = torch.randn(2, 1, 1, n) if biased else None
    by_loops = softmax_by_loops(
        q.double().numpy(),
        k.double().numpy(),
        0.5,
        np.zeros((2, n)) if bias is None else bias[:, 0, 0].numpy(),
    )
    np.testing.assert_allclose(weights(q, k, 0.5, bias).numpy(), by_loops, atol=1e-6)


@MANY
@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_log_size_equals_repeated_keys(seed, sizes):
    """Proportional attention is exact: key j with log(s_j) is key j written s_j times."""
    q, k, v = random_heads(seed, n=len(sizes))
    size = torch.tensor(sizes, dtype=torch.float32).view(1, -1, 1).expand(2, -1, -1)
    merged = weights(q, k, 0.5, key_bias(size, None, weigh=True)) @ v
    times = torch.tensor(sizes)
    repeated = [x.repeat_interleave(times, 2) for x in (k, v)]
    expected = weights(q, repeated[0], 0.5) @ repeated[1]
    torch.testing.assert_close(merged, expected, atol=1e-6, rtol=1e-6)


def test_log_size_in_scaled_dot_product_attention():
    """The same identity through the kernel that the models run."""
    q, k, v = random_heads(3)
    times = torch.tensor([1, 2, 1, 4, 1, 3])
    bias = key_bias(times.float().view(1, -1, 1).expand(2, -1, -1), None, weigh=True)
    attend = torch.nn.functional.scaled_dot_product_attention
    repeated = [x.repeat_interleave(times, 2) for x in (k, v)]
    torch.testing.assert_close(
        attend(q, k, v, attn_mask=bias), attend(q, *repeated), atol=1e-6, rtol=1e-6
    )


def test_bias_without_sizes_and_padding_is_none():
    size = torch.full((2, 5, 1), 3.0)
    assert key_bias(size, None, weigh=False) is None


@pytest.mark.parametrize("weigh", [False, True])
def test_padding_gets_no_weight(weigh):
    q, k, _ = random_heads(1)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[0, 4:] = False
    size = torch.arange(1.0, 7).view(1, 6, 1).expand(2, -1, -1) * valid.unsqueeze(-1)
    got = weights(q, k, 0.5, key_bias(size, valid, weigh))
    assert (got[0, :, :, 4:] == 0).all()
    short_size = size[:1, :4] if weigh else torch.ones(1, 4, 1)
    alone = weights(q[:1], k[:1, :, :4], 0.5, key_bias(short_size, None, weigh=True))
    torch.testing.assert_close(got[:1, :, :, :4], alone, atol=1e-6, rtol=1e-6)


def test_bias_never_punishes_a_row():
    """A row that lost its mass, or never had any, counts as one token."""
    size = torch.tensor([[[0.0], [0.5], [1.0], [math.e]]])
    bias = key_bias(size, None, weigh=True)
    assert bias.dtype == torch.float32
    assert bias.flatten().tolist() == pytest.approx([0.0, 0.0, 0.0, 1.0])


@MANY
@given(st.integers(0, 10_000), st.booleans())
def test_class_weights_are_the_class_row_of_the_full_matrix(seed, biased):
    q, k, _ = random_heads(seed)
    bias = torch.randn(2, 1, 1, 6) if biased else None
    full = weights(q, k, 0.5, bias)[:, :, 0].mean(1)
    torch.testing.assert_close(class_weights(q, k, 0.5, bias), full, atol=1e-6, rtol=1e-6)


def test_without_class_token_the_mean_query_asks():
    q, k, _ = random_heads(5)
    by_loops = softmax_by_loops(
        q.mean(2, keepdim=True).double().numpy(), k.double().numpy(), 0.5, np.zeros((2, 6))
    )
    got = class_weights(q, k, 0.5, protected=0)
    np.testing.assert_allclose(got.numpy(), by_loops.mean(1)[:, 0], atol=1e-6)


def test_weights_are_float32_for_bfloat16_heads():
    q, k, _ = (x.bfloat16() for x in random_heads(0))
    got = weights(q, k, 0.5)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.sum(-1), torch.ones(2, 3, 6))


@MANY
@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([1, 3]), st.booleans())
def test_output_and_mass_equal_the_whole_matrix(seed, t, repeats, padded):
    """In pieces of sixteen queries and one key head, behind slots from before; both at once."""
    source = torch.Generator().manual_seed(seed)
    b, g, s, e = 2, 2, t + 5, 4
    queries = torch.randn(b, g * repeats, t, e, generator=source)
    keys, values = torch.randn(2, b, g, s, e, generator=source)
    bias = torch.randn(b, g, s, generator=source)
    causal = torch.ones(t, s, dtype=torch.bool).tril(s - t).expand(b, g, t, s)
    real, allowed = torch.ones(b, t, dtype=torch.bool), None
    if padded:
        real[0, : t // 2] = False
        allowed = causal & torch.rand(b, g, 1, s, generator=source).lt(0.8)
        allowed[..., -1] = True
    scores = 0.5 * queries @ keys.repeat_interleave(repeats, 1).mT
    scores += bias.repeat_interleave(repeats, 1).unsqueeze(2)
    open_to = (causal if allowed is None else allowed).repeat_interleave(repeats, 1)
    matrix = scores.masked_fill(~open_to, -math.inf).softmax(-1) * real[:, None, :, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_SCORES", 16 * s)
        asked = queries, keys, values, 0.5, allowed, real if padded else None, bias
        out, mass = attend_and_weigh(*asked)
        alone = column_mass(*asked[:2], *asked[3:])
    torch.testing.assert_close(mass, matrix.sum(2))
    assert torch.equal(mass, alone)
    torch.testing.assert_close(out, matrix @ values.repeat_interleave(repeats, 1))
