"""Cut pieces of four bacterial genomes for `tokenry.data`, from a Debian package.

    python recipes/genome_data.py        # writes src/tokenry/data/genomes/genomes.fasta.gz

The package `ragout-examples` carries reference genomes as NCBI publishes them. Of one strain of
each species, 100,000 bases from the first half of the genome are for learning, and 40,000 from the
second half for testing.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "ragout-examples"
SPECIES = {
    "Escherichia coli K-12 MG1655": "E.Coli/references/MG1655-K12",
    "Helicobacter pylori G27": "H.Pylori/references/G27",
    "Staphylococcus aureus N315": "S.Aureus/references/N315",
    "Vibrio cholerae O395": "V.Cholerae/references/O395",
}
TRAIN, TEST = 100_000, 40_000
OUT = Path(__file__).parents[1] / "src/tokenry/data/genomes/genomes.fasta.gz"
HASH = "f7117833273c6b0e8ec0ad48b7cd99e4ae9dde76772e5834d0f2eee30811aa66"


def unpacked(folder: Path) -> Path:
    """The folder of genomes in the package, fetched and unpacked."""
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
    package = next(folder.glob("*.deb"))
    subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return folder / "usr/share/doc/ragout/examples"


def genome(path: Path) -> str:
    """The longest sequence of a FASTA file."""
    entries = gzip.decompress(path.read_bytes()).decode("ascii").split(">")[1:]
    return max(("".join(entry.split("\n")[1:]).upper() for entry in entries), key=len)


def entries(root: Path) -> str:
    """All pieces as FASTA."""
    lines = []
    for species, file in SPECIES.items():
        whole = genome(root / f"{file}.fasta.gz")
        middle = len(whole) // 2
        for split, start, size in (("train", middle // 2, TRAIN), ("test", middle * 3 // 2, TEST)):
            lines += [f">{split} {species} from base {start + 1}", whole[start : start + size]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fetch, cut, check, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        text = entries(unpacked(Path(folder)))
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != HASH:
        raise SystemExit(f"the pieces have SHA-256 {found}, not the known one")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    sys.stdout.write(f"{out}: {out.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
