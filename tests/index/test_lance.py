"""LanceDB: the approximate index, a bucket, and what its folder goes through."""

import shutil
import sys

import numpy as np
import pytest
import torch

from tokenry.errors import MissingExtraError, StoreError, UsageError
from tokenry.index import lance
from tokenry.index.lance import LanceStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

SHAPE = Shape(16)


def random(documents, tokens=40, seed=0):
    source = torch.Generator().manual_seed(seed)
    rows = unit(torch.randn(documents * tokens, 16, generator=source)).half()
    return Ragged(rows, torch.arange(documents + 1) * tokens)


@pytest.mark.slow
def test_the_index_proposes_and_the_scores_are_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "ENOUGH", 1000)
    tokens = random(60, 20)
    with LanceStore(tmp_path, SHAPE, write=True, ann=True, refine=4) as store:
        store.add(np.arange(1, 61), tokens)
        store.compact()
        assert store._table.list_indices()
        exact = LanceStore(tmp_path, SHAPE, write=False)
        shared = []
        for number in range(0, 60, 3):
            query = tokens[number][:6].float()
            mine, plain = store.maxsim(query, 5), exact.maxsim(query, 5)
            assert mine.keys[0] == plain.keys[0] == number + 1
            np.testing.assert_allclose(mine.scores[0], plain.scores[0], rtol=1e-5)
            shared.append(len(np.intersect1d(mine.keys, plain.keys)) / 5)
        print(f"overlap@5 {np.mean(shared):.2f}")
        assert np.mean(shared) >= 0.8
        store.add(np.array([61]), random(1, seed=1))  # not in the index yet
        assert store.maxsim(random(1, seed=1)[0][:6].float(), 1).keys.tolist() == [61]
        few = np.array([5, 8])
        assert set(store.maxsim(tokens[0][:6].float(), 5, few).keys) == {5, 8}


def test_space_comes_back_and_a_moved_folder_answers(tmp_path):
    tokens = random(200)
    with LanceStore(tmp_path / "a", SHAPE, write=True) as store:
        store.add(np.arange(1, 201), tokens)
        store.commit()
        before = store.size().bytes
        store.delete(np.arange(1, 191))
        store.compact()
        assert store.size().bytes < 0.2 * before
    shutil.move(tmp_path / "a", tmp_path / "b")
    with LanceStore(tmp_path / "b", SHAPE, write=False) as store:
        assert store.maxsim(tokens[195].float(), 1).keys.tolist() == [196]


def test_a_reader_keeps_what_it_opened(tmp_path):
    tokens = random(20)
    with LanceStore(tmp_path, SHAPE, write=True) as store:
        store.add(np.arange(1, 21), tokens)
        with LanceStore(tmp_path, SHAPE, write=False) as reader:
            store.delete(np.array([3]))
            assert reader.maxsim(tokens[2].float(), 1).keys.tolist() == [3]


def test_settings_damage_and_the_extra(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="probes=0"):
        LanceStore(tmp_path, SHAPE, write=True, probes=0)
    with LanceStore(tmp_path, SHAPE, write=True) as store:
        store.add(np.arange(1, 21), random(20))
    for path in (tmp_path / "tokens.lance" / "data").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(StoreError, match="LanceDB cannot read or write it"):
        LanceStore(tmp_path, SHAPE, write=False)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(MissingExtraError, match=r"tokenry\[retrieval\]"):
        LanceStore(tmp_path, SHAPE, write=True)


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a server in this process that speaks S3."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.client(
        "s3", endpoint_url=settings["AWS_ENDPOINT"], region_name="us-east-1"
    ).create_bucket(Bucket="texts")
    yield "s3://texts/index"
    server.stop()


def test_the_same_in_a_bucket(bucket, tmp_path):
    tokens = random(30)
    with LanceStore(tmp_path / "here", SHAPE, write=True, at=bucket) as store:
        store.add(np.arange(1, 31), tokens)
        store.commit()
        store.delete(np.array([4]))
        store.compact()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["elsewhere.json"]
    with LanceStore(tmp_path / "here", SHAPE, write=True, at=bucket) as store:
        assert len(store.keys()) == 29
        found = store.maxsim(tokens[7].float(), 3)
        assert found.keys[0] == 8
        np.testing.assert_allclose(found.scores[0], 40, atol=0.05)
        store.add(np.array([31]), random(1, seed=1))
        assert store.maxsim(random(1, seed=1)[0].float(), 1).keys.tolist() == [31]
    with pytest.raises(UsageError, match="belongs to another index"):
        LanceStore(tmp_path / "other", SHAPE, write=True, at=bucket)
