"""Visual language: even, Zipfian and shuffled streams; codes of pictures beside words."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import mutual_info_score
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenry import data
from tokenry.errors import UsageError
from tokenry.plugs.usage import usage, usage_of_ids
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import VisualLanguage

CODES = 128


def codes(size):
    """A vocabulary of nothing but codes, as a visual tokenizer has."""
    made = Tokenizer(models.WordLevel({f"<img_{i}>": i for i in range(size)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return vocabulary(made)


def figures(rows, size, **settings):
    found = VisualLanguage(**settings).judge(codes(size), [usage_of_ids(rows, size, "x")])
    return {name.partition("/")[0]: figure.value for name, figure in found.figures.items()}


def test_even_codes_are_no_language():
    rows = np.random.default_rng(0).integers(0, 256, (200, 400))
    found = figures(list(rows), 256)
    assert found["slope"] < 0.06
    assert found["huffman saving"] == pytest.approx(0, abs=0.2)
    assert found["entropy"] == pytest.approx(8, abs=0.01)
    assert found["entropy share"] == pytest.approx(100, abs=0.1)
    assert found["seen early"] == 100


def test_unused_codes_make_a_fixed_length_look_bad_but_only_there():
    rows = list(np.random.default_rng(0).integers(0, 64, (50, 400)))
    found = figures(rows, 256)
    assert found["huffman saving"] == pytest.approx(25, abs=0.5)
    assert found["huffman saving in use"] == pytest.approx(0, abs=0.5)
    assert found["seen early"] == 25


def test_shuffling_keeps_the_tokens_and_loses_their_order():
    rng = np.random.default_rng(1)
    steps = rng.integers(0, 2, (40, 2000)).cumsum(1) % 32  # each next token is one of two
    found = figures(list(steps), 32)
    shuffled = figures(list(rng.permuted(steps.reshape(1, -1), axis=1).reshape(steps.shape)), 32)
    assert found["entropy given one"] == pytest.approx(1, abs=0.01)
    assert shuffled["entropy given one"] == pytest.approx(5, abs=0.05)
    for name in ("slope", "entropy", "huffman"):
        assert found[name] == pytest.approx(shuffled[name], abs=1e-12)


def test_runs_get_a_row_each_as_long_as_there_are_any():
    found = VisualLanguage(longest=4).judge(codes(9), [usage_of_ids([[1, 2, 1], [3]], 9, "x")])
    assert [(row["n"], row["different"]) for row in found.tables["runs"]] == [
        (1, 3),
        (2, 2),
        (3, 1),
    ]


def test_codes_written_as_text_are_the_same_stream():
    ids = np.random.default_rng(2).integers(0, 20, (6, 50))
    texts = [" ".join(f"<img_{i}>" for i in row) for row in ids]
    vocab = codes(20)
    one = VisualLanguage().judge(vocab, usage([vocab], {"x": texts})[0])
    assert one.figures == VisualLanguage().judge(vocab, [usage_of_ids(ids, 20, "x")]).figures


def test_order_of_a_planted_grammar_is_worth_bits_and_that_of_draws_none():
    rng = np.random.default_rng(0)
    nested = [[a, b, c, 8, 4 + c, 4 + b, 4 + a, 9] for a, b, c in rng.integers(0, 4, (240, 3))]
    found = figures(nested, 10, grammar=4)
    assert found["order"] > 0.5
    drawn = figures(list(rng.integers(0, 10, (240, 8))), 10, grammar=4)
    assert abs(drawn["order"]) < 0.1
    assert np.log2(10) - 0.02 < drawn["grammar"] < np.log2(10) + 0.3
    assert "order" not in figures(nested, 10)
    assert np.isnan(figures([[1, 2, 3]], 10, grammar=4)["order"])


def test_a_planted_token_tells_its_category_and_drawn_ones_tell_nothing():
    """Of three kinds one has token 7 in nine of ten sequences; the oracle is scikit-learn's."""
    rng = np.random.default_rng(0)
    kinds = {name: list(rng.integers(0, 7, (200, 5))) for name in "abc"}
    kinds["b"] = [np.append(row, 7) if i % 10 else row for i, row in enumerate(kinds["b"])]
    used = [usage_of_ids(rows, 9, name) for name, rows in kinds.items()]
    found = VisualLanguage().judge(codes(9), used)
    first, *rest = found.tables["telling tokens"]
    assert (first["token"], first["mostly in"]) == ("<img_7>", "b")
    labels = np.repeat([0, 1, 2], 200)
    has = np.array([7 in row for rows in kinds.values() for row in rows])
    bits = mutual_info_score(labels, has) / np.log(2) - 2 / (2 * 600 * np.log(2))
    assert first["% of the category"] == pytest.approx(100 * bits / np.log2(3))
    assert all(row["% of the category"] < 1 for row in rest)
    assert found.figures["told"].value == pytest.approx(100 * bits / np.log2(3) / 8, abs=0.2)
    assert "told" not in VisualLanguage().judge(codes(9), used[:1]).figures


def test_nothing_is_refused():
    with pytest.raises(UsageError, match="'x' has no sequences"):
        VisualLanguage().judge(codes(3), [usage_of_ids([], 3, "x")])
    with pytest.raises(UsageError, match="there is no text"):
        VisualLanguage().judge(codes(3))


@pytest.fixture(scope="module")
def found():
    """Figures of k-means codes of 4 x 4 patches of emoji, and of the words of manual pages.

    Patches of nothing but the white that drawings stand on are left out: photographs have none.
    """
    size = 4
    patches = []
    for example in data.load("emoji:google").limit(300):
        pixels = np.asarray(example.picture.rgb().resize((48, 48)), np.float32) / 255
        grid = pixels.reshape(48 // size, size, 48 // size, size, 3).swapaxes(1, 2)
        flat = grid.reshape(-1, size * size * 3)
        patches.append(flat[flat.min(1) < 1])
    means = MiniBatchKMeans(CODES, random_state=0, n_init=1, batch_size=2048)
    means.fit(np.concatenate(patches)[::3])
    drawn = [means.predict(one) for one in patches]
    pages = {one.text: None for one in data.load_text("manpages")}
    known: dict[str, int] = {}
    words = [[known.setdefault(w, len(known)) for w in page.split()] for page in pages]
    return figures(drawn, CODES, grammar=6), figures(words, len(known), grammar=6)


@pytest.mark.slow
def test_claim_patches_are_spread_more_evenly_than_words(found):
    patches, words = found
    assert patches["entropy share"] > words["entropy share"] + 2
    assert patches["huffman saving"] < words["huffman saving"] - 5


@pytest.mark.slow
def test_claim_a_hundred_pictures_show_nearly_all_codes(found):
    patches, words = found
    assert patches["seen early"] > 95
    assert patches["innovation"] < words["innovation"]
