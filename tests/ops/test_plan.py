"""Plans against loops in plain Python, over several layers, and through autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.plan import Plan, flat_rows, take_rows, unmerge

MANY = settings(deadline=None, max_examples=40)


def draw_plan(rng, b, n, padded):
    """A random plan on n rows: some stay (in any order), some merge, some are left to drop."""
    k = rng.integers(1, n + 1)
    r = rng.integers(0, n - k + 1)
    rows = np.stack([rng.permutation(n) for _ in range(b)])
    valid = rng.random((b, k)) < 0.7 if padded else np.ones((b, k), bool)
    target = np.full((b, r), -1)
    for image in range(b):
        places = [-1, *np.flatnonzero(valid[image])] if padded else range(k)
        target[image] = rng.choice(list(places), r)
    return rows[:, :k], rows[:, k : k + r], target, valid


def as_plan(keep, source, target, valid, padded):
    tensors = [torch.as_tensor(part) for part in (keep, source, target)]
    return Plan(*tensors, valid=torch.as_tensor(valid) if padded else None)


def merged_by_loops(x, size, keep, source, target, valid):
    """Each row that stays, as the size-weighted mean of itself and of all that go into it."""
    out = np.zeros((len(x), keep.shape[1], x.shape[-1]))
    mass = np.zeros((len(x), keep.shape[1], 1))
    for image in range(len(x)):
        for j in range(keep.shape[1]):
            members = [keep[image, j]] if valid[image, j] else []
            members += [s for s, t in zip(source[image], target[image], strict=True) if t == j]
            for i in members:
                out[image, j] += size[image, i, 0] * x[image, i]
                mass[image, j] += size[image, i, 0]
            if members:
                out[image, j] /= mass[image, j]
    return out, mass


def moved_by_dict(origin, keep, source, target, valid):
    """Where each original token is afterwards, looked up one by one."""
    after = np.full_like(origin, -1)
    for image in range(len(origin)):
        place = {row: j for j, row in enumerate(keep[image]) if valid[image, j]}
        merged = zip(source[image], target[image], strict=True)
        place.update((s, t) for s, t in merged if t >= 0)
        after[image] = [place.get(row, -1) if row >= 0 else -1 for row in origin[image]]
    return after


@MANY
@given(
    st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.booleans()
)
def test_merge_equals_loops(seed, b, n, d, padded):
    rng = np.random.default_rng(seed)
    parts = draw_plan(rng, b, n, padded)
    x, size = rng.normal(size=(b, n, d)), rng.integers(1, 6, (b, n, 1))
    got, mass = as_plan(*parts, padded).merge(
        torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(size, dtype=torch.float32)
    )
    expected, expected_mass = merged_by_loops(x, size, *parts)
    valid = parts[-1]
    np.testing.assert_allclose(got.numpy()[valid], expected[valid], atol=1e-5)
    np.testing.assert_array_equal(mass.numpy(), expected_mass)
    assert got.isfinite().all()


@MANY
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_merging_conserves_size_and_weighted_sum(seed, n):
    rng = np.random.default_rng(seed)
    keep, _, _, valid = draw_plan(rng, 2, n, padded=False)
    k = keep.shape[1]
    source = np.stack([sorted(set(range(n)) - set(row.tolist())) for row in keep])
    source = source.reshape(2, n - k).astype(np.int64)
    plan = as_plan(keep, source, rng.integers(0, k, source.shape), valid, padded=False)
    x, size = torch.randn(2, n, 3), torch.as_tensor(rng.integers(1, 50, (2, n, 1))).float()
    merged, mass = plan.merge(x, size)
    assert torch.equal(mass.sum(1), size.sum(1))
    torch.testing.assert_close((merged * mass).sum(1), (x * size).sum(1), atol=1e-3, rtol=1e-4)


@MANY
@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
def test_origins_sizes_and_values_agree_over_layers(seed, layers, padded):
    """After any number of plans: origin as a dict walk, size its count, value its plain mean."""
    rng = np.random.default_rng(seed)
    b, first = 2, 12
    x0 = rng.normal(size=(b, first, 3))
    x, size = torch.as_tensor(x0, dtype=torch.float32), torch.ones(b, first, 1)
    origin = torch.arange(first).expand(b, -1)
    walked = origin.numpy()
    alive = np.ones((b, first), bool)
    for _ in range(layers):
        keep, source, target, valid = draw_plan(rng, b, x.shape[1], padded)
        valid &= np.take_along_axis(alive, keep, 1)  # a row of padding stays padding
        target[~np.take_along_axis(valid, target.clip(0), 1)] = -1
        plan = as_plan(keep, source, target, valid, padded)
        origin = plan.follow(origin, x.shape[1])
        walked = moved_by_dict(walked, keep, source, target, valid)
        x, size = plan.merge(x, size)
        alive = valid
    np.testing.assert_array_equal(origin.numpy(), walked)
    for image in range(b):
        for row in np.flatnonzero(alive[image]):
            tokens = np.flatnonzero(walked[image] == row)
            assert size[image, row, 0] == len(tokens)
            np.testing.assert_allclose(x[image, row].numpy(), x0[image, tokens].mean(0), atol=1e-5)
    restored = unmerge(x, origin).numpy()
    for image in range(b):
        for token, row in enumerate(walked[image]):
            expected = x[image, row].numpy() if row >= 0 else np.zeros(3)
            np.testing.assert_array_equal(restored[image, token], expected)


def test_rows_in_no_list_are_dropped():
    plan = Plan(torch.tensor([[0, 3]]), torch.tensor([[1]]), torch.tensor([[1]]))
    assert plan.follow(torch.arange(5)[None], 5).tolist() == [[0, 1, -1, 1, -1]]


def test_target_minus_one_leaves_the_source_alone():
    """The source is then neither merged nor moved: its mass is gone, its tokens are dropped."""
    plan = Plan(torch.tensor([[0, 1]]), torch.tensor([[2, 3]]), torch.tensor([[-1, 0]]))
    x = torch.tensor([[[1.0], [2.0], [100.0], [5.0]]])
    merged, size = plan.merge(x, torch.ones(1, 4, 1))
    assert merged.flatten().tolist() == [3.0, 2.0]
    assert size.flatten().tolist() == [2.0, 1.0]
    assert plan.follow(torch.arange(4)[None], 4).tolist() == [[0, 1, -1, 0]]


def test_padding_row_weighs_nothing():
    """The second kept row of the first image is padding: size 0, no tokens, nothing NaN."""
    valid = torch.tensor([[True, False], [True, True]])
    plan = Plan(
        torch.tensor([[0, 1], [0, 1]]),
        torch.tensor([[2], [2]]),
        torch.tensor([[0], [1]]),
        valid,
    )
    merged, size = plan.merge(torch.arange(6.0).view(2, 3, 1), torch.ones(2, 3, 1))
    assert size.squeeze(-1).tolist() == [[2.0, 0.0], [1.0, 2.0]]
    assert merged.squeeze(-1).tolist() == [[1.0, 0.0], [3.0, 4.5]]
    origin = plan.follow(torch.arange(3).expand(2, -1), 3)
    assert origin.tolist() == [[0, -1, 0], [0, 1, 1]]


def test_one_row_takes_in_all_others():
    plan = Plan(torch.tensor([[2]]), torch.tensor([[0, 1, 3]]), torch.tensor([[0, 0, 0]]))
    size = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    merged, total = plan.merge(torch.tensor([[[10.0], [20.0], [30.0], [40.0]]]), size)
    assert merged.item() == pytest.approx(30.0)
    assert total.item() == 10.0


@pytest.mark.parametrize("source", [None, torch.zeros(2, 0, dtype=torch.long)])
def test_without_sources_rows_are_only_selected(source):
    """Bit for bit: a plan that only drops does not touch what stays."""
    keep = torch.tensor([[0, 2], [1, 3]])
    x = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    merged, size = Plan(keep, source, source).merge(x, torch.full((2, 4, 1), 7.0))
    assert torch.equal(merged, x.gather(1, keep.unsqueeze(-1).expand(-1, -1, 5)))
    assert size.flatten().tolist() == [7.0] * 4


def test_gradient_is_each_row_s_share_of_its_group():
    """d merged_j / d x_i = s_i / S_j for members and 0 for all others, exactly once each."""
    plan = Plan(torch.tensor([[0, 3]]), torch.tensor([[1, 4]]), torch.tensor([[1, 1]]))
    size = torch.tensor([[[1.0], [2.0], [1.0], [1.0], [5.0]]])
    x = torch.randn(1, 5, 1, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda x: plan.merge(x, size)[0], x)
    expected = torch.tensor([[1, 0, 0, 0, 0], [0, 2 / 8, 0, 1 / 8, 5 / 8]], dtype=torch.float64)
    torch.testing.assert_close(slope.reshape(2, 5), expected, atol=1e-7, rtol=0)


def test_gradcheck_through_merge_and_unmerge():
    plan = Plan(torch.tensor([[0, 3]]), torch.tensor([[1]]), torch.tensor([[1]]))
    size = torch.tensor([[[1.0], [2.0], [1.0], [2.0]]])
    origin = plan.follow(torch.arange(4)[None], 4)
    x = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: unmerge(plan.merge(x, size)[0], origin), x)


def test_bfloat16_rows_keep_their_type_and_float32_sizes():
    rng = np.random.default_rng(0)
    parts = draw_plan(rng, 2, 40, padded=False)
    x = torch.as_tensor(rng.normal(size=(2, 40, 8))).bfloat16()
    size = torch.as_tensor(rng.integers(1, 9, (2, 40, 1))).float()
    merged, total = as_plan(*parts, padded=False).merge(x, size)
    assert (merged.dtype, total.dtype) == (torch.bfloat16, torch.float32)
    expected, _ = merged_by_loops(x.double().numpy(), size.numpy(), *parts)
    np.testing.assert_allclose(merged.float().numpy(), expected, atol=0.04)


@MANY
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7), st.integers(0, 7))
def test_take_rows_equals_loops(seed, b, n, k):
    rng = np.random.default_rng(seed)
    x, index = rng.normal(size=(b, n, 2)), rng.integers(0, n, (b, k))
    got = take_rows(torch.as_tensor(x), torch.as_tensor(index)).numpy()
    flat = flat_rows(torch.as_tensor(index), n)
    assert got.shape == (b, k, 2)
    assert flat.tolist() == [image * n + i for image in range(b) for i in index[image]]
    for image in range(b):
        for j in range(k):
            np.testing.assert_array_equal(got[image, j], x[image, index[image, j]])
