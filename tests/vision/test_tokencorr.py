"""TokenCorr against numpy, its draws against their probabilities, and pages of drawn text."""

import itertools
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import chisquare, spearmanr

import tokenry.zoo
from tokenry.method import Heads, LayerView
from tokenry.plugs.attach import attach
from tokenry.plugs.trace import TokenState
from tokenry.vision.grid import Grid
from tokenry.vision.random import Random
from tokenry.vision.tokencorr import TokenCorr, density, outliers


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def look(queries, keys, count, low, *, protected=1, size=None, share=None):
    """The view before the cut: deep queries and keys `(b, h, n, e)`, low attention `(b, n - p)`."""
    b, _, n, e = queries.shape
    memory = {"low": low} if share is None else {"low": low, "density": share}
    return LayerView(
        layer=3,
        depth=12,
        grid=(1, n - protected),
        protected=protected,
        count=count,
        size=torch.ones(b, n, 1) if size is None else size,
        valid=None,
        origin=torch.arange(n).expand(b, n),
        heads=Heads(queries, keys, e**-0.5),
        bias=None,
        memory=memory,
    )


def deep_attention(q, k, protected):
    """Oracle for one image: softmax of the class token's (or the mean) query, mean over heads."""
    total = 0
    for head_q, head_k in zip(q, k, strict=True):
        probe = head_q[0] if protected else head_q.mean(0)
        scores = head_k @ probe * q.shape[-1] ** -0.5
        weight = np.exp(scores - scores.max())
        total = total + weight / weight.sum() / len(q)
    return total[protected:]


def above_the_box(values):
    low, high = np.percentile(values, [25, 75])  # linear interpolation
    return values > high + 1.5 * (high - low)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def merged(x, size, keys, kept, protected):
    """Oracle for one image: every row not in `kept` averaged into the one with the nearest key."""
    groups = {i: [i] for i in kept}
    for i in range(len(x)):
        if i not in groups:
            nearest = max(kept[protected:], key=lambda j: cosine(keys[i], keys[j]))
            groups[nearest].append(i)
    mean = [np.average(x[group], axis=0, weights=size[group]) for group in groups.values()]
    return np.array(mean), np.array([size[group].sum() for group in groups.values()])


# --- the parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 16, 63, 64])
def test_outliers_equal_numpys_interquartile_rule(n):
    attention = (1.5 * noise(6, n, seed=n)).exp()
    attention = attention / attention.sum(-1, keepdim=True)
    found = outliers(attention)
    expected = np.array([above_the_box(row) for row in attention.double().numpy()])
    assert found.tolist() == expected.tolist()
    assert n < 10 or found.any()


def test_constant_attention_has_no_outlier():
    assert not outliers(torch.full((2, 9), 0.1)).any()


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("neighbours", [0.0, 0.05, 0.2])
def test_density_equals_loops(similarity, neighbours):
    keys = noise(3, 40, 8, seed=1) + torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1)
    needed = max(1, int(np.ceil(neighbours * 40)))
    expected = []
    for image in keys.double().numpy():
        redundant = 0
        for i, j in enumerate(image):
            others = [other for k, other in enumerate(image) if k != i]
            redundant += sum(cosine(j, other) > similarity for other in others) >= needed
        expected.append(1 - redundant / 40)
    assert 0 < np.mean(expected) < 1
    found = density(keys, similarity, neighbours)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_density_is_zero_for_one_colour_and_one_for_all_different():
    assert density(torch.ones(1, 300, 8), 0.9, 0.05).item() == 0
    assert density(torch.eye(300)[None], 0.9, 0.05).item() == 1


# --- the cut ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protected", [0, 1, 3])
@pytest.mark.parametrize("count", [6, 12, 25])
def test_reduce_equals_loops_over_the_paper(protected, count):
    n = 36 + protected
    q, k = 2 * noise(3, 2, n, 8, seed=1), noise(3, 2, n, 8, seed=2)
    low = noise(3, 36, seed=3).softmax(-1)
    x, size = noise(3, n, 5, seed=4), 1 + noise(3, n, 1, seed=5).abs()
    view = look(q, k, count, low, protected=protected, size=size)
    plan = TokenCorr(keep=0.5, draw="top").reduce(x, view)
    got, weight = plan.merge(x, size)
    some = False
    for i in range(3):
        deep = deep_attention(q[i].double().numpy(), k[i].double().numpy(), protected)
        out = above_the_box(deep)
        some = some or out.any()
        stand = sorted(np.flatnonzero(out), key=lambda j: -deep[j])
        drawn = [j for j in np.argsort(-low[i].double().numpy()) if not out[j]]
        chosen = sorted((stand + drawn)[: count - protected])
        kept = [*range(protected), *(int(j) + protected for j in chosen)]
        assert plan.keep[i].tolist() == kept
        flat = k[i].transpose(0, 1).flatten(1).double().numpy()
        rows, sizes = merged(
            x[i].double().numpy(), size[i, :, 0].double().numpy(), flat, kept, protected
        )
        np.testing.assert_allclose(got[i].numpy(), rows, atol=1e-5)
        np.testing.assert_allclose(weight[i, :, 0].numpy(), sizes, rtol=1e-5)
    assert some


def test_of_too_many_outliers_the_most_attended_stay():
    n = 65
    q, k = torch.zeros(1, 1, n, 2), torch.zeros(1, 1, n, 2)
    q[..., 0, 0] = 2**0.5
    loud = 3 + 0.1 * noise(10, seed=7)
    places = 1 + torch.randperm(64, generator=torch.Generator().manual_seed(8))[:10]
    k[0, 0, places, 0] = loud
    low = torch.full((1, 64), 1 / 64)
    plan = TokenCorr(keep=0.5).reduce(torch.zeros(1, n, 2), look(q, k, 1 + 4, low))
    best = places[loud.argsort(descending=True)[:4]]
    assert plan.keep[0, 1:].tolist() == sorted(best.tolist())


def uniform(n, low, count, **settings):
    """Kept patches when deep attention is constant, so that nothing stands out."""
    q, k = torch.zeros(1, 1, n + 1, 2), noise(1, 1, n + 1, 2)
    view = look(q, k, count + 1, torch.tensor([low]))
    plan = TokenCorr(keep=0.5, **settings).reduce(torch.zeros(1, n + 1, 2), view)
    return tuple((plan.keep[0, 1:] - 1).tolist())


def test_without_outliers_all_tokens_are_drawn():
    low = [0.4, 0.1, 0.3, 0.2]
    assert uniform(4, low, 2, draw="top") == (0, 2)
    assert len(uniform(4, low, 3)) == 3


def test_the_draw_is_reproducible_and_follows_its_seed():
    low = noise(40).softmax(-1).tolist()
    draws = [uniform(40, low, 10, seed=seed) for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def test_draws_follow_the_probabilities_without_replacement():
    low, seeds = [0.35, 0.25, 0.2, 0.1, 0.1], 800
    ones = np.zeros(5)
    pairs = dict.fromkeys(itertools.combinations(range(5), 2), 0)
    for seed in range(seeds):
        ones[list(uniform(5, low, 1, seed=seed))] += 1
        pairs[uniform(5, low, 2, seed=seed)] += 1
    assert chisquare(ones, np.array(low) * seeds).pvalue > 0.01
    chance = [low[i] * low[j] * (1 / (1 - low[i]) + 1 / (1 - low[j])) for i, j in pairs]
    assert chisquare(list(pairs.values()), np.array(chance) * seeds).pvalue > 0.01
    assert chisquare(ones).pvalue < 1e-9  # and the test can tell


# --- adaptive counts -------------------------------------------------------------------------


def test_adaptive_keeps_the_union_of_outliers_and_draws():
    n = 40
    q, k = 2 * noise(4, 2, n + 1, 8, seed=1), noise(4, 2, n + 1, 8, seed=2)
    low = noise(4, n, seed=3).softmax(-1)
    share = torch.tensor([0.0, 0.1, 0.26, 0.9])
    x, size = noise(4, n + 1, 5, seed=4), torch.ones(4, n + 1, 1)
    plan = TokenCorr(keep=0.5, adaptive=True, draw="top").reduce(
        x, look(q, k, 1 + 20, low, share=share)
    )
    got, weight = plan.merge(x, size)
    counts = []
    for i in range(4):
        deep = deep_attention(q[i].double().numpy(), k[i].double().numpy(), 1)
        out = above_the_box(deep)
        order = np.argsort(-low[i].numpy())
        drawn = order[: max(1, int(np.ceil(share[i].item() * n)))]
        union = set(np.flatnonzero(out)) | set(drawn)
        if len(union) > 20:  # the dial is the ceiling
            stand = sorted(np.flatnonzero(out), key=lambda j: -deep[j])
            union = (stand + [j for j in order if not out[j]])[:20]
        kept = [0, *(int(j) + 1 for j in sorted(union))]
        counts.append(len(kept))
        assert plan.keep[i][plan.valid[i]].tolist() == kept
        flat = k[i].transpose(0, 1).flatten(1).double().numpy()
        rows, sizes = merged(x[i].double().numpy(), np.ones(n + 1), flat, kept, 1)
        np.testing.assert_allclose(got[i][plan.valid[i]].numpy(), rows, atol=1e-5)
        np.testing.assert_allclose(weight[i, : len(kept), 0].numpy(), sizes, rtol=1e-6)
        assert (weight[i, len(kept) :] == 0).all()
    assert len(set(counts)) > 2


@pytest.mark.parametrize("name", ["vit", "dinov2", "siglip"])
def test_adaptive_in_a_batch_equals_each_image_alone(tiny, images, name):
    model = tiny(name)
    pixels = images(4)
    pixels[1] = 0
    pixels[2, :, 8:] = 0.5
    method = TokenCorr(keep=0.7, adaptive=True, similarity=0.6, neighbours=0.1)
    with attach(model, method) as attached, torch.no_grad():
        together = model(pixels).pooler_output
        trace = attached.trace
        kept = trace.valid.sum(1)
        for i in range(4):
            alone = model(pixels[i : i + 1]).pooler_output
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)
            assert attached.trace.tokens[-1][0] == kept[i]
            assert attached.trace.origin.tolist() == trace.origin[i : i + 1].tolist()
    assert kept.min() < kept.max()
    total = (trace.size[..., 0] * trace.valid).sum(1)
    assert (total == trace.full).all()  # nothing is lost, only averaged


# --- what it reads from the model ----------------------------------------------------------------


@pytest.mark.parametrize(("name", "protected"), [("vit", 1), ("dinov2-registers", 5), ("clip", 1)])
@pytest.mark.parametrize(("keep", "low_layer", "low", "deep"), [(0.75, 1, 1, 3), (0.4, 1, 0, 0)])
def test_it_reads_the_low_layer_and_the_one_before_the_cut(
    tiny, images, monkeypatch, name, protected, keep, low_layer, low, deep
):
    model, pixels, views = tiny(name), images(2), []
    reduce = TokenCorr.reduce
    monkeypatch.setattr(
        TokenCorr, "reduce", lambda m, x, view: (views.append(view), reduce(m, x, view))[1]
    )
    with attach(model, TokenCorr(keep=keep, low_layer=low_layer)), torch.no_grad():
        model(pixels)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attention = model(pixels, output_attentions=True).attentions
    (view,) = views
    seen = [
        view.memory["low"],
        (view.queries[:, :, :1] @ view.keys.transpose(-1, -2) * view.scale)
        .softmax(-1)
        .mean(1)[:, 0, protected:],
    ]
    for found, layer in zip(seen, (low, deep), strict=True):
        expected = attention[layer][:, :, 0, protected:].mean(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert view.layer == deep + 1


# --- pages -----------------------------------------------------------------------------------

SIDE, PATCH, LINES = 224, 14, 17


@pytest.fixture(scope="module")
def dinov2():
    return tokenry.zoo.load("zoo:dinov2-small-saliency")


def write(draw, rng, line, left, right):
    """Random words on a line of the page; the boxes around them."""
    font, boxes, x = ImageFont.load_default(10), [], left
    while True:
        word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9)))
        box = draw.textbbox((x, 6 + 12 * line), word, font=font)
        if box[2] > right:
            return boxes
        draw.text((x, 6 + 12 * line), word, fill="black", font=font)
        boxes.append(box)
        x = box[2] + 5


def filled(seed, lines):
    """A page whose first lines are full of text."""
    picture, rng = Image.new("RGB", (SIDE, SIDE), "white"), random.Random(seed)
    for line in range(lines):
        write(ImageDraw.Draw(picture), rng, line, 8, SIDE - 8)
    return picture


def scattered(seed):
    """A page with lines of text here and there, and the patches that the words touch."""
    picture, rng = Image.new("RGB", (SIDE, SIDE), "white"), random.Random(seed)
    text = torch.zeros(SIDE // PATCH, SIDE // PATCH, dtype=torch.bool)
    for line in sorted(rng.sample(range(LINES), 8)):
        left = rng.choice([8, 60, 100])
        right = left + rng.choice([60, 100, 116])
        for x0, y0, x1, y1 in write(ImageDraw.Draw(picture), rng, line, left, right):
            rows = slice(int(y0) // PATCH, int(y1 - 1) // PATCH + 1)
            text[rows, int(x0) // PATCH : int(x1 - 1) // PATCH + 1] = True
    return picture, text.flatten()


def kept_patches(dinov2, pictures, method, monkeypatch):
    """The patches that the cut keeps of each picture."""
    plans, apply = [], TokenState.apply
    with monkeypatch.context() as patch, attach(dinov2.model, method), torch.no_grad():
        patch.setattr(
            TokenState, "apply", lambda self, x, plan: (plans.append(plan), apply(self, x, plan))[1]
        )
        dinov2.model(**dinov2.processor(pictures, return_tensors="pt"))
    (plan,) = plans
    return plan.keep[:, 1:] - 1, plan.valid


@pytest.mark.slow
def test_density_grows_with_the_amount_of_text(dinov2):
    """At tau = 0.95: the low keys of this model are all alike at the default of 0.9."""
    pages = [filled(seed, round(seed * LINES / 19)) for seed in range(20)]
    ink = [np.mean(np.asarray(picture.convert("L")) < 128) for picture in pages]
    keys = []
    layer = dinov2.model.encoder.layer[1]  # the low layer
    handle = layer.attention.k_proj.register_forward_hook(lambda m, a, y: keys.append(y[:, 1:]))
    with torch.no_grad():
        dinov2.model(**dinov2.processor(pages, return_tensors="pt"))
    handle.remove()
    assert density(keys[0], TokenCorr().similarity, 0.05).max() < 0.02
    found = density(keys[0], 0.95, 0.05)
    assert found[0] < 0.02  # a blank page
    assert found[-1] > 5 * found[1]  # 17 lines against one
    assert spearmanr(ink, found).statistic > 0.9


@pytest.mark.slow
def test_adaptive_keeps_fewer_tokens_of_an_emptier_page(dinov2, monkeypatch):
    pages = [filled(0, lines) for lines in (0, 4, 8, 12, 17)]
    method = TokenCorr(keep=0.75, adaptive=True, similarity=0.95)
    _, valid = kept_patches(dinov2, pages, method, monkeypatch)
    counts = valid.sum(1).tolist()
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] / 2


@pytest.mark.slow
def test_claim_keeps_text(dinov2, monkeypatch):
    pages, text = zip(*(scattered(seed) for seed in range(16)), strict=True)
    text = torch.stack(text)
    kept, _ = kept_patches(dinov2, list(pages), TokenCorr(keep=0.5), monkeypatch)
    k = kept.shape[1]
    on_text = text.gather(1, kept).float().mean(1)
    plain = look(*(torch.zeros(1, 1, 257, 2),) * 2, k + 1, torch.zeros(1, 256))
    x = torch.zeros(1, 257, 2)
    floors = [Grid(keep=0.5), *(Random(keep=0.5, seed=seed) for seed in range(5))]
    for floor in floors:
        theirs = floor.reduce(x, plain).keep[0, 1:] - 1
        ahead = on_text - text[:, theirs].float().mean(1)
        assert ahead.mean() > 3 * ahead.std() / len(ahead) ** 0.5
