"""Search by tokens: our segments beside LanceDB, usearch, sentence-transformers, Qdrant and peers.

    python recipes/manpage_collection.py manpages-large              # once; a minute
    python bench/retrieval.py small --collection manpages-large      # about five minutes
    python recipes/manpage_collection.py manpages-huge --pages 20000 --packages many
    python bench/retrieval.py large --collection manpages-huge --length 320 --bfloat16
    python bench/retrieval.py small --collection manpages-large --peers PYTHON

Writes bench/results/retrieval.json. `small` is the collection itself; `large` too where it holds
`--tokens`, and otherwise its documents again and again with noise until it does, which is said
beside the figures. Vectors are all-MiniLM-L6-v2's token states, first `--length` tokens of a page,
brought to 128 dimensions; they are encoded once and kept in `--work`. PYTHON is an interpreter with
fast-plaid or pylate (`pip install fast-plaid pylate`): they need another torch than ours, so files
are exchanged. Overlap is with exact MaxSim over the same float16 vectors; each engine builds,
searches and changes in processes of its own, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from retrieval_engines import ENGINES, FIRST, Work
from tqdm import tqdm

from tokenry.data import load_collection
from tokenry.ops.late import maxsim
from tokenry.ops.ragged import Ragged
from tokenry.ops.ranking import ndcg, overlap
from tokenry.plugs.token_encoder import TokenEncoder

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "retrieval.json"
DIMENSION, NOISE = 128, 0.35
PART, LEARN = 256, 256
"""Documents encoded together, and those that the dimensions are learned from."""
PACKAGES = (
    "tokenry",
    "torch",
    "numpy",
    "numba",
    "lancedb",
    "usearch",
    "sentence-transformers",
    "qdrant-client",
)
TARGETS = {"segments 4 bits": ("segments exact", 0.25), "segments exact": ("lancedb exact", 1.0)}
"""Whose p50 shall be at most so much of whose."""
SLOW = ("qdrant local",)
"""Engines that take minutes a query on millions of tokens, and say so themselves."""


def encode(collection: str, given: Any, folder: Path) -> list[dict[str, float]]:
    """Write the vectors of a collection, unless they are there; the labels by document number."""
    data = load_collection(collection, limit=given.queries)
    place = {document.id: i for i, document in enumerate(data.documents)}
    labels = [{place[n]: v for n, v in q.relevance.items() if n in place} for q in data]
    stamp = f"{data.hash} {DIMENSION} {given.length}"
    if (folder / "stamp").is_file() and (folder / "stamp").read_text() == stamp:
        return labels
    print("encoding, once ...", flush=True)
    encoder = TokenEncoder.load("zoo:minilm-l6", length=given.length + 2)
    texts = [document.text for document in data.documents]
    if given.bfloat16:
        encoder.reader.model.bfloat16()
    some = texts[:: max(1, len(texts) // LEARN)]
    encoder = encoder.narrowed(cut(some, encoder, given.length), DIMENSION)
    parts = [
        encoder.encode(cut(texts[i : i + PART], encoder, given.length)).tokens
        for i in tqdm(range(0, len(texts), PART))
    ]
    asked = encoder.encode([query.text for query in data], "query").tokens
    write(folder, Ragged.of([rows for part in parts for rows in part]), asked)
    (folder / "stamp").write_text(stamp)
    return labels


def cut(texts: list[str], encoder: TokenEncoder, length: int) -> list[str]:
    """The first tokens of each text."""
    found = []
    for text in texts:
        read = encoder.reader.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        found.append(text[: read["offset_mapping"][:length][-1][1]])
    return found


def write(folder: Path, documents: Ragged, queries: Ragged) -> None:
    """The files that engines read."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", documents.values.half().numpy())
    np.save(folder / "offsets.npy", documents.offsets.numpy())
    np.save(folder / "queries.npy", queries.values.float().numpy())
    np.save(folder / "query_offsets.npy", queries.offsets.numpy())


def enlarge(small: Path, tokens: int, folder: Path) -> None:
    """The documents again and again, each time with other noise of length `NOISE`."""
    if (folder / "tokens.npy").is_file():
        have = np.load(folder / "tokens.npy", mmap_mode="r")
        if len(have) >= tokens:
            return
    folder.mkdir(parents=True, exist_ok=True)
    work, rng = Work(small), np.random.default_rng(0)
    once, lengths = np.array(work.tokens, np.float32), np.diff(work.offsets)
    rounds = -(-tokens // len(once))
    out = np.lib.format.open_memmap(
        folder / "tokens.npy", "w+", np.float16, (rounds * len(once), DIMENSION)
    )
    for i in range(rounds):
        noise = rng.standard_normal(once.shape, np.float32) * (NOISE * (i > 0) / DIMENSION**0.5)
        near = once + noise
        near /= np.linalg.norm(near, axis=1, keepdims=True).clip(1e-6)
        out[i * len(once) : (i + 1) * len(once)] = near
    out.flush()
    np.save(folder / "offsets.npy", np.concatenate([[0], np.tile(lengths, rounds).cumsum()]))
    for name in ("queries", "query_offsets"):
        np.save(folder / f"{name}.npy", np.load(small / f"{name}.npy"))


def exact(work: Work) -> list[list[int]]:
    """The best documents by MaxSim, computed here; what overlap is with."""
    documents = Ragged(
        torch.from_numpy(np.array(work.tokens)), torch.from_numpy(np.array(work.offsets))
    )
    queries = Ragged.of([torch.from_numpy(query) for query in work.queries])
    scores = maxsim(queries, documents)
    return scores.topk(min(FIRST, len(documents)), 1).indices.tolist()


def stage(name: str, kind: str, work: Path, index: Path, threads: int) -> dict[str, Any]:
    """Run one stage of an engine in its own process; what went wrong instead of figures."""
    out = work / "result.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "retrieval_engines.py"), name, kind]
    limits = {k: str(threads) for k in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS",
                                        "LANCE_CPU_THREADS", "TOKENIZERS_PARALLELISM")}  # fmt: skip
    done = subprocess.run(
        [*command, str(work), str(index), str(out)],
        env={**os.environ, **limits},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not out.is_file():
        lines = done.stderr.strip().splitlines()
        return {"failed": f"{kind}: {lines[-1][:160] if lines else done.returncode}"}
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def row(
    name: str, work: Path, threads: int, labels: list[dict[int, float]], best: list[list[int]]
) -> dict[str, Any]:
    """Everything about one engine on one collection."""
    index = work / "indexes" / name.replace(" ", "-").replace("+", "and")
    given, found = Work(work), {}
    for kind in ("build", "search", "change"):
        part = stage(name, kind, work, index, threads)
        if "failed" in part and kind != "change":
            return {"engine": name, **part}
        found |= {} if "failed" in part else part
    return {"engine": name, **figures(found, len(given.tokens), labels, best)}


def figures(
    found: dict[str, Any], tokens: int, labels: list[dict[int, float]], best: list[list[int]]
) -> dict[str, Any]:
    """The columns of the table."""
    ms = 1e3 * np.array(found["seconds"])
    pairs = list(zip(found["found"], best, strict=True))
    quality = [ndcg(names, known) for names, known in zip(found["found"], labels, strict=True)]
    return {
        "p50_ms": round(float(np.median(ms)), 2),
        "p95_ms": round(float(np.quantile(ms, 0.95)), 2),
        "overlap_10": round(float(np.mean([overlap(a, b, FIRST) for a, b in pairs])), 3),
        "ndcg_10": round(float(np.mean(quality)), 3),
        "bytes_per_token": round(found["bytes"] / tokens, 1),
        "index_mb": round(found["bytes"] / 2**20, 1),
        "search_rss_mb": found["peak_rss_mb"],
        "libraries_mb": found.get("opened_rss_mb", ""),
        "build_seconds": found["build_seconds"],
        "add_ms": found.get("add_ms", ""),
        "delete_ms": found.get("delete_ms", ""),
    }


def peers(
    python: str, work: Path, labels: list[dict[int, float]], best: list[list[int]]
) -> list[dict[str, Any]]:
    """The same of packages in another environment."""
    out = work / "peers.json"
    command = [python, str(HERE / "retrieval_peers.py"), str(work), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not out.is_file():
        lines = done.stderr.strip().splitlines()
        return [{"engine": "peers", "failed": lines[-1][:160] if lines else "no output"}]
    rows = json.loads(out.read_text(encoding="utf-8"))
    tokens = len(Work(work).tokens)
    return [
        r if "failed" in r else {"engine": r["engine"], **figures(r, tokens, labels, best)}
        for r in rows
    ]


def ratios(rows: list[dict[str, Any]]) -> None:
    """Print what was asked for beside what was measured."""
    known = {row["engine"]: row for row in rows if "p50_ms" in row}
    for name, (other, most) in TARGETS.items():
        if name in known and other in known:
            ratio = known[name]["p50_ms"] / known[other]["p50_ms"]
            verdict = "met" if ratio <= most else "not met"
            print(f"p50 of {name} is {ratio:.2f} of {other}'s; at most {most}: {verdict}")
    for name, row in known.items():
        if name.startswith("segments"):
            share = (row["search_rss_mb"] - row["libraries_mb"]) / max(row["index_mb"], 0.1)
            print(f"{name}: {row['bytes_per_token']} bytes a token, overlap {row['overlap_10']}, "
                  f"search process {row['search_rss_mb']} MB ({share:.2f} of the index without "
                  f"libraries), "
                  f"add {row['add_ms']} ms, delete {row['delete_ms']} ms")  # fmt: skip


def main() -> None:
    """Measure a section."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("section", choices=("small", "large"))
    parser.add_argument("--collection", default="manpages", help="what load_collection takes")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--bfloat16", action="store_true", help="encode in it: a third of the time")
    parser.add_argument("--length", type=int, default=256, help="tokens of a document")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="of the section large")
    parser.add_argument("--engines", default=",".join(ENGINES), help="names, joined by commas")
    parser.add_argument("--peers", help="an interpreter with fast-plaid or pylate")
    kept = Path(tempfile.gettempdir()) / "tokenry-bench-retrieval"
    parser.add_argument("--work", type=Path, default=kept, help="where vectors and indexes lie")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    small = given.work / Path(given.collection).name
    labels, work = encode(given.collection, given, small), small
    if given.section == "large" and len(Work(small).tokens) < given.tokens:
        work = given.work / f"{small.name}-{given.tokens}"
        enlarge(small, given.tokens, work)
    names = [name.strip() for name in given.engines.split(",")]
    if given.section == "large":
        names = [name for name in names if name not in SLOW]
    best, rows = exact(Work(work)), []
    for name in names:
        rows.append(row(name, work, given.threads, labels, best))
        print(rows[-1], flush=True)
        keep(given, work, rows)
    rows += peers(given.peers, work, labels, best) if given.peers else []
    ratios(rows)
    keep(given, work, rows)


def keep(given: Any, work: Path, rows: list[dict[str, Any]]) -> None:
    """Put rows into the results file, beside those of other engines on the same vectors."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    vectors, repeated = Work(work), not (work / "stamp").is_file()
    block = {
        "collection": Path(given.collection).name,
        "documents": vectors.documents,
        "tokens": len(vectors.tokens),
        "queries": len(vectors.queries),
        "length": given.length,
        "encoded_in": "bfloat16" if given.bfloat16 else "float32",
        "vectors": f"real, repeated with noise {NOISE}" if repeated else "real",
        "threads": given.threads,
    }
    before = known.get(given.section, [{}])[0]
    same = all(before.get(name) == value for name, value in block.items())
    measured = {r["engine"]: r for r in (*(before["rows"] if same else ()), *rows)}
    known[given.section] = [{**block, "rows": list(measured.values())}]
    known["environment"] = {"python": platform.python_version(), **versions()}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Of the packages that were measured."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
