"""Peers of `bench/linking.py`: splink here, others in environments of their own.

    python bench/linking_peers.py recordlinkage WORK
    python bench/linking_peers.py linktransformer WORK MODEL

WORK holds left.csv and right.csv. Imports nothing of tokenry; the last line printed is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ON = ("given_name", "surname", "suburb")


def splink_pairs(left: Any, right: Any) -> list[tuple[int, int]]:
    """Splink's Fellegi-Sunter on FEBRL4, trained without labels; pairs from 1/2 on."""
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    api = DuckDBAPI()
    sides = []
    for name, table in (("left_side", left), ("right_side", right)):
        numbered = table.append_column("unique_id", [np.arange(table.num_rows)])
        sides.append(api.register(numbered, table_name=name))
    rules = [
        block_on("soc_sec_id"),
        block_on("given_name", "surname"),
        block_on("date_of_birth"),
        block_on("surname", "postcode"),
    ]
    compared = [
        cl.JaroWinklerAtThresholds("given_name"),
        cl.JaroWinklerAtThresholds("surname"),
        cl.LevenshteinAtThresholds("date_of_birth"),
        cl.LevenshteinAtThresholds("soc_sec_id"),
        cl.LevenshteinAtThresholds("address_1"),
        cl.ExactMatch("postcode"),
    ]
    linker = Linker(
        sides,
        SettingsCreator(
            link_type="link_only",
            comparisons=compared,
            blocking_rules_to_generate_predictions=rules,
        ),
    )
    training = linker.training
    training.estimate_probability_two_random_records_match(rules[:2], recall=0.8)
    training.estimate_u_using_random_sampling(max_pairs=1e6)
    training.estimate_parameters_using_expectation_maximisation(block_on("surname", "given_name"))
    training.estimate_parameters_using_expectation_maximisation(block_on("date_of_birth"))
    return linker, linker.inference.predict(threshold_match_probability=0.5)


def numbers(predicted: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left rows, right rows and probabilities of splink's pairs."""
    table = predicted.as_pyarrow_table()
    first = table.column("source_dataset_l").to_numpy() == "left_side"
    one, other = (table.column(f"unique_id_{side}").to_numpy() for side in ("l", "r"))
    scores = table.column("match_probability").to_numpy()
    return np.where(first, one, other), np.where(first, other, one), scores


def single_best_links(linker: Any, predicted: Any) -> int:
    """Splink's one-to-one clusters of its own pairs: how many hold both sides."""
    found = linker.clustering.cluster_using_single_best_links(
        predicted,
        duplicate_free_datasets=["left_side", "right_side"],
        threshold_match_probability=0.5,
    )
    _, counts = np.unique(found.as_pyarrow_table().column("cluster_id"), return_counts=True)
    return int((counts > 1).sum())


def by_recordlinkage(work: Path) -> dict[str, Any]:
    """Recordlinkage with blocks, Jaro-Winkler and its own expectation-maximisation."""
    import pandas as pd
    import recordlinkage

    left, right = (pd.read_csv(work / f"{side}.csv", dtype=str) for side in ("left", "right"))
    start = time.perf_counter()
    index = recordlinkage.Index()
    for keys in (["soc_sec_id"], ["given_name", "surname"], ["date_of_birth"]):
        index.block(keys)
    pairs = index.index(left, right)
    compare = recordlinkage.Compare()
    for name in ("given_name", "surname", "address_1"):
        compare.string(name, name, method="jarowinkler", threshold=0.85)
    for name in ("date_of_birth", "soc_sec_id", "postcode"):
        compare.exact(name, name)
    vectors = compare.compute(pairs, left, right)
    found = recordlinkage.ECMClassifier().fit_predict(vectors)
    return {"seconds": round(time.perf_counter() - start, 1), "pairs": [*map(list, found)]}


def by_linktransformer(work: Path, model: str) -> dict[str, Any]:
    """Linktransformer's merge: each left row with its nearest right one."""
    import linktransformer as lt
    import pandas as pd

    left, right = (pd.read_csv(work / f"{side}.csv", dtype=str) for side in ("left", "right"))
    left["left_row"], right["right_row"] = range(len(left)), range(len(right))
    for side in (left, right):
        side[list(ON)] = side[list(ON)].fillna("")
    start = time.perf_counter()
    merged = lt.merge(left, right, merge_type="1:1", on=list(ON), model=model)
    seconds = round(time.perf_counter() - start, 1)
    pairs = merged[["left_row", "right_row"]].astype(int).to_numpy().tolist()
    return {"seconds": seconds, "pairs": pairs}


def main() -> None:
    """Run one peer."""
    name, work = sys.argv[1], Path(sys.argv[2])
    if name == "recordlinkage":
        found = by_recordlinkage(work)
    else:
        found = by_linktransformer(work, sys.argv[3])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
