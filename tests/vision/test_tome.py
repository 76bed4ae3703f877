"""ToMe against loops over all pairs, and its effect on real and trained encoders."""

import numpy as np
import pytest
import torch

from tokenry.plugs.attach import attach
from tokenry.vision.pool import Pool
from tokenry.vision.random import Random
from tokenry.vision.tome import ToMe


def merges_by_loops(keys, r, protected):
    """Paper, section 3: for one image, the pairs (even row, odd row) of row numbers that merge."""
    metric = keys.mean(0)
    lengths = np.linalg.norm(metric, axis=1)
    metric = metric / np.where(lengths == 0, 1, lengths)[:, None]
    n = len(metric)
    edges = []
    for i in range(0, n, 2):
        if i < protected:
            continue  # the class token goes nowhere
        best, partner = -np.inf, None
        for j in range(1, n, 2):
            if j < protected:
                continue  # the distillation token takes nothing in
            if metric[i] @ metric[j] > best:
                best, partner = metric[i] @ metric[j], j
        edges.append((-best, i, partner))
    return [(i, j) for _, i, j in sorted(edges)[: min(r, (n - protected) // 2)]]


def merges_of(plan, image):
    into = plan.keep[image][plan.target[image]].tolist()
    return list(zip(plan.source[image].tolist(), into, strict=True))


def random_keys(seed, b, n, h=2, e=4):
    return torch.randn(b, h, n, e, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("protected", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [8, 9, 16, 17, 33])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_merge_equals_loops(look, n, protected, share):
    """Class token, distillation token, registers, none; odd and even; up to the most that may."""
    keys = random_keys(n, 3, n)
    r = max(1, round(share * ((n - protected) // 2)))
    plan = ToMe().reduce(torch.zeros(3, n, 2), look(keys, n - r, protected=protected))
    for image in range(3):
        expected = merges_by_loops(keys[image].double().numpy(), r, protected)
        assert sorted(merges_of(plan, image)) == sorted(expected)
        gone = {i for i, _ in expected}
        assert plan.keep[image].tolist() == [row for row in range(n) if row not in gone]


def test_zero_keys_give_a_plan(look):
    """The released code divides by the length and gets NaN."""
    plan = ToMe().reduce(torch.zeros(1, 9, 2), look(torch.zeros(1, 2, 9, 4), 6))
    assert merges_of(plan, 0) == [(2, 1), (4, 1), (6, 1)]


def vit_by_loops(model, pixels, r, proportional):
    """A ViT with ToMe, forward by hand: matrix products here, matching and merging in loops."""
    heads = model.config.num_attention_heads
    x = model.embeddings(pixels)
    special = x.shape[1] - (pixels.shape[-1] // model.config.patch_size) ** 2
    size = torch.ones(*x.shape[:2])
    groups = [[{token} for token in range(x.shape[1])] for _ in x]
    for block in model.layers:
        b, n, d = x.shape
        y = block.layernorm_before(x)
        part = block.attention
        q, k, v = (
            project(y).view(b, n, heads, d // heads).transpose(1, 2)
            for project in (part.q_proj, part.k_proj, part.v_proj)
        )
        scores = q @ k.transpose(-1, -2) / (d // heads) ** 0.5
        if proportional:
            scores = scores + size.log()[:, None, None, :]
        x = x + part.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, d))
        rows, sizes = [], []
        for image in range(b):
            pairs = merges_by_loops(k[image].double().numpy(), r, special)
            into = {j: [i for i, partner in pairs if partner == j] + [j] for _, j in pairs}
            gone = {i for i, _ in pairs}
            stay = [row for row in range(n) if row not in gone]
            members = [into.get(row, [row]) for row in stay]
            weight = [size[image, m] for m in members]
            sizes.append(torch.stack([w.sum() for w in weight]))
            rows.append(
                torch.stack(
                    [
                        (w[:, None] * x[image, m]).sum(0) / w.sum()
                        for w, m in zip(weight, members, strict=True)
                    ]
                )
            )
            groups[image] = [set().union(*(groups[image][i] for i in m)) for m in members]
        x, size = torch.stack(rows), torch.stack(sizes)
        x = x + block.mlp(block.layernorm_after(x))
    return model.layernorm(x), size, groups


@pytest.mark.parametrize("name", ["vit", "deit"])
@pytest.mark.parametrize("proportional", [True, False])
def test_whole_encoder_equals_loops(tiny, images, name, proportional):
    model, pixels = tiny(name), images(2)
    method = ToMe(schedule=(7,) * 6, proportional=proportional)
    with torch.no_grad():
        expected, size, groups = vit_by_loops(model, pixels, 7, proportional)
        with attach(model, method) as attachment:
            got = model(pixels).last_hidden_state
    trace = attachment.trace
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)
    assert torch.equal(trace.size.squeeze(-1), size)
    for image in range(2):
        for row, members in enumerate(groups[image]):
            assert set((trace.origin[image] == row).nonzero().flatten().tolist()) == members


def pixels_of_twins(seed):
    """Two images of 8 x 8 patches in which each patch stands twice, side by side."""
    source = torch.Generator().manual_seed(seed)
    patches = torch.randn(2, 3, 8, 4, 4, 4, generator=source)  # image, colour, row, pair, y, x
    twins = patches.repeat_interleave(2, 3)
    return twins.permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 32, 32)


@pytest.mark.parametrize("schedule", [(32,), (10, 12, 6), (0, 0, 20)])
def test_merging_duplicates_is_exact_with_proportional_attention(tiny, schedule):
    """Twins merge, and every token ends as in the untouched model; without it, it does not."""
    model = tiny("vit")
    model.embeddings.position_embeddings.data.zero_()
    pixels = pixels_of_twins(0)
    with torch.no_grad():
        untouched = model(pixels).last_hidden_state
        restored = {}
        for proportional in (True, False):
            with attach(model, ToMe(schedule=schedule, proportional=proportional)) as attachment:
                rows = model(pixels).last_hidden_state
            trace = attachment.trace
            restored[proportional] = trace.unmerge(rows)
            twins = trace.origin[:, 1:].view(2, 32, 2)
            assert (trace.size <= 2).all()
            assert (twins[..., 0] == twins[..., 1]).sum() == 2 * sum(schedule)
    torch.testing.assert_close(restored[True], untouched, atol=1e-5, rtol=1e-5)
    assert (restored[False] - untouched).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["vit", "deit", "dinov2-registers", "siglip"])
def test_every_layer_partitions_the_tokens(tiny, images, name):
    """Sizes sum to the number of tokens, and each token is in exactly one row, layer by layer."""
    model, pixels = tiny(name), images(2)
    for layers in range(1, 7):
        with attach(model, ToMe(schedule=(9,) * layers)) as attachment, torch.no_grad():
            rows = model(pixels).last_hidden_state
        trace = attachment.trace
        k = rows.shape[1]
        assert k < trace.full
        assert trace.size.sum(1).flatten().tolist() == [trace.full] * 2
        for image in range(2):
            members = np.bincount(trace.origin[image].numpy(), minlength=k)
            assert members.tolist() == trace.size[image].flatten().tolist()
            assert members.min() >= 1
        assert (trace.size[:, : trace.protected] == 1).all()


def test_a_large_r_is_cut_to_half_of_the_patches(tiny, images):
    model = tiny("vit")
    with attach(model, ToMe(schedule=(1000,) * 6)) as attachment, torch.no_grad():
        model(images(1))
    after = [mlp for _, mlp in attachment.trace.tokens]
    assert after == [33, 17, 9, 5, 3, 2]


def test_permuted_patches_change_who_merges(look):
    """Parity decides who may meet whom, so ToMe depends on the order of the tokens."""
    keys = random_keys(0, 1, 33)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(32)])
    plain = ToMe().reduce(torch.zeros(1, 33, 2), look(keys, 23))
    mixed = ToMe().reduce(torch.zeros(1, 33, 2), look(keys[:, :, order], 23))
    back = [tuple(order[list(pair)].tolist()) for pair in merges_of(mixed, 0)]
    assert set(map(frozenset, back)) != set(map(frozenset, merges_of(plain, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.75, 0.5])
def test_claim_beats_random_and_pooling(closeness, interval, keep):
    """DINOv2 on 48 drawings: closer to the untouched model than both, at equal token counts."""
    merged = closeness(ToMe(keep=keep))
    for baseline in (Random(keep=keep), Pool(keep=keep)):
        mean, low, high = interval(merged - closeness(baseline))
        print(f"{baseline.describe()}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
        assert low > 0


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.75, 0.5])
def test_proportional_attention_helps(closeness, interval, keep):
    """The same drawings: closer with log size in the scores than without."""
    plain = closeness(ToMe(keep=keep, proportional=False))
    mean, low, high = interval(closeness(ToMe(keep=keep)) - plain)
    print(f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    assert low > 0


@pytest.mark.slow
def test_claim_costs_a_trained_classifier_little(digit_reader, interval):
    """At half of the multiplications: as many digits right, and far more than after pooling.

    Random dropping costs this easy task too little to tell by right and wrong; the class
    probabilities tell.
    """
    untouched, _, _ = digit_reader(ToMe())
    right, moved, share = digit_reader(ToMe(keep=0.5))
    assert untouched.mean() > 0.95
    assert 0.45 < share < 0.5
    assert (right - untouched).mean() > -0.005
    pooled, _, _ = digit_reader(Pool(keep=0.5))
    assert interval(right - pooled)[1] > 0
    for other in (Random(keep=0.5), ToMe(keep=0.5, proportional=False)):
        reads, drifted, _ = digit_reader(other)
        mean, low, _ = interval(drifted - moved)
        print(f"{other.describe()}: right {(right - reads).mean():+.4f}, nats {mean:+.5f}")
        assert low > 0


def test_golden_values(look, golden):
    """A seeded layer of two images: who stays, who merges where, and what comes out."""
    noise = np.random.RandomState(0)
    keys, x = (
        torch.as_tensor(noise.randn(*shape)).float() for shape in [(2, 2, 13, 4), (2, 13, 3)]
    )
    size = torch.as_tensor(noise.randint(1, 5, (2, 13, 1))).float()
    plan = ToMe().reduce(x, look(keys, 8))
    merged, mass = plan.merge(x, size)
    golden(
        "tome",
        {
            "kept": plan.keep.tolist(),
            "source": plan.source.tolist(),
            "target": plan.target.tolist(),
            "size": mass.flatten().tolist(),
            "checksum": (merged.flatten() * torch.arange(48).cos()).sum().item(),
        },
    )
