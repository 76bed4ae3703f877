"""D2O against loops, and what its rule must conserve."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import D2O
from tokenry.checks.models import tiny_decoder, words
from tokenry.errors import UsageError
from tokenry.ops.attention import attend

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MERGES = ("softmax", "mean")


def choose(view, method, i, head, real):
    """Steps 4 and 5 by loops: kept slots, evicted ones, and for each its nearest kept one."""
    keys, mass = view.keys[i, head].double().numpy(), view.mass[i].double().numpy()
    score = mass[2 * head] + mass[2 * head + 1]
    last = min(round(view.count * method.recent), view.count - method.sinks)
    forced = real[: method.sinks] + (real[-last:] if last else [])
    rank = sorted(set(real) - set(forced), key=lambda j: -score[j])
    rank += [j for j in range(len(score)) if j not in real]
    keep = sorted((forced + rank)[: view.count])
    gone, near = [j for j in real if j not in keep], []
    for j in gone:
        cosine = [
            keys[j] @ keys[c] / np.linalg.norm(keys[j]) / np.linalg.norm(keys[c]) for c in keep
        ]
        near.append((max(cosine), int(np.argmax(cosine))))
    return keep, gone, near


def merge(x, keep, gone, near, joins, paper):
    """Step 7 by loops: what each kept row of `x` becomes, and how many are in it."""
    rows = []
    for c, slot in enumerate(keep):
        joined = [
            (j, m) for j, (m, to), join in zip(gone, near, joins, strict=True) if to == c and join
        ]
        if paper:
            below = math.e + sum(math.exp(m) for _, m in joined)
            new = math.e / below * x[slot] + sum(math.exp(m) / below * x[j] for j, m in joined)
        else:
            new = np.mean([x[slot], *(m * x[j] for j, m in joined)], axis=0)
        rows.append((new, 1 + len(joined)))
    return rows


def loops(view, method):
    """Steps 4 to 7, one text, head and slot at a time, in float64."""
    out, paper = [], method.merge == "softmax"
    for i in range(2):
        real = [j for j in range(24) if view.valid is None or bool(view.valid[i, 0, j])]
        heads = [choose(view, method, i, head, real) for head in range(2)]
        tau = mean = np.mean([m for _, _, near in heads for m, _ in near])
        if "threshold" in view.memory:
            tau = (1 - method.beta) * float(view.memory["threshold"][i]) + method.beta * mean
        shared = [(a + b) / 2 for (a, _), (b, _) in zip(heads[0][2], heads[1][2], strict=True)]
        for head, (keep, gone, near) in enumerate(heads):
            joins = [(m if paper else s) >= tau for (m, _), s in zip(near, shared, strict=True)]
            both = (x[i, head].double().numpy() for x in (view.keys, view.values))
            out.append((keep, *(merge(x, keep, gone, near, joins, paper) for x in both), tau))
    return out


@pytest.mark.parametrize("how", MERGES)
@MANY
@given(
    st.integers(0, 10_000),
    st.integers(7, 23),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_equals_loops(view, left_padded, how, seed, count, padded, later, recent):
    method = D2O(keep=0.5, merge=how, sized=True, recent=recent)
    memory = {"threshold": torch.tensor([0.3, 0.6])} if later else {}
    made = view(
        seed,
        min(count, 18) if padded else count,
        memory=memory,
        valid=left_padded if padded else None,
    )
    expected = loops(made, method)
    left = method.evict(made)
    for n, (keep, keys, values, tau) in enumerate(expected):
        i, head = divmod(n, 2)
        assert left.keep[i, head].tolist() == keep
        assert made.memory["threshold"][i].item() == pytest.approx(tau, abs=1e-6)
        for rows, new in ((keys, left.keys), (values, left.values)):
            for k, (row, size) in enumerate(rows):
                np.testing.assert_allclose(new[i, head, k].numpy(), row, atol=1e-6)
                assert left.size[i, head, k] == size


def test_something_is_merged_and_something_dropped(view):
    left = D2O(keep=0.5, sized=True).evict(view(s=200, count=40))
    merged = left.size.sum(-1) - 40
    assert (merged > 20).all()
    assert (merged < 140).all()


@pytest.mark.parametrize("merge", MERGES)
def test_a_twin_leaves_its_keeper_as_it_was(view, merge):
    """An evicted token that equals a kept one in key and value changes neither."""
    made = view(b=1, s=12, count=6)
    keys = made.keys[:, :, :6].repeat_interleave(2, 2)
    values = made.values[:, :, :6].repeat_interleave(2, 2)
    keys[:, :, 11] = -keys.mean(2)  # one that is like no other, so that twins pass the threshold
    mass = torch.tensor([9.0, 1.0] * 6).expand(1, 4, -1)
    made = replace(made, keys=keys, values=values, asked={"mass": mass})
    left = D2O(keep=0.5, merge=merge, sinks=0, recent=0.0, sized=True).evict(made)
    assert left.keep[0, 0].tolist() == [0, 2, 4, 6, 8, 10]
    assert left.size[0, 0].tolist() == [2, 2, 2, 2, 2, 1]
    torch.testing.assert_close(left.keys, keys[:, :, ::2], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(left.values, values[:, :, ::2], atol=1e-6, rtol=1e-6)
    queries = torch.randn(1, 4, 3, 4, generator=torch.Generator().manual_seed(0))
    merged = attend(queries, left.keys, left.values, 0.5, bias=left.size.log())
    doubled = attend(queries, keys[:, :, :11], values[:, :, :11], 0.5)
    torch.testing.assert_close(merged, doubled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("merge", MERGES)
def test_zero_keys_do_no_harm(view, merge):
    made = view()
    left = D2O(keep=0.5, merge=merge).evict(replace(made, keys=torch.zeros_like(made.keys)))
    assert left.keys.isfinite().all()
    assert left.values.isfinite().all()


def heavy_hitters(view, sinks, last):
    """H2O with sinks, by loops."""
    rows = []
    for i in range(view.mass.shape[0]):
        for head in range(2):
            score = view.mass[i, 2 * head] + view.mass[i, 2 * head + 1]
            s = len(score)
            forced = {*range(sinks), *range(s - last, s)}
            rest = sorted(set(range(s)) - forced, key=lambda j, score=score: -score[j])
            rows.append(sorted([*forced, *rest[: view.count - len(forced)]]))
    return rows


def test_without_merging_it_is_heavy_hitters_with_sinks(view):
    made = view(count=12)
    left = D2O(keep=0.5, merge="off").evict(made)
    assert left.keys is left.values is left.size is None
    assert left.keep.flatten(0, 1).tolist() == heavy_hitters(made, 4, 6)


# Layer budgets


def layers(view, spread, s=1000):
    """Layers whose heads differ more and more in how even their mass is."""
    made = []
    for power in spread:
        mass = torch.rand(2, 4, s, generator=torch.Generator().manual_seed(1))
        tilt = torch.linspace(0, 1, 4)[:, None] ** power
        made.append(view(s=s, asked={"mass": 1 + tilt * mass}, memory={}))
    return made


def density(view):
    """The layer statistic by numpy: variance per head, mean over texts, scaled over the heads."""
    variance = view.mass.numpy().astype(float).var(-1).mean(0)
    return ((variance - variance.min()) / (np.ptp(variance) + 1e-6)).mean()


@pytest.mark.parametrize("keep", [0.15, 0.2, 0.5, 0.9, 0.999])
def test_the_mean_share_is_keep(view, keep):
    """Whatever is clamped; the complete layers are part of it."""
    spread = np.linspace(0.2, 5, 30)
    shares = D2O(keep=keep).shares(layers(view, spread))
    assert np.mean(shares) == pytest.approx(keep, abs=1e-9)
    assert (shares[0], shares[1], shares[-1]) == (1, 1, 1)
    assert all(0.0099 < share <= 1 for share in shares)


def test_even_layers_get_more_in_the_papers_proportion(view):
    views = layers(view, [1, 1, 0.3, 3, 1, 2, 0.6, 1])
    shares = np.array(D2O(keep=0.6).shares(views))[2:-1]
    f = np.array([density(one) for one in views])[2:-1]
    assert (np.argsort(shares) == np.argsort(-f)).all()
    np.testing.assert_allclose(shares / shares.sum(), np.exp(-f) / np.exp(-f).sum(), atol=1e-5)


def test_padding_is_no_slot(view):
    """A text with padding in front counts as it does alone."""
    plain = view(b=1, s=40, asked={"mass": torch.rand(1, 4, 40)})
    mass = torch.cat([torch.full((1, 4, 9), 0.0), plain.mass], 2)
    valid = torch.ones(1, 2, 49, dtype=torch.bool)
    valid[..., :9] = False
    padded = view(b=1, s=49, valid=valid, asked={"mass": mass})
    methods = D2O(keep=0.8, early=0, late=0), D2O(keep=0.8, early=0, late=0)
    other = view(b=1, s=40, seed=3), view(b=1, s=40, seed=3)
    first = methods[0].shares([plain, other[0]])
    second = methods[1].shares([padded, other[1]])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_budgets_are_settled_once(view):
    views, method = layers(view, [1, 1, 0.3, 3, 1]), D2O(keep=0.8)
    first = method.shares(views)
    later = [replace(one, asked={"mass": torch.rand(2, 4, 1000)}) for one in reversed(views)]
    assert method.shares(later) == list(reversed(first))


def test_uniform_budgets(view):
    shares = D2O(keep=0.7, budgets="uniform").shares(layers(view, [0.1, 1, 3, 1, 2, 5]))
    assert shares == pytest.approx([1, 1, 0.4, 0.4, 0.4, 1])


@pytest.mark.parametrize(
    ("keep", "depth", "lowest"),
    [(0.1, 30, "0.109"), (0.6, 4, "0.753"), (0.9, 3, "1.0"), (0.9, 2, "1.0")],
)
def test_what_cannot_be_reached_is_refused(view, keep, depth, lowest):
    with pytest.raises(UsageError, match=rf"keep={keep} .* {depth} layers.*lowest is {lowest}\."):
        D2O(keep=keep).shares(layers(view, [1.0] * depth))


@pytest.mark.parametrize(("keep", "depth"), [(0.1, 30), (0.6, 4), (0.25, 3)])
def test_what_no_length_reaches_is_refused_before_there_is_one(view, keep, depth):
    """What is refused for the length alone, here of 400 tokens, is left for the cut."""
    with pytest.raises(UsageError, match=f"keep={keep} cannot be reached with {depth} layers"):
        D2O(keep=keep).check(depth)
    D2O(keep=0.11).check(30)
    with pytest.raises(UsageError, match=r"lowest is 0\.114"):
        D2O(keep=0.11).shares(layers(view, [1.0] * 30, s=400))


def test_the_lowest_share_is_reached(view):
    shares = D2O(keep=0.1091).shares(layers(view, np.linspace(0.2, 5, 30)))
    assert np.mean(shares) == pytest.approx(0.1091, abs=1e-9)


# In a model


@torch.no_grad()
def test_layers_hold_what_they_were_given():
    model, cache = tiny_decoder("llama"), DynamicCache()
    with attach(model, D2O(keep=0.7)) as attachment:
        model(words(2, 400), past_key_values=cache)
        trace = attachment.trace
        assert trace.resident[:2] + trace.resident[-1:] == (400, 400, 400)
        assert len(set(trace.resident[2:-1])) > 1
        assert sum(trace.resident) == pytest.approx(0.7 * 6 * 400, abs=3)
        assert trace.bytes_resident == pytest.approx(0.7 * trace.bytes_full, rel=0.02)
        first = cache.layers[3].memory["threshold"].clone()
        for token in words(2, 40, seed=1).T:
            model(token[:, None], past_key_values=cache)
        assert attachment.trace.share == pytest.approx(0.7, rel=0.02)
        assert not torch.equal(cache.layers[3].memory["threshold"], first)


@torch.no_grad()
def test_nothing_goes_where_every_layer_is_given_all():
    """With budgets at the clamp, the output is the full cache's, token for token."""
    model = tiny_decoder("llama")
    expected = model.generate(words(2, 60), max_new_tokens=20, do_sample=False, pad_token_id=0)
    with attach(model, D2O(keep=1.0, budgets="uniform")):
        got = model.generate(words(2, 60), max_new_tokens=20, do_sample=False, pad_token_id=0)
    assert torch.equal(got, expected)


@torch.no_grad()
def test_a_model_with_too_few_layers_is_refused():
    """Before it reads anything, and without a trace."""
    model = tiny_decoder("llama", num_hidden_layers=3)
    for keep in (0.5, 0.99):
        with pytest.raises(UsageError, match=r"3 layers, of which 3 .* the lowest is 1\.0"):
            attach(model, D2O(keep=keep))
    assert model.config._attn_implementation == "sdpa"
    with attach(model, D2O(keep=1.0)):
        model(words(1, 60))
    with attach(model, D2O(keep=0.5, early=0, late=0)) as attachment:
        model(words(1, 60))
    assert attachment.trace.share == pytest.approx(0.5, abs=0.01)


# On a trained model


@pytest.mark.slow
@torch.no_grad()
def test_claim_even_layers_get_more_and_it_pays(recipes):
    """A small model that finds pass keys: how far each cut cache is from the full one."""
    recipe = recipes("landmark_toy")
    model, answer = recipe.shipped("plain"), recipe.ANSWER
    ids, _ = recipe.texts(200, recipe.LENGTH, torch.Generator().manual_seed(7))

    def read(**settings):
        with attach(model, D2O(early=0, late=0, **settings)):
            cache = model(ids[:, : -answer - 1], past_key_values=DynamicCache()).past_key_values
            return model(ids[:, -answer - 1 : -1], past_key_values=cache).logits.log_softmax(-1)

    full = read(keep=1.0, budgets="uniform")
    for keep in (0.2, 0.5):
        far = {
            name: (full.exp() * (full - read(keep=keep, **settings))).sum(-1).mean(1)
            for name, settings in {
                "variance": {"merge": "off"},
                "uniform": {"merge": "off", "budgets": "uniform"},
                "merged": {},
            }.items()
        }
        print(keep, {name: f"{values.mean():.3f}" for name, values in far.items()})
        assert ttest_rel(far["variance"], far["uniform"], alternative="less").pvalue < 0.01
        # Merging neither pays nor costs here; what the card says is not shown.
        assert far["merged"].mean() == pytest.approx(far["variance"].mean().item(), rel=0.02)
