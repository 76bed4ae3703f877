"""Training a metric of names: what it draws, that it learns, and that it can be kept."""

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.ops.alias_graph import AliasCounts
from tokenry.plugs.name_metric import _Pairs, name_encoder, train_names
from tokenry.plugs.text_encoder import text_encoder

pytest.importorskip("sentence_transformers")

WORDS = ("berg", "dorf", "stadt", "feld", "furt", "bach", "tal", "heim")
LOG = {
    "alias": [name for word in WORDS for name in (f"alt{word}", f"{word}en", word)],
    "id": [word for word in WORDS for _ in range(3)],
    "count": [n for _ in WORDS for n in (4, 2, 1)],
}


@pytest.fixture
def encoder():
    return name_encoder(LOG["alias"], width=16, layers=1, heads=2, longest=12)


def apart(encoder):
    """Mean cosine of names of one id, and of others."""
    found = encoder.encode(LOG["alias"])
    cosines, same = found @ found.T, np.equal.outer(LOG["id"], LOG["id"])
    return cosines[same & ~np.eye(24, dtype=bool)].mean(), cosines[~same].mean()


def test_names_of_one_id_come_together(encoder):
    before = apart(encoder)
    done = train_names(encoder, *LOG.values(), steps=60, batch_size=8, rate=5e-3)
    assert np.mean(done.losses[-10:]) < np.mean(done.losses[:10]) / 2
    near, far = apart(encoder)
    assert near - far > before[0] - before[1] + 0.3


def test_two_trainings_are_alike_and_the_encoder_can_be_kept(encoder, tmp_path):
    other = name_encoder(LOG["alias"], width=16, layers=1, heads=2, longest=12)
    runs = [train_names(one, *LOG.values(), steps=3, batch_size=4) for one in (encoder, other)]
    assert runs[0].losses == runs[1].losses
    assert runs[0].bias == runs[1].bias
    encoder.save_pretrained(str(tmp_path / "names"), create_model_card=False)
    kept = text_encoder(tmp_path / "names")
    texts = ["Altberg", "ÄÖ", "x" * 90]
    np.testing.assert_allclose(kept.encode(texts), encoder.encode(texts), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(kept.encode(texts), axis=1), 1, atol=1e-5)


def test_pairs_are_two_aliases_of_one_id_and_match_as_the_log_says():
    log = AliasCounts.of(["a", "b", "c", "d"], [1, 1, 2, 2], [9, 1, 5, 5])
    pairs = _Pairs(log, 0)
    one, other = pairs.draw([0, 1])
    assert {*one, *other} == {0, 1, 2, 3}
    torch.testing.assert_close(pairs.match(one, other), torch.eye(2))


def test_what_cannot_be_trained_is_refused(encoder):
    with pytest.raises(UsageError, match="8 ids"):
        train_names(encoder, *LOG.values(), steps=1, batch_size=9)
    with pytest.raises(UsageError, match="steps=0"):
        train_names(encoder, *LOG.values(), steps=0, batch_size=4)
    with pytest.raises(UsageError, match="no names"):
        name_encoder([""])
