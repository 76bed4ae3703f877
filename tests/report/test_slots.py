"""Pictures of a cache: the map, the tints, and a page of texts, hostile ones included."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tokenry.compare.code import Source
from tokenry.compare.records import Figure, MethodInfo, TaskInfo
from tokenry.errors import StoreError
from tokenry.report import slots
from tokenry.report.compared import _costs
from tokenry.report.entries import entries
from tokenry.report.page import html
from tokenry.report.pareto import HALF, pareto
from tokenry.report.picture import picture

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&{{7*7}}\x00\u202e</i></p>"
TASK = TaskInfo(
    "answers",
    "Right answers",
    "right answers",
    True,
    True,
    "Is the answer in the reply?",
    "causal-lm",
    {"query": "free"},
    (Figure("kl", "KL (bits)", "number"), Figure("bytes_resident", "Cache MB held", "bytes")),
)
LAYERS, TOKENS = 6, 900


def survivors(label, keep, example):
    """The first tokens and the last ones, fewer in deeper layers."""
    shares = np.zeros((LAYERS, TOKENS), np.int16)
    for layer in range(LAYERS):
        held = round(TOKENS * keep) - 20 * layer
        shares[layer, :4] = 100
        shares[layer, -held:] = 50 if layer % 2 else 100
    return shares, json.dumps([f" word{i}" for i in range(TOKENS)]).encode()


@pytest.fixture(scope="module")
def cache(build, info):
    """Build results of two cache policies."""

    def cache(groups=survivors, task=TASK, **fields):
        methods = [
            MethodInfo(slug, "X", "x", "", True, info("pitome").card | {"slug": slug, "name": slug})
            for slug in ("snapkv", "h2o")
        ]
        figures = {"costs": {"bytes_resident": 5e6}, "scores": {"kl": 0.25}}
        results = build(methods=methods, tasks=(task,), keeps=(1.0, 0.5, 0.25), groups=groups)
        rows = [
            type(row)(
                *(getattr(row, name) for name in row.__slots__[:5]),
                figures["scores"],
                *(getattr(row, name) for name in row.__slots__[6:10]),
                {"bytes_resident": 4e7 * row.keep},
                task.settings,
            )
            for row in results.rows()
        ]
        source = Source("zoo:smollm2-135m", "LlamaForCausalLM", {}, "causal-lm", True)
        return build(
            methods=methods,
            tasks=(task,),
            keeps=(1.0, 0.5, 0.25),
            groups=groups,
            _rows=rows,
            source=source,
            **fields,
        )

    return cache


@pytest.fixture(scope="module")
def page(cache):
    return html(cache())


def pixels(address):
    data = base64.b64decode(address.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def test_the_map_has_a_row_for_each_layer_and_a_column_for_each_token():
    shares = np.array([[100, 0, 50], [0, 0, 100]], np.int16)
    alpha = pixels(slots.heat(shares))[..., 3]
    assert alpha.tolist() == [[255, 0, 136], [0, 0, 255]]


def test_a_long_text_shares_columns():
    shares = np.zeros((2, 2 * slots.COLUMNS), np.int16)
    shares[0, ::2] = 100
    alpha = pixels(slots.heat(shares))[..., 3]
    assert alpha.shape == (2, slots.COLUMNS)
    assert set(alpha[0]) == {136}
    assert set(alpha[1]) == {0}


def test_tints_say_how_many_layers_hold_a_token():
    shares = np.array([[0, 100, 100, 100, 1], [0, 0, 100, 100, 0]] * 2, np.int16)
    assert slots.tints(shares) == [0, 2, 4, 4, 1]
    assert slots.holding(shares) == [0, 2, 4, 4, 0]
    assert slots.gone(shares) == 1


def test_a_text_that_does_not_fit_loses_its_middle():
    assert slots.excerpt(5, 9) == (range(5), range(0))
    assert slots.excerpt(100, 9) == (range(3), range(94, 100))


@pytest.mark.parametrize("stored", [b"\xff", b"{}", b"[1]", b"no json"])
def test_a_broken_text_is_named(cache, stored):
    def groups(*_):
        return np.zeros((2, 2), np.int16), stored

    with pytest.raises(StoreError, match="stored text cannot be read"):
        html(cache(groups=groups))


def test_the_least_of_a_cost_is_named_where_little_is_shown_to_be_lost(cache, page):
    least = "Least Cache MB held: snapkv 0.25. With 95 % confidence"
    sure = html(cache(task=dataclasses.replace(TASK, binary=False)))
    assert least in sure
    assert "model.generate" in sure
    assert least not in page  # a few right answers show little


def test_the_page_shows_maps_texts_and_costs(page):
    assert page.count('<img class="heat') == 4 * 2 * 2
    assert "Map of layers and tokens: snapkv at keep 0.25 leaves" in page
    assert re.search(r'<i class="a\d b\d" title="1: 6, 6"> word0</i>', page)
    for head in ("KL (bits)", "Cache MB held", "Slots", "Query"):
        assert f'<button type="button">{head}</button>' in page
    assert "query-free" in page
    assert "Patches" not in page
    assert "What is faster here may lose more than" in page


def test_scores_stand_against_bytes(page, cache):
    assert page.count("<h3>Score against bytes</h3>") == 1
    assert "against Cache MB held. On the front: " in page
    results = cache()
    lines = entries(results, results.tasks[0])
    cost = results.tasks[0].figures[1]
    spec = pareto(lines, HALF, None, cost)
    points = {p["says"].split(":")[0]: p for p in spec["datasets"]["points"]}
    assert points["Untouched model"]["cost"] == pytest.approx(40)
    assert points["snapkv 0.25"]["cost"] == pytest.approx(10)
    assert spec["encoding"]["x"]["axis"]["title"] == "Cache MB held"
    # Both are as often right with a quarter as with half of the cache.
    assert [points[f"snapkv {keep}"]["front"] for keep in (0.5, 0.25)] == [False, True]


def test_a_cost_that_is_another_one_is_drawn_once(cache):
    read = Figure("bytes_read", "Cache MB read", "bytes")
    task = dataclasses.replace(TASK, figures=(*TASK.figures, read))
    rows = [
        dataclasses.replace(row, costs=row.costs | {"bytes_read": row.costs["bytes_resident"]})
        for row in cache(task=task).rows()
    ]
    same = dataclasses.replace(cache(task=task), _rows=rows)
    assert len(_costs(same, task, entries(same, task))) == 1
    rows[-1] = dataclasses.replace(rows[-1], costs=rows[-1].costs | {"bytes_read": 1.0})
    other = dataclasses.replace(same, _rows=rows)
    titles = [cost["title"] for cost in _costs(other, task, entries(other, task))]
    assert titles == ["Cache MB held", "Cache MB read"]


def test_the_picture_shows_the_cache(cache, tmp_path):
    drawn = Image.open(picture(cache(), tmp_path / "a.png")).convert("RGB")
    strip = np.asarray(drawn)[:, 1040:1540]
    assert (np.abs(strip.astype(int) - slots._BLUE).sum(-1) < 30).mean() > 0.03
    bare = np.asarray(Image.open(picture(cache(groups=lambda *_: None), tmp_path / "b.png")))
    assert (bare[140:650, 1200:1560, :3] != 255).any()  # the plot takes the width


def test_the_text_is_read_out_once(page):
    assert page.count('<p class="held" aria-hidden="true">') == 4 * 2
    assert page.count("<summary>The text</summary>") == 4


def test_every_tint_has_its_rule(page):
    used = {name for group in re.findall(r'<i class="([^"]*)"', page) for name in group.split()}
    assert {name for name in used if f".{name} {{" not in page} == set()


def test_it_stays_small(page):
    pictures = sum(len(uri) for uri in re.findall(r"data:[^\"]*", page))
    assert len(page.encode()) - pictures < 1_500_000
    assert pictures < 500_000


def test_hostile_tokens_stay_text(cache):
    def groups(label, keep, example):
        shares, _ = survivors(label, keep, example)
        return shares, json.dumps([HOSTILE] * TOKENS).encode()

    source = html(cache(groups=groups, labels=lambda n: HOSTILE + str(n)))
    assert source.count("<script") == 1
    assert "<img src=x" not in source
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", source)
    assert set(re.findall(r"<(\w+)", source)) == set(re.findall(r"<(\w+)", html(cache())))
