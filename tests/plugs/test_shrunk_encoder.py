"""An index of fewer vectors, built as a user would, finds what the comparison said."""

from __future__ import annotations

import pytest
import torch

import tokenry
from tokenry.errors import UsageError
from tokenry.plugs.shrunk_encoder import shrunk
from tokenry.plugs.token_encoder import TokenEncoder
from tokenry.plugs.token_windows import PlainReader
from tokenry.retrieval import RandomTokens, TokenPooling, TokenPruning

WORDS = ["red", "green", "blue", "apple", "pear", "tree"]
TEXTS = ["red apple on the green tree", "pear pear pear pear", "", "blue tree"]


@pytest.fixture(scope="module")
def encoder(text_encoder):
    loaded = text_encoder(WORDS)
    return TokenEncoder("tiny", PlainReader(loaded.model, loaded.processor))


def test_half_the_vectors_are_left_and_queries_stay(encoder):
    plain = encoder.encode(TEXTS)
    for method in (TokenPooling(keep=0.5), TokenPruning(keep=0.5), RandomTokens(keep=0.5)):
        made = shrunk(encoder, method).encode(TEXTS)
        assert made.tokens.lengths.tolist() == [3, 2, 0, 1]
        assert made.spans.shape == (6, 2)
        assert torch.equal(made.pooled, plain.pooled)
        asked = shrunk(encoder, method).encode(["red tree"], "query")
        assert torch.equal(asked.tokens.values, encoder.encode(["red tree"], "query").tokens.values)
    whole = shrunk(encoder, "token-pooling").encode(TEXTS)
    assert torch.equal(whole.tokens.values, plain.tokens.values)
    assert torch.equal(whole.spans, plain.spans)


def test_rare_words_are_learned_from_texts(encoder):
    method = shrunk(encoder, "token-pruning(by=rare)", ["green tree", "green pear"], keep=0.34)
    assert method.spread == {"green": 1.0, "tree": 0.5, "pear": 0.5}
    (start, end), *_ = method.encode(["green red tree"]).spans.tolist()
    assert "green red tree"[start:end] == "red"


def test_an_index_holds_fewer_vectors_and_opens_with_the_encoder_alone(encoder, tmp_path):
    with tokenry.Index(tmp_path / "idx", shrunk(encoder, TokenPooling(keep=0.5))) as index:
        index.add(TEXTS[:2])
        assert index.size().tokens == 5
    with tokenry.Index.open(tmp_path / "idx", encoder) as index:
        assert index.search("pear", 1, rankers="maxsim")[0].text == TEXTS[1]


def test_other_methods_are_refused(encoder):
    with pytest.raises(UsageError, match="'maxsim' is no reducer of an index; give random-tok"):
        shrunk(encoder, "maxsim")
