"""`tokenry cluster` and `tokenry evaluate-links`: files in, figures and files out."""

from __future__ import annotations

import json

import pytest

PAIRS = "left,right,score\na,b,0.9\nb,c,0.6\nd,e,0.8\n"
RECORDS = "id\na\nb\nc\nd\ne\nf\n"
GOLD = "id,entity\na,1\nb,1\nc,2\nd,3\ne,3\n"


@pytest.fixture
def files(tmp_path):
    for name, text in (("pairs", PAIRS), ("records", RECORDS), ("gold", GOLD)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def test_pairs_become_clusters_and_clusters_figures(files, tokenry):
    told = tokenry(
        *("cluster", "pairs.csv", "records.csv", "--threshold", "0.5,0.7", "--out", "out.csv")
    ).out
    assert "6 records in 3 clusters at 0.5" in told
    assert "6 records in 4 clusters at 0.7" in told
    header = (files / "out.csv").read_text().splitlines()[0]
    assert header == '"id","cluster_0.5","cluster_0.7"'
    words = ("evaluate-links", "out.csv", "gold.csv", "--cluster", "cluster_0.7", "--json")
    assert json.loads(tokenry(*words).out)["measures"]["b-cubed"]["f1"] == [1, 1, 1]
    assert "best threshold 0.8: F1 1.0000" in tokenry("evaluate-links", "pairs.csv", "gold.csv").out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cluster pairs.csv --threshold high", "threshold='high' is not numbers"),
        (
            "evaluate-links pairs.csv gold.csv --candidates pairs.csv --sizes 1,2",
            "must be 1 number",
        ),
        ("cluster pairs.csv --out out.xls", "out.xls: cannot be written; its ending may be"),
    ],
)
def test_wrong_usage_ends_with_two(files, tokenry, line, message):
    done = tokenry(*line.split())
    assert done.code == 2
    assert message in " ".join(done.err.split())
