"""A text encoder and a graph network side by side, for retrieval across the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenry.method import Batch
from tokenry.plugs.molecules import FEATURES, Graphs

ATOM, MOTIF, WHOLE = range(3)


class TextMolecule(nn.Module):
    """Reads texts with any encoder of transformers, and molecules with a graph network.

    Args:
        text: An encoder with at least three layers; its last three states become sentence, phrases
            and words.
        width: Of all vectors that are compared.
        layers: Of the graph network; as many bonds does an atom see.
        dropout: In the graph network.
    """

    def __init__(self, text: Any, width: int = 64, layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        wide = text.config.hidden_size
        self.text = text
        self.scale = nn.Parameter(torch.tensor(0.07))  # streams are multiplied by its exponential
        self.from_text = nn.ModuleDict(
            {name: nn.Linear(wide, width) for name in ("sentence", "phrases", "words")}
        )
        self.from_atom = nn.Linear(FEATURES, wide)
        self.kinds = nn.Embedding(3, wide)
        self.graph = nn.ModuleList(nn.Linear(wide, wide) for _ in range(layers))
        self.mixed = nn.Sequential(
            nn.Linear(wide, wide),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(wide, wide),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(wide, wide),
            nn.LayerNorm(wide),
        )
        self.from_graph = nn.ModuleDict(
            {name: nn.Linear(wide, width) for name in ("molecule", "motifs", "atoms")}
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in ("sentence", "molecule")})

    def forward(self, texts: Mapping[str, Tensor], molecules: Graphs) -> Batch:
        """The views that Orma compares.

        Args:
            texts: What a tokenizer makes of texts: `input_ids` and `attention_mask`.
            molecules: As many molecules or more or fewer.
        """
        states = self.text(**texts, output_hidden_states=True).hidden_states
        real = texts["attention_mask"].bool()
        inside = real[..., None]
        mean = (states[-1] * inside).sum(1) / inside.sum(1)
        atoms, motifs, whole = self.nodes(molecules)
        scale = self.scale.exp()
        vectors = {
            "sentence": self.norms["sentence"](self.from_text["sentence"](mean)),
            "phrases": self.from_text["phrases"](states[-2]) * scale,
            "words": self.from_text["words"](states[-3]) * scale,
            "molecule": self.norms["molecule"](self.from_graph["molecule"](whole)),
            "motifs": self.from_graph["motifs"](motifs) * scale,
            "atoms": self.from_graph["atoms"](atoms) * scale,
        }
        there = {"words": real, "motifs": molecules.real_motifs, "atoms": molecules.real_atoms}
        return Batch(vectors=vectors, real=there)

    def nodes(
        self, molecules: Graphs
    ) -> tuple[Float[Tensor, "c k w"], Float[Tensor, "c m w"], Float[Tensor, "c w"]]:
        """States of atoms, of motifs, and of whole molecules."""
        count, atoms = molecules.real_atoms.shape
        motifs = molecules.real_motifs.shape[1]
        sorts = [ATOM] * atoms + [MOTIF] * motifs + [WHOLE]
        kinds = torch.tensor(sorts, device=molecules.atoms.device)
        state = self.kinds(kinds).expand(count, -1, -1)
        state = state + nn.functional.pad(self.from_atom(molecules.atoms), (0, 0, 0, motifs + 1))
        for layer in self.graph:
            state = state + torch.relu(layer(molecules.edges @ state))
        state = self.mixed(state)
        return state[:, :atoms], state[:, atoms:-1], state[:, -1]
