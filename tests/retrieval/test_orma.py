"""Orma: losses by hand, padding, refusals, and molecules as graphs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from tokenry.errors import DataError, UsageError
from tokenry.method import Batch
from tokenry.plugs.molecules import described, graphs, motifs
from tokenry.retrieval import Orma

ROOT = Path(__file__).parents[2]
ASPIRIN, TOLUENE, BIPHENYL = "CC(=O)Oc1ccccc1C(=O)O", "Cc1ccccc1", "c1ccc(-c2ccccc2)cc1"


def batch(rows=3, pad=0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    sizes = {"phrases": 5, "words": 5, "motifs": 3, "atoms": 6}
    vectors = {n: torch.randn(rows, 8, generator=draw) for n in ("sentence", "molecule")}
    vectors |= {n: torch.randn(rows, k, 8, generator=draw) for n, k in sizes.items()}
    real = {n: torch.ones(rows, sizes[n], dtype=torch.bool) for n in ("words", "motifs", "atoms")}
    real["words"][0, 3:] = real["atoms"][1, 2:] = False
    wide = {n: torch.nn.functional.pad(vectors[n], (0, 0, 0, pad), value=9.0) for n in sizes}
    there = {n: torch.nn.functional.pad(one, (0, pad)) for n, one in real.items()}
    return Batch(vectors=vectors | wide, real=there)


def test_the_loss_is_the_weighted_sum_of_three_contrasts():
    found = Orma(whole=0.5, mid=0.2).loss(batch())
    scores = Orma().scores(batch())
    assert list(found.parts) == ["whole", "mid", "fine"]
    for name, part in found.parts.items():
        own = torch.arange(3)
        rows, columns = (torch.log_softmax(scores[name], dim)[own, own] for dim in (1, 0))
        torch.testing.assert_close(part, -(rows.mean() + columns.mean()) / 2)
    wanted = sum(w * found.parts[n] for n, w in (("whole", 0.5), ("mid", 0.2), ("fine", 0.3)))
    torch.testing.assert_close(found.total, wanted)
    total = sum(w * scores[n] for n, w in (("whole", 0.5), ("mid", 0.2), ("fine", 0.3)))
    torch.testing.assert_close(Orma(whole=0.5, mid=0.2).blended(scores), total)


def test_padding_changes_nothing():
    plain, padded = Orma().scores(batch()), Orma().scores(batch(pad=4))
    for name in plain:
        torch.testing.assert_close(plain[name], padded[name], atol=1e-4, rtol=1e-4)


def test_grains_without_weight_are_not_computed():
    assert list(Orma(whole=1.0, mid=0.0).scores(batch())) == ["whole"]
    assert list(Orma(whole=0.5, mid=0.5).scores(batch())) == ["whole", "mid"]


def test_gradients_reach_every_view():
    given = batch()
    for one in given.vectors.values():
        one.requires_grad_()
    Orma().loss(given).total.backward()
    assert all(one.grad is not None and one.grad.any() for one in given.vectors.values())


def test_refusals_name_what_is_missing():
    with pytest.raises(UsageError, match="sum to more than 1"):
        Orma(whole=0.8, mid=0.4)
    with pytest.raises(UsageError, match="has no molecule, motifs"):
        Orma().scores(Batch(vectors={k: v for k, v in batch().vectors.items() if k[0] != "m"}))
    more = batch()
    vectors = {
        n: one[:2] if n in ("sentence", "phrases", "words") else one
        for n, one in more.vectors.items()
    }
    real = {n: one[:2] if n == "words" else one for n, one in more.real.items()}
    with pytest.raises(UsageError, match="2 texts have 3 molecules"):
        Orma().loss(Batch(vectors=vectors, real=real))


def test_motifs_are_fragments_and_rings():
    from rdkit import Chem

    def groups(smiles):
        molecule = Chem.MolFromSmiles(smiles)
        found = motifs(molecule)
        assert len(found) == molecule.GetNumAtoms()
        return len(set(found))

    assert groups("CCCC") == groups(TOLUENE) == 1
    assert groups(BIPHENYL) == 2
    assert groups(ASPIRIN) > 2


def test_graphs_hold_atoms_motifs_and_the_whole():
    found = graphs([ASPIRIN, TOLUENE])
    assert found.real_atoms.sum(1).tolist() == [13, 7]
    assert found.real_motifs.sum(1).tolist() == [int(found.motif[0].max()) + 1, 1]
    whole = found.edges[1, -1]
    assert (whole > 0).sum() == 1 + 1  # itself and its one motif
    assert torch.equal(found.edges, found.edges.mT)


def test_descriptions_count_what_is_there():
    assert described(ASPIRIN) == {"carboxylic acid": 1, "ester": 1, "benzene ring": 1} | {
        name: count for name, count in described(ASPIRIN).items() if name == "ether"
    }
    assert described("Clc1ccccc1Br")["chlorine atom"] == 1
    with pytest.raises(DataError, match="'no smiles' is no molecule"):
        described("no smiles")


@pytest.fixture(scope="module")
def study():
    """The recipe's molecules and captions."""
    path = ROOT / "recipes" / "orma_toy.py"
    spec = importlib.util.spec_from_file_location("orma_toy", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe, recipe.Study(steps=0)


@pytest.mark.slow
def test_claim_three_grains_beat_wholes(study):
    from safetensors.torch import load_file

    recipe, own = study
    found = {}
    for name, method in recipe.METHODS.items():
        model = own.new().eval()
        weights = load_file(recipe.WEIGHTS / f"{name.replace(' ', '-')}.safetensors")
        model.load_state_dict({key: one.float() for key, one in weights.items()})
        found[name] = own.tested(model, method)
    whole, three, released = found.values()
    for figure in three:
        assert three[figure] > whole[figure] + 0.1, found
        assert three[figure] >= released[figure], found
    written = json.loads(recipe.RESULTS.read_text(encoding="utf-8"))["retrieval"][0]["rows"]
    for row in written:  # weights are stored in half precision
        for figure, value in found[row["objective"]].items():
            assert value == pytest.approx(row[figure], abs=0.02)
