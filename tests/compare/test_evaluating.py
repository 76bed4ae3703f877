"""Measures of an index against those of single rankings, and what is said of missing answers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import tokenry
from tokenry.data import Query
from tokenry.errors import UnknownNameError, UsageError
from tokenry.ops.ranking import ndcg

WORDS = ["red", "green", "blue", "apple", "pear", "tree", "house", "car", "road", "sky", "sea"]
TEXTS = {f"d{i}": f"{a} {b} {a}" for i, (a, b) in enumerate(zip(WORDS, WORDS[3:], strict=False))}
QUERIES = [
    {"_id": "q1", "query": "red apple", "relevant": ["d0"]},
    {"_id": "q2", "query": "green", "relevant": {"d1": 2, "d4": 1}},
    {"_id": "q3", "query": "sea car", "relevant": ["d7"]},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, text_encoder):
    """An index, the folder of its encoder, and a file of queries."""
    root = tmp_path_factory.mktemp("eval")
    loaded = text_encoder(WORDS)
    for part in (loaded.model, loaded.processor):
        part.save_pretrained(root / "encoder")
    with tokenry.Index(root / "idx", str(root / "encoder")) as index:
        index.add({"id": name, "text": text} for name, text in TEXTS.items())
    lines = "\n".join(map(json.dumps, QUERIES))
    (root / "queries.jsonl").write_text(lines, encoding="utf-8")
    return root


def test_means_are_those_of_single_queries(folder):
    found = tokenry.evaluate(
        folder / "idx", folder / "queries.jsonl", rankers=["bm25", "maxsim"], progress=False
    )
    assert (found.queries, found.absent) == (3, 0)
    with tokenry.Index.open(folder / "idx") as index:
        for way, measures in found.measures.items():
            expected = [
                ndcg(
                    [hit.id for hit in index.search(q["query"], 100, rankers=way)],
                    q["relevant"] if isinstance(q["relevant"], dict) else {q["relevant"][0]: 1},
                )
                for q in QUERIES
            ]
            assert measures["nDCG@10"].value == pytest.approx(np.mean(expected))
            assert found.seconds[way][0] <= found.seconds[way][1]
    assert found.differences["bm25"]["nDCG@10"].value == 0
    apart = (
        found.measures["maxsim"]["recall@100"].value - found.measures["bm25"]["recall@100"].value
    )
    assert found.differences["maxsim"]["recall@100"].value == pytest.approx(apart)
    assert found.worst[0][1] == min(score for _, score in found.worst)
    assert json.loads(json.dumps(found.to_dict()))["rankers"]["bm25"]["MRR@10"]


def test_without_answers_exact_maxsim_is_the_measure(folder):
    found = tokenry.evaluate(
        folder / "idx", ["red apple", "sea"], rankers=["maxsim", "pooled"], progress=False
    )
    assert found.measures["maxsim"]["same first 10"].value == 1
    assert list(found.measures["pooled"]) == ["same first 10"]


def test_missing_answers_are_said_and_count(folder):
    asked = [Query("a", "red", {"gone": 1}), Query("b", "red", {"d0": 1})]
    with pytest.warns(UserWarning, match="1 documents that answer queries are not in the index"):
        found = tokenry.evaluate(folder / "idx", asked, rankers="bm25", progress=False)
    assert found.absent == 1
    assert found.measures["bm25"]["recall@100"].value == 0.5


def test_wrong_use(folder):
    with pytest.raises(UnknownNameError, match="ranker 'bm26'"):
        tokenry.evaluate(folder / "idx", ["red"], rankers="bm26", progress=False)
    with pytest.raises(UsageError, match="no queries, or no rankers"):
        tokenry.evaluate(folder / "idx", [], progress=False)
    with pytest.raises(UsageError, match="worst=-1"):
        tokenry.evaluate(folder / "idx", ["red"], worst=-1, progress=False)
    with pytest.raises(UsageError, match="split='test' is for folders"):
        tokenry.evaluate(folder / "idx", folder / "queries.jsonl", split="test", progress=False)


def test_the_command(folder, capsys):
    from tokenry.cli import main

    words = ["eval", str(folder / "idx"), str(folder / "queries.jsonl"), "--rankers", "bm25,xtr"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 queries asked of ")
    assert re.search(
        r"\nxtr: nDCG@10 [+-]\d\.\d{3} \([+-].* to [+-].*\) from bm25\.\nWorst:\n", out
    )
    assert main([*words, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["rankers"]) == {"bm25", "xtr"}
    assert main(["eval", str(folder / "none"), str(folder / "queries.jsonl")]) == 2
