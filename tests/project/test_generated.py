"""What is made from the cards is fresh, and the cards point at tests that exist."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest

from tokenry import catalog
from tokenry.method import settings
from tokenry.method.uses import use

ROOT = Path(__file__).parents[2]
CLAIMS = [
    pytest.param(claim["test"], id=f"{card['slug']}-{i}")
    for card in catalog.cards()
    for i, claim in enumerate(card["claims"])
    if claim["test"]
]


@pytest.fixture(scope="module")
def sync():
    spec = importlib.util.spec_from_file_location("sync", ROOT / "docs" / "sync.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(sync, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["sync.py", *arguments])
    return sync.main()


@pytest.fixture
def copy(sync, tmp_path, monkeypatch):
    """A copy of the generated files, which `sync` takes for the project's."""
    for path in sync.generated(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    run(sync, monkeypatch)
    return tmp_path


def test_generated_files_are_fresh(sync):
    stale = [p for p, text in sync.generated(ROOT).items() if p.read_text(encoding="utf-8") != text]
    assert stale == []


@pytest.mark.parametrize("name", ["README.md", "src/tokenry/catalog.json"])
def test_a_stale_file_is_named_and_mended(sync, copy, monkeypatch, capsys, name):
    path = copy / name
    fresh = path.read_text(encoding="utf-8")
    assert run(sync, monkeypatch, "--check") == 0
    capsys.readouterr()
    path.write_text(fresh.replace("similar token pairs", "pairs"), encoding="utf-8")
    assert run(sync, monkeypatch, "--check") == 1
    assert f"{name} is stale" in capsys.readouterr().err
    assert run(sync, monkeypatch) == 0
    assert path.read_text(encoding="utf-8") == fresh


def test_every_method_has_a_page_and_a_way_to_it(sync):
    pages = sync.pages()
    for slug in (*catalog.names("vision"), *catalog.names("probes")):
        assert f"({slug}.md)" in pages["index.md"]
        assert f"`{slug}`" in pages[f"{slug}.md"]


@pytest.mark.parametrize("cls", catalog.classes(), ids=lambda cls: cls.card.slug)
def test_every_method_says_how_it_is_used(cls, sync):
    call, page = use(cls)
    assert call or page
    assert not page or (ROOT / "docs" / f"{page}.md").is_file()
    if call:
        module, _, name = ast.unparse(ast.parse(call, mode="eval").body.func).rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        assert "keep=" not in call or any(s.name == "keep" for s in settings(cls))
    assert f"## Use\n\n```python\n{call}" in sync.method_page(cls) or not call


@cache
def functions(file):
    """The functions at the top of a file of the project."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("test", CLAIMS)
def test_claim_names_a_test_that_exists(test):
    file, _, name = test.partition("::")
    assert name in functions(file)


@pytest.mark.parametrize("card", catalog.cards(), ids=lambda card: card["slug"])
def test_every_method_has_news_and_every_published_one_tests(card):
    slug, family = card["slug"], card["family"]
    released = f"`{slug}`" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert released or (ROOT / f"news/{slug}.feature.md").exists()
    test = ROOT / f"tests/{family}/test_{slug.replace('-', '_')}.py"
    assert test.exists() or not card["arxiv"]


def test_measured_figures_are_filled_in():
    pending = [
        card["slug"]
        for card in catalog.cards()
        for claim in card["claims"]
        if claim["measured"].strip().lower() in {"pending", "todo", "tbd"}
    ]
    assert pending == []
