"""Vectors that are kept: no text is encoded twice, and none by another model."""

from __future__ import annotations

import numpy as np
import pytest

import tokenry
from tokenry.errors import StoreError, UsageError
from tokenry.tables import vectors
from tokenry.tables.vectors import KeptVectors, identity, opened


class Encoder:
    """Gives a text a vector of its own, and notes what it was given."""

    def __init__(self, turn=0.0):
        self.turn, self.seen = turn, []

    def __call__(self, texts):
        self.seen += texts
        angles = np.array([sum(map(ord, one)) * 0.01 + self.turn for one in texts])
        return np.stack((np.cos(angles), np.sin(angles)), 1)


def kept(encoder, folder):
    return KeptVectors("encoder", lambda: encoder, folder)


def test_each_distinct_text_is_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "SHARD", 2)
    encoder = Encoder()
    embed = kept(encoder, tmp_path)
    texts = ["b", "a", "b", "ccc", "ü", "a"]
    probes = len(vectors._PROBE)
    found = embed(texts)
    assert np.allclose(found, Encoder()(texts), atol=1e-6)
    assert embed.encoded == 4
    assert np.array_equal(embed(["ccc", "d"])[0], found[3])
    assert sorted(encoder.seen[probes:]) == ["a", "b", "ccc", "d", "ü"]
    assert embed([]).shape == (0, 2)


def test_an_earlier_run_is_used_and_another_model_is_not(tmp_path):
    kept(Encoder(), tmp_path)(["a", "b"])
    again = kept(Encoder(), tmp_path)
    assert np.allclose(again(["b", "a", "c"]), Encoder()(["b", "a", "c"]), atol=1e-6)
    assert again.encoded == 1
    tuned = kept(Encoder(turn=0.5), tmp_path)
    assert np.allclose(tuned(["a"]), Encoder(turn=0.5)(["a"]), atol=1e-6)
    assert tuned.encoded == 1


def test_a_run_that_was_stopped_while_encoding_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "SHARD", 2)

    class Stopped(Encoder):
        def __call__(self, texts):
            if len(self.seen) == len(vectors._PROBE) + 4:
                raise KeyboardInterrupt
            return super().__call__(texts)

    texts = list("abcdefg")
    with pytest.raises(KeyboardInterrupt):
        kept(Stopped(), tmp_path)(texts)
    again = kept(Encoder(), tmp_path)
    again(texts)
    assert again.encoded == 3


def test_damaged_vectors_say_what_to_do(tmp_path):
    embed = kept(Encoder(), tmp_path)
    embed(["a"])
    next(embed.folder.glob("*.keys.npy")).write_bytes(b"junk")
    with pytest.raises(StoreError, match="remove the folder"):
        kept(Encoder(), tmp_path)(["a"])


@pytest.mark.parametrize("made", [np.ones(3), np.full((2, 3), np.nan), np.ones((1, 3))])
def test_an_encoder_must_give_one_vector_for_each_text(tmp_path, made):
    with pytest.raises(UsageError, match="one vector of finite numbers for each"):
        kept(lambda texts: made, tmp_path)(["a", "b"])


def test_encoders_are_told_apart():
    assert identity(Encoder()) == identity(Encoder()) != identity(Encoder(0.5))
    assert identity("zoo:minilm-l6") == [] == identity(None)
    assert "Encoder" in opened(Encoder())[0]


def test_a_folder_that_was_trained_again_is_another_encoder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = identity(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"12")
    assert identity(str(tmp_path)) != before


def test_a_linker_gets_what_it_asks_for(letters, monkeypatch, tmp_path):
    asked = {}
    prepare = type(letters).prepare

    def noting(self, left, right, aids):
        asked["aids"] = aids
        return prepare(self, left, right, aids)

    monkeypatch.setattr(type(letters), "prepare", noting)
    encoder = Encoder()
    tokenry.link(
        {"name": ["a"]},
        {"name": ["b"]},
        "name",
        method=letters,
        encoder=encoder,
        tables={"aliases": {"alias": ["A!", None]}},
        known={"left": [0], "right": [0], "label": [False]},
    )
    aids = asked["aids"]
    assert isinstance(aids.embed, KeptVectors)
    assert encoder.seen == []  # nobody asked
    assert aids.table("letters", "aliases", "a log").column("letters", "alias") == ["A!", None]
    assert [one.tolist() for one in aids.known] == [[0], [0], [0.0]]


@pytest.mark.slow
def test_a_real_encoder_by_its_name(tmp_path):
    embed = KeptVectors(*opened("zoo:minilm-l6"), tmp_path)
    found = embed(["a cat", "a kitten", "a tax form"])
    assert found.shape == (3, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]
    assert embed.separator == "[SEP]"
