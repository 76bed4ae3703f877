"""A csv file of a gigabyte through the commands: seconds, and the most memory of each.

    python bench/linking_csv.py [--gigabytes 1] [--rows 2000000] [--work FOLDER]

The file holds made-up people, half of them a second time with a letter wrong in every third name,
and beside them a column of notes that makes it as large as it shall be. `tokenry dedupe` reads it
whole, `tokenry link` its two halves as files of their own. Each command gets no more than 4 GB to
write to. Figures are added to results/linking.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from linking_limited import people, scored
from pyarrow import csv, parquet

from linking import LIMIT, write

KEYS = "first,last,city"
BLOCK = "last+year:3,first+city"


def made(work: Path, rows: int, size: int) -> np.ndarray:
    """Write people.csv, and its halves left.csv and right.csv; give the true pairs."""
    left, right, gold = people(rows // 2)
    rng = np.random.default_rng(1)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz     ,'\""])
    wide = max(1, size // rows - 40)
    notes = pa.array(["".join(rng.choice(letters, wide)) for _ in range(2000)])
    halves = [
        pa.table({**side, "note": notes.take(pa.array(rng.integers(0, len(notes), rows // 2)))})
        for side in (left, right)
    ]
    for name, table in zip(("left", "right"), halves, strict=True):
        csv.write_csv(table, work / f"{name}.csv")
    csv.write_csv(pa.concat_tables(halves), work / "people.csv")
    return gold


def run(*words: str) -> dict[str, Any]:
    """A command, with its seconds and the most that its process held."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))

    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        child = subprocess.Popen(
            [sys.executable, "-m", "tokenry.cli", *words],
            stdout=said, stderr=wrong, preexec_fn=limit, env=environment,
        )  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        said.seek(0)
        wrong.seek(0)
        if child.returncode:
            return {"failed": wrong.read().strip().splitlines()[-1][:200]}
        found = json.loads(said.read())
    cost = {"seconds": round(seconds, 1), "peak_mb": round(used.ru_maxrss / 1024)}
    return {**cost, "found": found}


def measured(work: Path, rows: int, gold: np.ndarray) -> list[dict[str, Any]]:
    """Both commands."""
    half, blocks = rows // 2, []
    usual = ("--on", KEYS, "--block", BLOCK, "--method", "fuzzy", "--json")
    out = work / "clusters.parquet"
    one = run(
        "dedupe", str(work / "people.csv"), *usual,
        "--threshold", "0.8", "--labelled", "--out", str(out),
    )  # fmt: skip
    if found := one.pop("found", None):
        labels = parquet.read_table(out, columns=["cluster"])["cluster"].to_numpy()
        entity = np.concatenate((np.arange(half), gold[np.argsort(gold[:, 1]), 0]))
        one |= scored(labels, entity) | {"stages": _stages(found["links"]["stages"])}
    blocks.append({"command": "dedupe", "file": "people.csv", **one})
    out = work / "links.parquet"
    two = run("link", str(work / "left.csv"), str(work / "right.csv"), *usual, "--out", str(out))
    if found := two.pop("found", None):
        two |= {"links": found["links"], "stages": _stages(found["stages"])}
    blocks.append({"command": "link", "file": "its halves", **two})
    return blocks


def _stages(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "stage": one["name"],
            "rows": one["rows"],
            "seconds": round(one["seconds"], 1),
            "peak_mb": round(one["peak_bytes"] / 2**20),
        }
        for one in found
    ]


def main() -> None:
    """Make the file, run the commands, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--work", help="a folder that the files stay in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(given.work or temporary)
        work.mkdir(parents=True, exist_ok=True)
        gold = made(work, given.rows, int(given.gigabytes * 1e9))
        size = (work / "people.csv").stat().st_size
        about = {"gigabytes": round(size / 1e9, 2), "rows": given.rows}
        about["limit"] = "4 GB of its own memory"
        write("csv", [{**about, **one} for one in measured(work, given.rows, gold)])


if __name__ == "__main__":
    main()
