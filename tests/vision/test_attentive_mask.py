"""The attentive mask against torch's resize, eager attention and pictures with a known object."""

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.nn.functional import interpolate

import tokenry.data
import tokenry.zoo
from tokenry.method import TokenReducer
from tokenry.ops.plan import Plan
from tokenry.plugs.attach import attach
from tokenry.plugs.trace import TokenState
from tokenry.vision.attentive_mask import AttentiveMask, attentive_mask, cell_order


def scores(b, n, seed=0):
    return torch.rand(b, n, generator=torch.Generator().manual_seed(seed))


# --- the rule --------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.7, 0.99, 1.0])
def test_the_mask_equals_a_loop_over_resized_cells(ratio):
    maps = scores(4, 196)
    small = interpolate(maps.view(4, 1, 14, 14), size=(7, 7), mode="bilinear").flatten(1).numpy()
    stay = min(int(np.floor(49 * ratio)) + 1, 49)
    mask = attentive_mask(maps, (14, 14), ratio)
    for image, cells in zip(mask, small, strict=True):
        expected = np.zeros((14, 14), bool)
        for cell in np.argsort(-cells)[:stay]:
            y, x = divmod(int(cell), 7)
            expected[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = True
        assert image.view(14, 14).tolist() == expected.tolist()
        assert image.sum() == 4 * stay


def test_half_of_a_14_by_14_grid_is_100_patches():
    assert attentive_mask(scores(2, 196), (14, 14), 0.5).sum(1).tolist() == [100, 100]


@pytest.mark.parametrize("grid", [(4, 6), (5, 7), (1, 9), (3, 3)])
@pytest.mark.parametrize("cell", [1, 2, 3])
def test_the_order_goes_cell_by_cell_and_in_raster_order_inside(grid, cell):
    rows, columns = grid
    maps = scores(2, rows * columns, seed=cell)
    order = cell_order(maps, grid, cell)
    for score, found in zip(maps.view(2, rows, columns).numpy(), order.tolist(), strict=True):
        groups = [
            [
                (y, x)
                for y in range(top, min(top + cell, rows))
                for x in range(left, min(left + cell, columns))
            ]
            for top in range(0, rows, cell)
            for left in range(0, columns, cell)
        ]
        groups.sort(key=lambda group: -np.mean([score[p] for p in group]))
        assert found == [y * columns + x for group in groups for y, x in group]


@pytest.mark.parametrize("protected", [0, 1, 5])
def test_the_reducer_keeps_special_rows_and_the_best_cells_in_raster_order(look, protected):
    votes, keys = scores(3, 36), torch.zeros(3, 1, 36 + protected, 1)
    for count in range(protected + 1, protected + 36):
        view = look(keys, count, protected=protected)
        view = replace(view, grid=(6, 6), memory={"votes": votes})
        plan = AttentiveMask(keep=0.5).reduce(torch.zeros(3, 36 + protected, 4), view)
        best = cell_order(votes, (6, 6), 2)[:, : count - protected]
        for kept, chosen in zip(plan.keep.tolist(), best.tolist(), strict=True):
            assert kept == [*range(protected), *sorted(p + protected for p in chosen)]
        assert plan.source is None


# --- on a model ------------------------------------------------------------------------------


class Votes:
    """The view that the reducer is asked with."""

    def __init__(self, monkeypatch):
        self.views = []
        reduce = AttentiveMask.reduce

        def spy(method, x, view):
            self.views.append(view)
            return reduce(method, x, view)

        monkeypatch.setattr(AttentiveMask, "reduce", spy)


def class_rows(model, pixels, protected, layers):
    """Oracle: the class token's row of the model's own attention weights."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attention = model(pixels, output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    rows = [attention[layer][:, :, 0, protected:].mean(1) for layer in layers]
    return torch.stack(rows).mean(0)


@pytest.mark.parametrize(
    ("name", "protected"), [("vit", 1), ("deit", 2), ("dinov2-registers", 5), ("clip", 1)]
)
@pytest.mark.parametrize(("scorer", "layers"), [("pass", range(6)), ("prefix", range(3))])
def test_votes_are_the_mean_class_attention(
    tiny, images, monkeypatch, name, protected, scorer, layers
):
    model, pixels, seen = tiny(name), images(2), Votes(monkeypatch)
    with attach(model, AttentiveMask(keep=0.7, scorer=scorer, listen=3)), torch.no_grad():
        model(pixels)
    (view,) = seen.views
    expected = class_rows(model, pixels, protected, layers)
    torch.testing.assert_close(view.memory["votes"] / len(layers), expected, rtol=0, atol=1e-5)


def test_without_a_class_token_the_mean_query_votes(tiny, images, monkeypatch):
    model, pixels, seen = tiny("siglip"), images(2), Votes(monkeypatch)
    asked = {}
    attention = model.encoder.layers[0].self_attn
    handles = [
        attention.q_proj.register_forward_hook(lambda m, a, y: asked.setdefault("q", y)),
        attention.k_proj.register_forward_hook(lambda m, a, y: asked.setdefault("k", y)),
    ]
    with attach(model, AttentiveMask(keep=0.7, scorer="prefix", listen=1)), torch.no_grad():
        model(pixels)
    for handle in handles:
        handle.remove()
    q, k = (asked[name].view(2, 64, 4, 8).transpose(1, 2) for name in "qk")
    expected = (q.mean(2, keepdim=True) @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)
    votes = seen.views[0].memory["votes"]
    torch.testing.assert_close(votes, expected.mean(1)[:, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("scorer", "before"), [("pass", 0), ("prefix", 2)], ids=["pass", "prefix"])
def test_layers_and_cost_of_both_scorers(tiny, images, scorer, before):
    model = tiny("vit")
    with attach(model, AttentiveMask(keep=0.6, scorer=scorer)) as attached, torch.no_grad():
        model(images(2))
    trace = attached.trace
    entered = [a for a, _ in trace.tokens]
    assert entered[:before] == [65] * before
    assert len(set(entered[before:])) == 1
    assert entered[-1] < 65
    cost = trace.share - (1 if scorer == "pass" else 0)  # a scoring pass is a whole pass more
    assert cost == pytest.approx(0.6, abs=1 / 65)
    assert trace.scored == (scorer == "pass")


def test_the_scoring_pass_leaves_no_gradient_but_the_kept_patches_have_one(tiny, images):
    model = tiny("vit")
    pixels = images(1).requires_grad_()
    with attach(model, AttentiveMask(keep=0.5)) as attached:
        model(pixels).pooler_output.sum().backward()
    kept = attached.trace.origin[0, 1:] >= 0
    moved = pixels.grad[0].unfold(1, 4, 4).unfold(2, 4, 4).abs().amax((0, 3, 4)).flatten() > 0
    assert moved.tolist() == kept.tolist()


# --- claims ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RandomCells(TokenReducer):
    """As many patches as the attentive mask keeps, in cells chosen by a seed."""

    seed: int = 0

    place: ClassVar = "before"

    def __post_init__(self):
        pass

    def layers(self, depth):
        return (0,)

    def reduce(self, x, view):
        generator = torch.Generator().manual_seed(self.seed)
        cells = torch.rand(x.shape[0], 1, view.grid[0] // 2, view.grid[1] // 2, generator=generator)
        patches = interpolate(cells, scale_factor=2, mode="nearest").flatten(1)
        best = patches.argsort(dim=-1, stable=True)[:, : view.count - 1].sort(-1).values + 1
        return Plan(torch.cat([torch.zeros_like(best[:, :1]), best], 1))


@pytest.fixture(scope="module")
def dinov2():
    return tokenry.zoo.load("zoo:dinov2-small-saliency")


@pytest.fixture(scope="module")
def drawings():
    return [e.image() for e in tokenry.data.load("emoji").where(domain="google").limit(24)]


def pixels_of(dinov2, pictures):
    return dinov2.processor(pictures, return_tensors="pt")["pixel_values"]


def pooled(model, pixels):
    with torch.no_grad():
        return torch.cat([model(part).pooler_output for part in pixels.split(8)])


def scene(drawing, seed):
    """The drawing at half size on a clutter of coloured boxes; and the patches that it covers."""
    rng, side, width = random.Random(seed), 224, 112
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    for _ in range(150):
        x, y = rng.randint(-20, side), rng.randint(-20, side)
        box = (x, y, x + rng.randint(8, 48), y + rng.randint(8, 48))
        draw.rectangle(box, fill=tuple(rng.randint(0, 255) for _ in range(3)))
    drawing = drawing.resize((width, width), Image.Resampling.BICUBIC)
    inked = (255 - np.asarray(drawing)).max(-1) > 24  # all but the white paper
    x, y = rng.randint(0, side - width), rng.randint(0, side - width)
    picture.paste(drawing, (x, y), Image.fromarray(inked.astype(np.uint8) * 255))
    cover = np.zeros((side, side), bool)
    cover[y : y + width, x : x + width] = inked
    return picture, torch.tensor(cover.reshape(16, 14, 16, 14).mean((1, 3)) >= 0.5).flatten()


@pytest.mark.slow
def test_claim_beats_random_cells(closeness, interval):
    attentive = closeness(AttentiveMask(keep=0.5))
    chance = np.mean([closeness(RandomCells(keep=0.5, seed=seed)) for seed in range(2)], 0)
    _, low, _ = interval(attentive - chance)
    assert low > 0


@pytest.mark.slow
@pytest.mark.parametrize("scorer", ["pass", "prefix"])
def test_more_of_the_object_stays_than_at_random(dinov2, drawings, monkeypatch, scorer):
    pictures, covers = zip(*(scene(d, i) for i, d in enumerate(drawings)), strict=True)
    covers = torch.stack(covers)
    plans, apply = [], TokenState.apply
    monkeypatch.setattr(
        TokenState, "apply", lambda self, x, plan: (plans.append(plan), apply(self, x, plan))[1]
    )
    with attach(dinov2.model, AttentiveMask(keep=0.5, scorer=scorer)):
        pooled(dinov2.model, pixels_of(dinov2, pictures))
    kept = torch.cat([plan.keep for plan in plans])[:, 1:] - 1
    share = covers.gather(1, kept).sum(1) / covers.sum(1)
    chance = kept.shape[1] / 256  # what cells chosen at random keep of any object
    assert share.mean() - 3 * share.std() / len(share) ** 0.5 > chance
