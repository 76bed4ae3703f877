"""Parity: figures by hand, Rényi's efficiency in closed form, premiums of parallel documents."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenry.errors import UsageError
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Parity
from tokenry.vocab.parity import renyi_efficiency

PARALLEL = {"en": ["a cat", "a mat here"], "de": ["eine Katze", "eine Matte hier so"]}


@pytest.fixture(scope="module")
def letters():
    """Every letter and blank is a token, but "cat" with the blank in front is one."""
    ids = {letter: i for i, letter in enumerate(["?", *"abcdefghijklmnopqrstuvwxyz ", " cat"])}
    made = Tokenizer(models.WordPiece(ids, unk_token="?", continuing_subword_prefix=""))
    made.add_special_tokens(["?"])
    return vocabulary(made)


def figures(vocab, texts, **settings):
    return Parity(**settings).judge(vocab, usage([vocab], texts)[0]).figures


def test_figures_by_hand():
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "é": 2}, unk_token="[UNK]"))
    made.add_special_tokens(["[UNK]"])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    found = figures(vocabulary(made), ["the the é. the"])
    value = {name: figure.value for name, figure in found.items()}
    assert value["bytes per token"] == 15 / 5
    assert value["characters per token"] == 14 / 5
    assert value["tokens per word"] == 5 / 4
    assert value["coverage"] == 80
    assert value["vocabulary used"] == 100


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_even_use_is_perfect_and_uneven_use_is_not(alpha):
    assert renyi_efficiency(np.full(64, 7), 64, alpha) == pytest.approx(1)
    assert renyi_efficiency(np.full(8, 7), 64, alpha) == pytest.approx(0.5)
    assert renyi_efficiency(np.array([98, 1, 1]), 3, alpha) < 0.5
    assert renyi_efficiency(np.array([9]), 64, alpha) == 0


def test_premiums_of_parallel_documents(letters):
    found = figures(letters, PARALLEL, parallel=True)
    count = {k: sum(len(ids) for ids in letters.scribe.encode(v)) for k, v in PARALLEL.items()}
    premium = found["premium/de"]
    assert premium.value == pytest.approx(count["de"] / count["en"])
    assert premium.low <= premium.value <= premium.high
    assert premium.high > premium.low
    assert found["premium/en"].value == found["premium/en"].high == 1
    other = figures(letters, PARALLEL, parallel=True, reference="de")["premium/en"]
    assert other.value == pytest.approx(1 / premium.value)


def test_each_category_has_its_figures_and_together_they_are_all(letters):
    found = figures(letters, PARALLEL)
    size = {k: sum(map(len, v)) for k, v in PARALLEL.items()}
    tokens = {k: size[k] / found[f"bytes per token/{k}"].value for k in size}
    whole = sum(size.values()) / sum(tokens.values())
    assert found["bytes per token"].value == pytest.approx(whole)
    assert "premium/de" not in found


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        (PARALLEL, {"reference": "fr"}, "reference='fr' is no category; there are 'en', 'de'"),
        ({"en": ["a"]}, {}, "no document has the same name in all categories"),
    ],
)
def test_what_is_not_parallel_is_refused(letters, texts, settings, message):
    with pytest.raises(UsageError, match=message):
        figures(letters, texts, parallel=True, **settings)


def test_no_text_is_refused(letters):
    with pytest.raises(UsageError, match="Parity: there is no text"):
        Parity().judge(letters)
