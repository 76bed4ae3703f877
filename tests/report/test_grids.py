"""Scores by depth and length: the right means in the right cells, and a page that shows them."""

import dataclasses
import re
from statistics import fmean

import pytest

from tokenry.compare.records import TaskInfo
from tokenry.report.grids import grids
from tokenry.report.page import html

TASK = TaskInfo("needles", "Needles", "values found", False, True, "", grid=("depth", "length"))
LENGTHS, DEPTHS = ("400", "1000", "12000"), ("0.0", "0.5", "1.0")


def conditions(depth=True):
    return {
        str(n): {"length": LENGTHS[n % 3]} | ({"depth": DEPTHS[n // 3 % 3]} if depth else {})
        for n in range(40)
    }


@pytest.fixture(scope="module")
def results(build):
    return build(tasks=(TASK,), conditions=conditions())


def table(found, name, keep):
    (one,) = [t for t in found["tables"] if (t["name"], t["keep"]) == (name, keep)]
    return one


def test_each_cell_is_the_mean_of_its_examples(results):
    found = grids(results, TASK, [0.75, 0.5, 0.25])
    assert found["across"] == ["length", *LENGTHS]  # as numbers, not as words
    rows = [r for r in results.rows() if (r.method, r.keep) == ("random", 0.25)]
    for depth, cells in table(found, "Random", 2)["rows"]:
        for length, (percent, text, n) in zip(LENGTHS, cells, strict=True):
            wanted = {"length": length, "depth": depth}
            mine = [r.score for r in rows if results.conditions[r.example] == wanted]
            assert (n, text) == (len(mine), f"{fmean(mine):.2f}")
            assert percent == round(100 * fmean(mine))


def test_the_untouched_model_comes_once_and_methods_at_every_keep_below_one(results):
    found = grids(results, TASK, [0.75, 0.5, 0.25])
    keeps = [t["keep"] for t in found["tables"]]
    assert keeps.count(None) == 1
    assert keeps[0] is None
    assert [keeps.count(k) for k in range(3)] == [5, 5, 5]


def test_without_depths_there_is_one_row(build):
    results = build(tasks=(TASK,), conditions=conditions(depth=False))
    assert [name for name, _ in grids(results, TASK, [0.5])["tables"][0]["rows"]] == [""]
    assert ">all</th>" in html(results)


def test_a_cell_without_examples_is_empty(build):
    some = {
        n: where for n, where in conditions().items() if where != {"length": "400", "depth": "0.0"}
    }
    results = build(tasks=(TASK,), conditions=some | {"0": {"length": "1000", "depth": "0.0"}})
    rows = [r for r in results.rows() if r.example in results.conditions]
    first = dict(grids(dataclasses.replace(results, _rows=rows), TASK, [])["tables"][0]["rows"])
    assert first["0.0"][0] == (0, "", 0)


@pytest.mark.parametrize("where", [{}, {str(n): {"length": "400"} for n in range(40)}])
def test_conditions_that_do_not_vary_make_no_table(build, where):
    where = where or {str(n): {} for n in range(40)}
    results = build(tasks=(TASK,), conditions=where)
    assert grids(results, TASK, [0.5]) == {}
    assert 'class="grid' not in html(results)


def test_the_page_shows_the_tables(results):
    page = html(results)
    assert len(re.findall(r'<table class="grid', page)) == 1 + 5 * 3
    assert "Values found by depth and length" in page
    assert page.count('name="grid-keep0"') == 3


def test_hostile_conditions_stay_text(build):
    hostile = "<script>alert(1)</script>"
    where = {n: {"length": hostile + w["length"]} for n, w in conditions().items()}
    page = html(build(tasks=(TASK,), conditions=where))
    assert page.count("<script") == 1
