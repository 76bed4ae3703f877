"""A method of another package joins through an entry point, and is treated like ours."""

from pathlib import Path

import pytest
from PIL import Image
from transformers import ViTImageProcessorPil

import tokenry
from tokenry import catalog, checks, zoo
from tokenry.errors import TokenryError

PACKAGE = Path(__file__).with_name("example_package")
SLUG = "acme-shortest"


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))


def installed_as(entry, tmp_path, monkeypatch):
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[tokenry.methods]\nother = {entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_it_is_listed_after_ours():
    assert tokenry.methods()[-1] == SLUG
    assert SLUG not in tokenry.methods("vision")
    assert len(tokenry.methods()) == len(catalog.cards()) + 1


def test_it_is_found_and_shown():
    assert catalog.find(SLUG).__name__ == "Shortest"
    assert catalog.card(SLUG)["name"] == "Shortest"


def test_it_is_attached_by_name(tiny, images):
    model = tiny("vit")
    with tokenry.attach(model, SLUG, keep=0.5, longest=True) as attachment:
        model(images(1))
    assert attachment.trace.share == pytest.approx(0.5, abs=1 / 65)


@pytest.mark.slow
def test_it_passes_the_common_checks(untyped):
    assert {result.outcome for result in tokenry.check(SLUG)} == {"passed"}


def test_it_passes_each_quick_check():
    cls = catalog.find(SLUG)
    quick = [name for name in checks.names(cls) if name != "compile"]
    assert [name for name in quick if checks.one(cls, name).outcome != "passed"] == []


def test_it_is_compared(tiny):
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    model = zoo.Loaded(tiny("vit"), processor)
    results = tokenry.compare(model, [SLUG, "random"], pictures, keep=(1, 0.5), progress=False)
    assert results.methods == (SLUG, "random")
    assert results.card(SLUG)["name"] == "Shortest"
    (mine,) = [s for s in results.summary() if (s.method, s.keep) == (SLUG, 0.5)]
    assert mine.n == 3
    assert mine.tokens == pytest.approx(0.5, abs=1 / 65)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("acme_missing:Shortest", "cannot be loaded"),
        ("acme_tokens:Longest", "cannot be loaded"),
        ("acme_tokens:Card", "is not a subclass"),
        ("acme_tokens:Shortest", "calls itself 'acme-shortest'"),
    ],
)
def test_an_entry_point_that_lies_is_refused(entry, message, tmp_path, monkeypatch):
    installed_as(entry, tmp_path, monkeypatch)
    with pytest.raises(TokenryError, match=message):
        catalog.find("other")
