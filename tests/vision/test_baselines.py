"""The plain baselines: random, grid, pool and resize, each against a one-line definition."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare
from torch.nn.functional import avg_pool2d, interpolate

from tokenry.method import LayerView
from tokenry.plugs.attach import attach
from tokenry.vision.grid import Grid
from tokenry.vision.pool import Pool, windows
from tokenry.vision.random import Random
from tokenry.vision.resize import Resize

GRIDS = [(1, 1), (1, 9), (9, 1), (4, 4), (5, 7), (8, 3), (16, 16)]


def look(grid, count, *, protected=1, batch=2, layer=0):
    n = grid[0] * grid[1] + protected
    return LayerView(
        layer=layer,
        depth=12,
        grid=grid,
        protected=protected,
        count=count,
        size=torch.ones(batch, n, 1),
        valid=None,
        origin=torch.arange(n).expand(batch, n),
        heads=None,
        bias=None,
        memory={},
    )


def rows_of(view):
    b, n, _ = view.size.shape
    return torch.randn(b, n, 3, generator=torch.Generator().manual_seed(0))


# --- pool ------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
def test_pool_cuts_the_grid_into_exactly_k_rectangles(grid):
    for k in range(1, grid[0] * grid[1] + 1):
        window = windows(grid, k).view(grid).numpy()
        assert sorted(set(window.flat)) == list(range(k))
        assert window.flat[0] == 0
        for w in range(k):
            y, x = np.nonzero(window == w)
            assert len(y) == (np.ptp(y) + 1) * (np.ptp(x) + 1)  # a rectangle without holes


@pytest.mark.parametrize("grid", [(4, 6), (8, 8), (16, 16)])
def test_a_quarter_of_the_patches_is_two_by_two_pooling(grid):
    rows, columns = grid
    view = look(grid, 1 + rows * columns // 4)
    x = rows_of(view)
    pooled, size = Pool(keep=0.25).reduce(x, view).merge(x, view.size)
    image = x[:, 1:].transpose(1, 2).unflatten(2, grid)
    expected = avg_pool2d(image, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pooled[:, 1:], expected)
    assert torch.equal(pooled[:, 0], x[:, 0])
    assert (size[:, 1:] == 4).all()


@pytest.mark.parametrize("grid", [(5, 7), (8, 3)])
def test_pool_averages_each_window_and_keeps_the_count(grid):
    for k in range(1, grid[0] * grid[1] + 1):
        view = look(grid, 2 + k, protected=2)
        x = rows_of(view)
        pooled, size = Pool(keep=0.5).reduce(x, view).merge(x, view.size)
        window = windows(grid, k)
        assert pooled.shape == (2, 2 + k, 3)
        first = [int((window == w).nonzero()[0]) for w in range(k)]
        for row, w in enumerate(np.argsort(first)):  # windows stand where their first patch was
            patches = x[:, 2:][:, window == w]
            torch.testing.assert_close(pooled[:, 2 + row], patches.mean(1))
            assert (size[:, 2 + row] == patches.shape[1]).all()


def test_pool_on_a_model_equals_pooling_its_embeddings(tiny, images):
    model, pixels = tiny("siglip"), images(2)
    with attach(model, Pool(keep=0.25)), torch.no_grad():
        found = model(pixels).last_hidden_state
    with torch.no_grad():
        x = model.embeddings(pixels).transpose(1, 2).unflatten(2, (8, 8))
        x = avg_pool2d(x, 2).flatten(2).transpose(1, 2)
        for layer in model.encoder.layers:
            x = layer(x, None)
        expected = model.post_layernorm(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


# --- grid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("protected", [0, 1, 5])
@pytest.mark.parametrize("n", [1, 7, 64])
def test_grid_keeps_exactly_k_evenly_spaced_patches(n, protected):
    for k in range(1, n + 1):
        view = look((1, n), k + protected, protected=protected)
        plan = Grid(keep=0.5).reduce(rows_of(view), view)
        kept = plan.keep[0].tolist()
        patches = np.array(kept[protected:]) - protected
        assert kept[:protected] == list(range(protected))
        assert patches.tolist() == [int(np.floor(i * n / k)) for i in range(k)]
        gaps = np.diff([*patches, n])
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1
        assert torch.equal(plan.keep[0], plan.keep[1])


@pytest.mark.parametrize("method", [Grid(keep=0.5), Pool(keep=0.5)])
def test_grid_and_pool_work_before_the_first_layer_and_hit_the_dial(tiny, images, method):
    model = tiny("vit")
    with attach(model, method) as attached, torch.no_grad():
        model(images(2))
    assert len(set(attached.trace.tokens)) == 1
    assert attached.trace.share == pytest.approx(0.5, abs=0.5 / 65)


# --- random ----------------------------------------------------------------------------------


def drawn(seed=0, layer=0, n=40, k=15, protected=1):
    view = look((1, n), k + protected, protected=protected, layer=layer)
    return Random(keep=0.5, seed=seed).reduce(rows_of(view), view).keep


@pytest.mark.parametrize("protected", [0, 1, 2])
def test_random_keeps_special_rows_and_k_distinct_patches_in_order(protected):
    for kept in drawn(protected=protected).tolist():
        assert kept[:protected] == list(range(protected))
        assert kept == sorted(set(kept))
        assert len(kept) == 15 + protected
        assert kept[-1] < 40 + protected


def test_random_takes_the_same_positions_in_every_image():
    first, second = drawn()
    assert torch.equal(first, second)


def test_random_differs_by_seed_and_layer_and_by_nothing_else():
    choices = {(s, layer): tuple(drawn(s, layer)[0].tolist()) for s in (0, 1) for layer in (0, 1)}
    assert len(set(choices.values())) == 4
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert tuple(drawn(0, 0)[0].tolist()) == choices[0, 0]
    assert torch.equal(torch.get_rng_state(), before)


def test_random_prefers_no_patch():
    kept = np.zeros(40)
    for seed in range(600):
        kept[drawn(seed, protected=0)[0].numpy()] += 1
    # Without replacement the counts vary less than a multinomial's: by the share that goes.
    statistic = chisquare(kept).statistic * 39 / 25
    assert 15 < statistic < 75  # chi-square with 39 degrees of freedom, 0.001 on either side


# --- resize ----------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [*GRIDS, (3, 30), (37, 37)])
def test_resize_keeps_the_shape_and_comes_near_the_share(grid):
    rows, columns = grid
    for keep in np.linspace(0.02, 1, 50).tolist():
        r, c = Resize(keep=keep).input_grid(grid)
        assert 1 <= r <= rows
        assert 1 <= c <= columns
        side = keep**0.5
        assert abs(r - rows * side) <= 0.5 or r == 1
        exact = keep * rows * columns / r  # columns that would meet the share exactly
        assert abs(c - exact) <= 0.5 or c in (1, columns)
    assert Resize(keep=1.0).input_grid(grid) == grid


def shrunk(pixels, height, width):
    """Pillow's bicubic resize, one channel at a time."""
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
        for plane in pixels.flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack(planes)).view(*pixels.shape[:2], height, width)


@pytest.mark.parametrize("name", ["vit", "deit", "dinov2", "clip", "siglip"])
def test_resize_equals_calling_the_model_on_a_smaller_picture(tiny, images, name):
    model, pixels = tiny(name), images(2)
    more = {} if name == "dinov2" else {"interpolate_pos_encoding": True}
    with attach(model, Resize(keep=0.4)) as attached, torch.no_grad():
        found = model(pixels).last_hidden_state
    assert attached.trace.tokens[0][0] == 5 * 5 + attached.trace.protected
    with torch.no_grad():
        same = interpolate(pixels, size=(20, 20), mode="bicubic", antialias=True)
        torch.testing.assert_close(found, model(same, **more).last_hidden_state)
        pillow = model(shrunk(pixels, 20, 20), **more).last_hidden_state
    torch.testing.assert_close(found, pillow, rtol=1e-3, atol=1e-3)


def test_resize_of_a_wide_picture(tiny, images):
    model, pixels = tiny("dinov2"), images(2, side=64)[:, :, :32, :48]  # 8 x 12 patches
    with attach(model, Resize(keep=0.5)) as attached, torch.no_grad():
        found = model(pixels).last_hidden_state
    rows, columns = Resize(keep=0.5).input_grid((8, 12))
    assert (rows, columns) == (6, 8)
    with torch.no_grad():
        expected = model(shrunk(pixels, rows * 4, columns * 4)).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert attached.trace.grid == (8, 12)
    assert attached.trace.share == pytest.approx((1 + 48) / (1 + 96))


@pytest.mark.parametrize("keep", [0.8, 0.4, 0.25, 0.1])
@pytest.mark.parametrize("shape", [(32, 32), (32, 20)])
def test_resize_unmerges_to_the_nearest_patch(tiny, images, keep, shape):
    model, pixels = tiny("dinov2"), images(1)[:, :, : shape[0], : shape[1]]
    full = (shape[0] // 4, shape[1] // 4)
    with attach(model, Resize(keep=keep)) as attached, torch.no_grad():
        rows = model(pixels).last_hidden_state
    small = Resize(keep=keep).input_grid(full)
    restored = attached.trace.unmerge(rows)
    assert restored.shape[1] == 1 + full[0] * full[1]
    assert torch.equal(restored[:, 0], rows[:, 0])

    def centres(n):
        return (np.arange(n) + 0.5) / n

    away = [np.abs(centres(f)[:, None] - centres(s)) for f, s in zip(full, small, strict=True)]
    origin = attached.trace.origin[0, 1:].view(full).numpy() - 1
    for y in range(full[0]):
        for x in range(full[1]):
            row, column = divmod(int(origin[y, x]), small[1])
            assert away[0][y, row] == pytest.approx(away[0][y].min())
            assert away[1][x, column] == pytest.approx(away[1][x].min())
            assert torch.equal(restored[0, 1 + y * full[1] + x], rows[0, 1 + origin[y, x]])
