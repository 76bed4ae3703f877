"""The pieces of bacterial genomes that ship with the package."""

from __future__ import annotations

import gzip
from pathlib import Path

from tokenry.data.texts import TextData, TextExample

FILE = Path(__file__).parent / "genomes" / "genomes.fasta.gz"


def genomes() -> TextData:
    """Return pieces of four bacterial genomes, to learn from and to test with.

    The domain is the species. What is for testing lies in another part of the genome.
    """
    entries = gzip.decompress(FILE.read_bytes()).decode("ascii").split(">")[1:]
    examples = []
    for entry in entries:
        head, _, text = entry.partition("\n")
        split, genus, species = head.split()[:3]
        name = f"{genus} {species}"
        examples.append(
            TextExample(
                id=f"{name}-{split}",
                text=text.strip(),
                split=split,
                domain=name,
                meta={"piece": head.partition(" ")[2]},
            )
        )
    return TextData(
        name="genomes",
        examples=tuple(examples),
        license="none needed: sequences as NCBI publishes them",
        source="reference genomes in the Debian package ragout-examples",
    )
