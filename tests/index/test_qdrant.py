"""Qdrant: over HTTP, with a server in this process that keeps points in the client's local mode."""

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import numpy as np
import pytest
import torch
from qdrant_client import QdrantClient, models

from tokenry import Index
from tokenry.errors import MissingExtraError, StoreError, UsageError
from tokenry.index import qdrant
from tokenry.index.copying import copy_index
from tokenry.index.qdrant import QdrantStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

SHAPE = Shape(8, 4)
MULTIVECTOR = 1 << 20
"""Numbers of a multivector that a server refuses, whatever its settings."""


class Request(NamedTuple):
    """What the server was asked."""

    key: str | None
    method: str
    path: str
    body: dict | None


def refused(body):
    """What a server says to a document with too many token vectors; None where there is none."""
    for i, point in enumerate((body or {}).get("points", ())):
        rows = point["vector"].get("tokens", ()) if isinstance(point, dict) else ()
        size = sum(map(len, rows))
        if size >= MULTIVECTOR:
            return (
                f"Validation error in JSON body: [points[{i}].vector.?.data: Total size of all "
                f"vectors ({size}) must be less than {MULTIVECTOR}]"
            )
    return None


def answered(base, method, path, body):
    """What a server answers to the requests that the store sends."""
    _, _, name, *rest = path.partition("?")[0].split("/")
    known = base.collection_exists(name)
    match (method, *rest):
        case ("GET", "exists"):
            return {"exists": known}
        case ("GET",):
            return json.loads(base.get_collection(name).model_dump_json())
        case ("PUT",):
            made = models.CreateCollection.model_validate(body)
            return base.create_collection(name, vectors_config=made.vectors)
        case ("PUT", "points"):
            base.upsert(name, models.PointsList.model_validate(body).points)
        case ("POST", "points", "delete"):
            base.delete(name, body["points"])
        case ("POST", "points"):
            found = base.retrieve(name, body["ids"], body["with_payload"], body["with_vector"])
            return [json.loads(point.model_dump_json()) for point in found]
        case ("POST", "points", "scroll"):
            found, after = base.scroll(name, limit=body["limit"], offset=body.get("offset"))
            points = [json.loads(point.model_dump_json()) for point in found]
            return {"points": points, "next_page_offset": after}
        case ("POST", "points", "query"):
            asked = models.QueryRequest.model_validate(body)
            found = base.query_points(
                name,
                query=asked.query,
                using=asked.using,
                prefetch=asked.prefetch,
                query_filter=asked.filter,
                limit=asked.limit,
                with_payload=False,
            )
            return json.loads(found.model_dump_json())
    return {"operation_id": 0, "status": "completed"}


@contextmanager
def served(base):
    """Serve the points of a client; gives the address and the requests that came."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            sent.append(Request(self.headers.get("api-key"), self.command, self.path, body))
            error = refused(body)
            result = None if error else answered(base, self.command, self.path, body)
            status = {"error": error} if error else "ok"
            content = json.dumps({"result": result, "status": status, "time": 0.0}).encode()
            self.send_response(422 if error else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - their names are the server's

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("QDRANT_URL", raising=False)
    with served(QdrantClient(":memory:")) as (address, sent):
        yield address, sent


def random(documents, tokens=6, seed=0):
    source = torch.Generator().manual_seed(seed)
    rows = unit(torch.randn(documents * tokens, 8, generator=source)).half()
    pooled = torch.randn(documents, 4, generator=source).half()
    return Ragged(rows, torch.arange(documents + 1) * tokens), pooled


def test_an_index_on_a_server_is_like_one_in_a_folder(server, tmp_path, encoder):
    address, _ = server
    texts = ["the cat sat on the mat", "a dog barked at the cat", "how to file a tax return", "..."]
    plain = Index(tmp_path / "plain", encoder)
    with Index(tmp_path / "far", encoder, store=f"qdrant(at='{address}')") as far, plain:
        for index in (plain, far):
            index.add([{"id": str(i), "text": text} for i, text in enumerate(texts)])
            index.update([{"id": "1", "text": "a dog slept"}])
            index.delete(["2"])
        for rankers in ("pooled", "maxsim", "xtr", "bm25+pooled>maxsim"):
            mine = far.search("the cat sat", rankers=rankers)
            here = plain.search("the cat sat", rankers=rankers)
            assert [hit.id for hit in mine] == [hit.id for hit in here]
            assert [hit.score for hit in mine] == pytest.approx([h.score for h in here], abs=2e-3)
    with Index.open(tmp_path / "far", encoder) as again:
        assert again.search("dog slept")[0].id == "1"
        assert again.size().documents == 3


def test_the_first_stage_hands_on_so_many_candidates(tmp_path):
    tokens, pooled = random(50)
    base = QdrantClient(":memory:")
    with QdrantStore(tmp_path, SHAPE, write=True, client=base, candidates=0) as store:
        store.add(np.arange(1, 51), tokens, pooled)
        assert store.exact
        query = tokens[9].float()
        everything = store.maxsim(query, 50)
    with QdrantStore(tmp_path, SHAPE, write=False, client=base, candidates=5) as store:
        few = store.maxsim(query, 3)
        assert not store.exact
        assert len(few) == 3
        assert few.keys[0] == everything.keys[0] == 10
        means = torch.stack([rows.float().mean(0) for rows in tokens]) @ query.sum(0)
        assert set(few.keys) <= set((means.topk(5).indices + 1).tolist())


def test_what_a_server_is_asked(server, tmp_path):
    address, sent = server
    tokens, pooled = random(3)
    with QdrantStore(tmp_path, SHAPE, write=True, at=address, collection="c") as store:
        store.add(np.arange(1, 4), tokens, pooled)
        store.maxsim(tokens[1].float(), 2)
        store.maxsim(tokens[1].float(), 2, np.array([1, 3]))
        store.nearest(pooled[0].float(), 1)
        store.delete(np.array([2]))
    asked = {(one.method, one.path): one.body for one in sent}
    made = asked["PUT", "/collections/c"]["vectors"]
    assert {name: (one["size"], one["distance"]) for name, one in made.items()} == {
        "tokens": (8, "Dot"), "mean": (8, "Dot"), "pooled": (4, "Dot")
    }  # fmt: skip
    assert all(one["datatype"] == "float16" and one["on_disk"] for one in made.values())
    assert made["tokens"]["multivector_config"] == {"comparator": "max_sim"}
    assert made["tokens"]["hnsw_config"]["m"] == 0  # no graph over single tokens
    point = asked["PUT", "/collections/c/points?wait=true"]["points"][0]
    assert (point["id"], point["payload"]) == (1, {"tokens": 6})
    assert np.allclose(point["vector"]["tokens"], tokens[0])
    assert asked["POST", "/collections/c/points/delete?wait=true"] == {"points": [2]}
    free, chosen, near = (one.body for one in sent if one.path.endswith("/query"))
    assert (free["using"], free["limit"], np.shape(free["query"]["nearest"])) == (
        "tokens",
        2,
        (6, 8),
    )
    assert free["prefetch"].items() >= {"using": "mean", "limit": 1000}.items()
    assert "filter" not in free
    assert chosen["filter"] == {"must": [{"has_id": [1, 3]}]}
    assert "prefetch" not in chosen
    assert (near["using"], np.shape(near["query"]["nearest"])) == ("pooled", (4,))


def test_a_document_that_no_server_takes_is_named(server, tmp_path, encoder, monkeypatch):
    address, _ = server
    monkeypatch.setattr(qdrant, "NUMBERS", 6 * 64)
    monkeypatch.setattr(sys.modules[__name__], "MULTIVECTOR", 6 * 64)
    long, store = {"id": "long", "text": "one two three four five six"}, f"qdrant(at='{address}')"
    said = r"'long' has 6 tokens of 64 dimensions, and 5 is the most .* split the document"
    with Index(tmp_path / "far", encoder, store=store) as far:
        far.add(["one two three four five"])
        with pytest.raises(UsageError, match=said):
            far.add([long])
        assert far.search("five")
    with Index(tmp_path / "plain", encoder) as plain:
        plain.add([long])
    with pytest.raises(UsageError, match=said):
        copy_index(tmp_path / "plain", tmp_path / "copy", store=store)
    with (
        QdrantStore(tmp_path / "store", SHAPE, write=True, at=address) as held,
        pytest.raises(StoreError, match=r"(?s)refuses what it was sent: .*must be less than 384"),
    ):
        held.add(np.array([1]), *random(1, tokens=48))


def test_two_indexes_never_share_a_collection(server, tmp_path):
    address, _ = server
    for name in ("a", "b"):
        with QdrantStore(tmp_path / name, SHAPE, write=True, at=address) as store:
            assert len(store.keys()) == 0
            store.add(np.array([1]), *random(1))
    with QdrantStore(tmp_path / "c", SHAPE, write=True, at=address, collection="mine"):
        pass
    with pytest.raises(UsageError, match="belongs to another index"):
        QdrantStore(tmp_path / "d", SHAPE, write=True, at=address, collection="mine")
    with pytest.raises(UsageError, match="are at 'mine', not at 'other'"):
        QdrantStore(tmp_path / "c", SHAPE, write=True, at=address, collection="other")


def test_a_key_goes_only_to_the_address_that_the_user_names(server, tmp_path, monkeypatch):
    address, sent = server
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with QdrantStore(tmp_path / "a", SHAPE, write=True, at=address):
        assert {one.key for one in sent} == {None}
    monkeypatch.setenv("QDRANT_URL", address)
    with (
        pytest.warns(UserWarning, match="insecure"),
        QdrantStore(tmp_path / "a", SHAPE, write=True),
    ):
        assert sent[-1].key == "secret"


def test_what_cannot_be_opened_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv("QDRANT_URL", raising=False)
    for at in ("", "folder", "file:///tmp"):
        with pytest.raises(UsageError, match=r"docker run .* pickled"):
            QdrantStore(tmp_path, SHAPE, write=True, at=at)
    with pytest.raises(StoreError, match=r"does not answer.*docker run"):
        QdrantStore(tmp_path, SHAPE, write=True, at="http://127.0.0.1:1")
    with pytest.raises(UsageError, match="candidates=-1"):
        QdrantStore(tmp_path, SHAPE, write=True, at=":memory:", candidates=-1)
    base = QdrantClient(":memory:")
    base.create_collection(
        "x", vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT)
    )
    with pytest.raises(UsageError, match="is not tokenry's"):
        QdrantStore(tmp_path, SHAPE, write=False, client=base, collection="x")
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(MissingExtraError, match=r"tokenry\[retrieval\]"):
        QdrantStore(tmp_path, SHAPE, write=True, at=":memory:")
