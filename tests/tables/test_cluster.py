"""`tokenry.cluster`: pairs and records of any type in, clusters out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tokenry
from tokenry.errors import DataError, UnknownNameError, UsageError

PAIRS = {"left": ["a", "b", "d"], "right": ["b", "c", "e"], "score": [0.9, 0.6, 0.8]}
RECORDS = {"id": ["c", "b", "a", "x", "d", "e"], "from": ["1", "2", "1", None, "1", "2"]}


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_clusters_come_in_the_type_of_the_records(make):
    found = tokenry.cluster(make(PAIRS), make(RECORDS), threshold=0.5)
    assert type(found.table) is type(make(RECORDS))
    assert list(found.table["cluster"]) == [0, 0, 0, 1, 2, 2] or found.records.column(
        "cluster"
    ).to_pylist() == [0, 0, 0, 1, 2, 2]
    assert found.records.column_names == ["id", "from", "cluster"]


def test_several_thresholds_at_once_are_those_one_by_one():
    steps = [0.85, 0.5, 0.7]
    together = tokenry.cluster(PAIRS, RECORDS, threshold=steps)
    assert list(together.columns.values()) == ["cluster_0.85", "cluster_0.5", "cluster_0.7"]
    for step in steps:
        alone = tokenry.cluster(PAIRS, RECORDS, threshold=step)
        assert together.labels[step].tolist() == alone.labels[step].tolist()
    assert together.labels[0.85].tolist() == [0, 1, 1, 2, 3, 4]


def test_guards_are_handed_on():
    found = tokenry.cluster(PAIRS, RECORDS, source="from", threshold=0.5)
    # c and a come from one source, and a with b scores more.
    assert found.table["cluster"] == [0, 1, 1, 2, 3, 3]
    found = tokenry.cluster(PAIRS, RECORDS, largest=2)
    assert found.table["cluster"] == [0, 1, 1, 2, 3, 3]
    found = tokenry.cluster(PAIRS, RECORDS, density=0.7)
    assert found.table["cluster"] == [0, 1, 1, 2, 3, 3]
    found = tokenry.cluster(PAIRS, RECORDS, apart=5.0, threshold=0.7)
    # b is four times as far from c as from a, and of d and e nothing is near.
    assert found.table["cluster"] == [0, 1, 2, 3, 4, 4]
    found = tokenry.cluster(PAIRS, RECORDS, by="average", threshold=0.5)
    assert found.table["cluster"] == [0, 1, 1, 2, 3, 3]


def test_apart_clusters_as_dedupe_does():
    """What is near a cluster may score less than the threshold."""
    pairs = {"left": ["a", "b", "c"], "right": ["b", "c", "d"], "score": [0.8, 0.75, 0.9]}
    found = tokenry.cluster(pairs, threshold=[0.7, 0.78, 0.85], apart=1.5)
    # At .78 a and b are .2 apart, and c is .25 from b, less than one and a half times as far.
    assert [one.tolist() for one in found.labels.values()] == [
        [0, 0, 0, 0], [0, 1, 2, 2], [0, 1, 2, 2],
    ]  # fmt: skip
    assert found.frame.table.column("id").to_pylist() == ["a", "b", "c", "d"]
    plain = tokenry.cluster(pairs, threshold=0.78)
    assert plain.labels[0.78].tolist() == [0, 0, 1, 1]


def test_a_threshold_that_no_pair_reaches_is_said():
    found = tokenry.cluster(PAIRS, threshold=[0.5, 0.95])
    assert found.notes == ("No pair scores 0.95: the highest score is 0.9.",)
    assert found.notes[0] in str(found)
    assert tokenry.cluster(PAIRS, threshold=0.9).notes == ()


def test_a_threshold_above_shares_is_refused_and_one_of_other_scores_is_not():
    with pytest.raises(UsageError, match=r"threshold=2 is above 1.*lie in \[0, 1\] \(0.6 to 0.9\)"):
        tokenry.cluster(PAIRS, threshold=2)
    weights = PAIRS | {"score": [7.5, -3.0, 0.5]}
    assert tokenry.cluster(weights, threshold=2).labels[2.0].tolist() == [0, 0, 1, 2, 3]


def test_records_may_be_a_list_or_left_out():
    assert tokenry.cluster(PAIRS).table["id"] == ["a", "b", "d", "c", "e"]
    assert tokenry.cluster(PAIRS).table["cluster"] == [0, 0, 1, 0, 1]
    found = tokenry.cluster(PAIRS, ["a", "b", "c", "d", "e", "z"])
    assert found.table == {"id": ["a", "b", "c", "d", "e", "z"], "cluster": [0, 0, 0, 1, 1, 2]}


def test_pairs_without_scores_all_count():
    pairs = {"left": [1, 5], "right": [2, 5]}
    found = tokenry.cluster(pairs, [5, 2, 1])
    assert found.table["cluster"] == [0, 1, 1]
    with pytest.raises(UsageError, match=r"threshold=0.5 needs scores.*no column 'score'"):
        tokenry.cluster(pairs, threshold=0.5)


def test_files_go_in_and_out(tmp_path):
    pl.DataFrame(PAIRS).write_csv(tmp_path / "pairs.csv")
    pl.DataFrame(RECORDS).write_parquet(tmp_path / "records.parquet")
    found = tokenry.cluster(
        tmp_path / "pairs.csv", tmp_path / "records.parquet", threshold=(0.5, 0.8)
    )
    found.write(tmp_path / "clusters.csv")
    again = pl.read_csv(tmp_path / "clusters.csv")
    assert again["cluster_0.5"].to_list() == [0, 0, 0, 1, 2, 2]
    assert str(found).splitlines()[0] == (
        "6 records in 3 clusters at 0.5; 1 of one record, the largest of 3."
    )
    assert found.to_dict()["thresholds"][1] == {
        "threshold": 0.8,
        "clusters": 4,
        "single": 2,
        "largest": 2,
    }


def test_nothing_to_cluster():
    none = {"left": [], "right": []}
    assert tokenry.cluster(none, [3, 4]).table == {"id": [3, 4], "cluster": [0, 1]}
    assert len(tokenry.cluster(none, [])) == 0


def test_an_empty_score_is_no_pair():
    pairs = {"left": [1, 2], "right": [2, 3], "score": [None, 0.5]}
    assert tokenry.cluster(pairs).table["cluster"] == [0, 1, 1]
    assert np.isinf(next(iter(tokenry.cluster(pairs).labels)))


@pytest.mark.parametrize(
    ("pairs", "records", "settings", "kind", "message"),
    [
        (PAIRS, ["a", "b", "c"], {}, DataError, "names 2 ids that are not in .*, such as 'd', 'e'"),
        (PAIRS, ["a", "a", "b"], {}, DataError, "1 ids more than once, such as 'a'"),
        (PAIRS, [1, 2, 3], {}, UsageError, "ids must be of one kind; .*int64.*string"),
        ({"left": ["a", None], "right": ["b", "c"]}, None, {}, DataError, "1 rows without an id"),
        (PAIRS, RECORDS, {"left": "lft"}, UnknownNameError, "column 'lft' is unknown"),
        (PAIRS, RECORDS, {"id": "key"}, UnknownNameError, "column 'key' is unknown"),
        (PAIRS, RECORDS, {"source": "src"}, UnknownNameError, "column 'src' is unknown"),
        (PAIRS, RECORDS, {"by": "chains"}, UsageError, "give components or average"),
        (PAIRS, RECORDS, {"by": "average"}, UsageError, "needs scores and a threshold"),
        (PAIRS, RECORDS, {"by": "average", "largest": 3}, UsageError, "largest=3 guards"),
        (PAIRS, RECORDS, {"by": "average", "apart": 2.0}, UsageError, "apart=2.0 guards"),
        (PAIRS, RECORDS, {"apart": 0.5}, UsageError, "apart=0.5 is below 1"),
        ({"left": [1], "right": [2]}, None, {"apart": 2}, UsageError, "has no column 'score'"),
        (PAIRS, RECORDS, {"threshold": []}, UsageError, "no number, and no list"),
        (PAIRS, {"id": ["a"], "cluster": [1]}, {}, DataError, "are not in"),
        (
            {**PAIRS, "score": ["high", "low", "0.1"]},
            None,
            {"threshold": 0.5},
            DataError,
            "column 'score' of the table of pairs holds no numbers",
        ),
    ],
)
def test_bad_input_is_refused(pairs, records, settings, kind, message):
    with pytest.raises(kind, match=message):
        tokenry.cluster(pairs, records, **settings)


def test_a_column_of_that_name_is_not_overwritten():
    records = {**RECORDS, "cluster": [0] * 6}
    with pytest.raises(UsageError, match="a column 'cluster' already"):
        tokenry.cluster(PAIRS, records)
