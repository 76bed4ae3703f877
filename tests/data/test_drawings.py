from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from tokenry.data import load
from tokenry.data.drawings import FOLDER, VENDORS, manifest
from tokenry.errors import DataError


def test_every_concept_is_drawn_by_every_vendor():
    data = load("emoji")
    concepts = manifest()["concepts"]
    assert len(concepts) == 600
    assert len(data) == 600 * len(VENDORS)
    assert data.domains == VENDORS == tuple(manifest()["vendors"])
    drawn = Counter(e.label for e in data)
    assert set(drawn) == {concept["name"] for concept in concepts}
    assert set(drawn.values()) == {len(VENDORS)}


def test_groups_are_balanced():
    groups = Counter(concept["group"] for concept in manifest()["concepts"])
    assert len(groups) == 8
    assert set(groups.values()) == {75}


@pytest.mark.parametrize("vendor", VENDORS)
def test_pictures_are_distinct_and_not_blank(vendor):
    data = load(f"emoji:{vendor}")
    assert len(data) == 600
    assert data.name == f"emoji:{vendor}"
    images = [e.image() for e in data]
    assert {(image.mode, image.size) for image in images} == {("RGB", (64, 64))}
    assert all(image.convert("L").getextrema()[0] < 240 for image in images)
    assert len({image.tobytes() for image in images}) == 600


@pytest.mark.parametrize("vendor", VENDORS)
def test_sheet_is_the_one_in_the_manifest(vendor):
    about = manifest()["vendors"][vendor]
    assert hashlib.sha256((FOLDER / about["sheet"]).read_bytes()).hexdigest() == about["sha256"]


def test_licences_and_sources_lie_beside_and_all_is_small():
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    for about in manifest()["vendors"].values():
        text = (FOLDER / "licenses" / f"{about['license']}.txt").read_text(encoding="utf-8")
        assert len(text) > 5000
        for part in (about["sheet"], about["credit"], about["license"], about["home"]):
            assert part in sources
    texts = {path.stem for path in (FOLDER / "licenses").iterdir()}
    assert texts >= {"MIT-emojibase-data", "MIT-emoji-datasource", "Unicode-3.0"}
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 4_000_000


def test_an_example_tells_what_it_shows():
    tomato = next(e for e in load("emoji") if e.id == "twitter/1F345")
    assert (tomato.label, tomato.domain, tomato.split) == ("tomato", "twitter", None)
    assert tomato.meta["group"] == "food-drink"
    assert tomato.meta["subgroup"] == "food-fruit"
    assert "fruit" in tomato.meta["keywords"]
    assert tomato.meta["character"] == "\N{TOMATO}"
    red, green, blue = tomato.image().getpixel((32, 40))
    assert red > 2 * max(green, blue)


def test_licence_names_both_vendors():
    assert "CC-BY-4.0, Copyright 2020 Twitter" in load("emoji").license
    assert "CC-BY-4.0" not in load("emoji:google").license


def test_a_damaged_sheet_is_refused(tmp_path, monkeypatch):
    from tokenry.data import drawings

    (tmp_path / "emoji.json").write_text(json.dumps(manifest()), encoding="utf-8")
    (tmp_path / "google.webp").write_bytes((FOLDER / "google.webp").read_bytes()[:-1])
    monkeypatch.setattr(drawings, "FOLDER", tmp_path)
    drawings._sheet.cache_clear()
    with pytest.raises(DataError, match=r"google.webp: is not the file that was shipped"):
        load("emoji:google")[0].image()
