"""The peers' side of `bench/retrieval.py`: fast-plaid and PyLate, in their own environment.

    python bench/retrieval_peers.py WORK OUT.json

Runs where they and the torch that they need are installed (`pip install fast-plaid pylate`), and
imports nothing of tokenry. What is not installed is said, not skipped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

FIRST, ROUNDS, PATIENCE = 10, 3, 60


def ragged(folder: Path, name: str, ends: str) -> list[torch.Tensor]:
    """The vectors of each document or query."""
    values = torch.from_numpy(np.load(folder / f"{name}.npy")).float()
    return list(values.split(np.diff(np.load(folder / f"{ends}.npy")).tolist()))


class FastPlaid:
    """fast-plaid with its defaults, at 4 or 2 bits."""

    def __init__(self, folder: Path, bits: int) -> None:
        from fast_plaid import search

        self.bits, self.index = bits, search.FastPlaid(index=str(folder), device="cpu")

    def build(self, documents: list[torch.Tensor]) -> None:
        """Make the index of all documents."""
        self.index.create(documents_embeddings=documents, nbits=self.bits)

    def search(self, query: torch.Tensor) -> list[int]:
        """The best documents by their numbers."""
        (found,) = self.index.search(queries_embeddings=query[None], top_k=FIRST)
        return [int(document) for document, _ in found]


class PyLate:
    """PyLate's PLAID index with its defaults."""

    def __init__(self, folder: Path) -> None:
        from pylate import indexes, retrieve

        self.index = indexes.PLAID(index_folder=str(folder), index_name="t", override=True)
        self.retriever = retrieve.ColBERT(index=self.index)

    def build(self, documents: list[torch.Tensor]) -> None:
        """Make the index of all documents."""
        names = [str(i) for i in range(len(documents))]
        rows = [document.numpy() for document in documents]
        self.index.add_documents(documents_ids=names, documents_embeddings=rows)

    def search(self, query: torch.Tensor) -> list[int]:
        """The best documents by their numbers."""
        (found,) = self.retriever.retrieve(queries_embeddings=[query.numpy()], k=FIRST)
        return [int(one["id"]) for one in found]


def peak_mb() -> float:
    """Most memory that this process held; getrusage would count the parent's before exec."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) / 1024, 1)


def measured(engine: Any, folder: Path, documents: Any, queries: Any) -> dict[str, Any]:
    """Build, bytes, what each query finds, and the best of some rounds' seconds."""
    start = time.perf_counter()
    engine.build(documents)
    build = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    engine.search(queries[0])
    found, spent = [], np.full(len(queries), np.inf)
    for done in range(ROUNDS):
        if done and np.sum(spent) > PATIENCE:
            break
        found = []
        for i, query in enumerate(queries):
            start = time.perf_counter()
            found.append(engine.search(query))
            spent[i] = min(spent[i], time.perf_counter() - start)
    return {
        "found": found,
        "seconds": spent.tolist(),
        "build_seconds": round(build, 2),
        "bytes": size,
        "peak_rss_mb": peak_mb(),  # of building too: one process does both
    }


def main() -> None:
    """Measure what is installed."""
    work, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    documents = ragged(work, "tokens", "offsets")
    queries = ragged(work, "queries", "query_offsets")
    makers = {
        "fast-plaid 4 bits": lambda folder: FastPlaid(folder, 4),
        "pylate plaid": PyLate,
        "fast-plaid 2 bits": lambda folder: FastPlaid(folder, 2),
    }
    rows = []
    for name, make in makers.items():
        folder = work / "indexes" / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            found = measured(make(folder), folder, documents, queries)
        except Exception as error:  # whatever a peer raises is what is reported
            found = {"failed": f"{type(error).__name__}: {error}"[:160]}
        rows.append({"engine": name, **found})
        print(name, {k: v for k, v in found.items() if k not in ("found", "seconds")}, flush=True)
        out.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
