"""Molecules of rdkit as graphs of atoms, motifs and the whole, and as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.errors import DataError, MissingExtraError

ELEMENTS = ("C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "Si")
FEATURES = len(ELEMENTS) + 1 + 6 + 5 + 3
"""Of an atom: element, neighbours, hydrogens; aromatic, in a ring, charged."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Graphs:
    """A batch of molecules, padded.

    Attributes:
        atoms: Features of atoms.
        real_atoms: Those that are no padding.
        real_motifs: Motifs that are no padding.
        edges: Of each molecule's graph, with weights that keep the mean over neighbours and self;
            its nodes are the atoms, then the motifs, then the whole.
        motif: The motif of each atom; 0 for padding.
    """

    atoms: Float[Tensor, "c k f"]
    real_atoms: Bool[Tensor, "c k"]
    real_motifs: Bool[Tensor, "c m"]
    edges: Float[Tensor, "c v v"]
    motif: Int[Tensor, "c k"]


def graphs(smiles: Sequence[str]) -> Graphs:
    """Read molecules as graphs.

    Raises:
        DataError: If one is no molecule.
        MissingExtraError: If rdkit is not installed.
    """
    molecules = [_molecule(one) for one in smiles]
    found = [motifs(one) for one in molecules]
    atoms = max(one.GetNumAtoms() for one in molecules)
    most = max(max(one) + 1 for one in found)
    size = atoms + most + 1
    features = torch.zeros(len(molecules), atoms, FEATURES)
    motif = torch.zeros(len(molecules), atoms, dtype=torch.long)
    edges = torch.zeros(len(molecules), size, size)
    for row, (molecule, own) in enumerate(zip(molecules, found, strict=True)):
        for atom in molecule.GetAtoms():
            features[row, atom.GetIdx()] = torch.tensor(_features(atom))
        motif[row, : len(own)] = torch.tensor(own)
        pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
        pairs += [(at, atoms + group) for at, group in enumerate(own)]
        pairs += [(atoms + group, size - 1) for group in set(own)]
        for first, second in pairs:
            edges[row, first, second] = edges[row, second, first] = 1
    there = torch.arange(atoms) < torch.tensor([[len(own)] for own in found])
    groups = torch.arange(most) < torch.tensor([[max(own) + 1] for own in found])
    edges += torch.eye(size)
    root = edges.sum(-1).rsqrt()
    return Graphs(
        atoms=features,
        real_atoms=there,
        real_motifs=groups,
        edges=root[:, :, None] * edges * root[:, None, :],
        motif=motif,
    )


def motifs(molecule: Any) -> list[int]:
    """The motif of each atom: BRICS fragments, cut further between rings and branches.

    Raises:
        MissingExtraError: If rdkit is not installed.
    """
    from rdkit.Chem import BRICS

    bonds: Any = BRICS  # without types
    cut = {tuple(sorted(pair)) for pair, _ in bonds.FindBRICSBonds(molecule)}
    for bond in molecule.GetBonds():
        first, second = bond.GetBeginAtom(), bond.GetEndAtom()
        branching = first.IsInRing() != second.IsInRing()
        if branching and max(first.GetDegree(), second.GetDegree()) > 1:
            lone = min(first.GetDegree(), second.GetDegree()) == 1
            if not lone:  # a single atom stays with its ring
                cut.add(tuple(sorted((first.GetIdx(), second.GetIdx()))))
    labels = list(range(molecule.GetNumAtoms()))
    for bond in molecule.GetBonds():
        pair = tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())))
        if pair not in cut:
            old, new = labels[pair[1]], labels[pair[0]]
            labels = [new if label == old else label for label in labels]
    order = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]


def described(smiles: str) -> dict[str, int]:
    """What a molecule has, by rdkit's counts: functional groups, rings, halogens.

    Raises:
        DataError: If it is no molecule.
        MissingExtraError: If rdkit is not installed.
    """
    molecule = _molecule(smiles)
    from rdkit.Chem import Fragments, rdMolDescriptors

    names = {
        "fr_Al_OH": "aliphatic hydroxyl group",
        "fr_Ar_OH": "phenol group",
        "fr_COO": "carboxylic acid",
        "fr_NH2": "primary amine",
        "fr_NH1": "secondary amine",
        "fr_NH0": "tertiary amine",
        "fr_amide": "amide",
        "fr_ester": "ester",
        "fr_ether": "ether",
        "fr_ketone": "ketone",
        "fr_aldehyde": "aldehyde",
        "fr_nitro": "nitro group",
        "fr_nitrile": "nitrile",
        "fr_sulfonamd": "sulfonamide",
        "fr_SH": "thiol",
        "fr_sulfide": "sulfide",
        "fr_furan": "furan ring",
        "fr_pyridine": "pyridine ring",
        "fr_thiophene": "thiophene ring",
        "fr_benzene": "benzene ring",
        "fr_imidazole": "imidazole ring",
    }
    found = {words: int(getattr(Fragments, name)(molecule)) for name, words in names.items()}
    for symbol, words in (
        ("F", "fluorine"),
        ("Cl", "chlorine"),
        ("Br", "bromine"),
        ("I", "iodine"),
    ):
        count = sum(atom.GetSymbol() == symbol for atom in molecule.GetAtoms())
        found[f"{words} atom"] = count
    found["saturated ring"] = int(rdMolDescriptors.CalcNumSaturatedRings(molecule))
    return {words: count for words, count in found.items() if count}


def _molecule(smiles: str) -> Any:
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise MissingExtraError("molecules", 'pip install "tokenry[retrieval]"') from error
    log: Any = RDLogger
    log.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise DataError(f"{smiles[:80]!r} is no molecule that rdkit reads; give SMILES.")
    return molecule


def _features(atom: Any) -> list[float]:
    symbol = atom.GetSymbol()
    element = ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS)
    degree, hydrogens = min(atom.GetDegree(), 5), min(atom.GetTotalNumHs(), 4)
    row = [0.0] * FEATURES
    row[element] = row[len(ELEMENTS) + 1 + degree] = 1.0
    row[len(ELEMENTS) + 7 + hydrogens] = 1.0
    row[-3:] = [
        float(atom.GetIsAromatic()),
        float(atom.IsInRing()),
        float(atom.GetFormalCharge() != 0),
    ]
    return row
