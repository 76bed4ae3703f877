"""HEADLINES: its steps one by one, and what noise does to them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tokenry.data.scans import scanned
from tokenry.errors import UsageError
from tokenry.method import Record
from tokenry.ops.clusters import adjusted_rand, edge_agreement, pair_agreement, pairs_within
from tokenry.ops.thresholds import best_threshold
from tokenry.retrieval import Headlines
from tokenry.retrieval.headlines import clean

STORIES = (
    "The council voted on Monday to close the old bridge over the river until the spring.",
    "A ship with forty sailors reached the harbour after nine weeks without any wind at all.",
    "Wheat prices fell again as farmers brought in the largest harvest of the last ten years.",
)


def records(noise=0.0, copies=3, **fields):
    draw = random.Random(0)
    return [
        Record(text=scanned(story, draw, noise=noise), title=f"{story[:12]} {copy * 7}", **fields)
        for story in STORIES
        for copy in range(copies)
    ]


def gold(copies=3):
    return np.repeat(np.arange(len(STORIES)), copies)


@pytest.mark.parametrize("by", ["ngrams", "minhash"])
def test_copies_of_a_story_are_one_group(by):
    found = Headlines(by=by, words=3).group(records())
    assert adjusted_rand(found.labels, gold()) == 1
    assert {*map(tuple, found.edges.tolist())} == {*map(tuple, pairs_within(gold()).tolist())}


def test_vectors_are_compared_by_cosine():
    vectors = np.eye(3)[gold()]
    found = Headlines().group(records(), vectors)
    assert adjusted_rand(found.labels, gold()) == 1
    with pytest.raises(UsageError, match="none are given; encode the texts"):
        Headlines().group(records())
    with pytest.raises(UsageError, match="3 are given"):
        Headlines().group(records(), np.eye(3))


def test_a_window_of_days_cuts_what_is_too_far_apart():
    texts = [
        Record(text=STORIES[0], day=0),
        Record(text=STORIES[0], day=2),
        Record(text=STORIES[0], day=9),
        Record(text=STORIES[0]),
    ]
    found = Headlines(by="ngrams", window=2).edges(texts)[0]
    assert found.tolist() == [[0, 1], [0, 3], [1, 3], [2, 3]]


def test_titles_are_paired_once_if_they_differ_and_the_story_is_no_column():
    titles = ["Bridge to close", "Bridge to close!", "No way over the river", "Bridge to close", ""]
    texts = [Record(text=STORIES[0], title=title) for title in titles]
    found = Headlines(by="ngrams").group(texts).pairs.tolist()
    assert found == [[0, 2], [1, 2]]
    assert Headlines(by="ngrams", apart=0.0).group(texts).pairs.tolist()[0] == [0, 1]
    assert Headlines(by="ngrams", largest=4).group(texts).pairs.tolist() == []


def test_few_records_are_no_trouble():
    for texts in ([], [Record(text="alone", title="A")]):
        found = Headlines(by="ngrams").group(texts)
        assert (len(found.edges), len(found.labels), len(found.pairs)) == (0, len(texts), 0)


def test_what_a_scanner_does_to_lines_is_undone():
    draw = random.Random(0)
    assert clean(scanned(STORIES[0], draw, noise=0, line=17)) == clean(STORIES[0])
    assert len(scanned(STORIES[0], draw, noise=0, kept=0.5).split()) == 8
    noisy = scanned("e" * 2000, random.Random(1), noise=0.1)
    assert 150 < sum(c != "e" for c in noisy) < 250


def test_claim_communities_cut_bridges():
    draw = np.random.default_rng(0)
    truth = np.repeat(np.arange(30), 8)
    true = pairs_within(truth)
    kept = true[draw.random(len(true)) < 0.7]  # edges that were found
    bridges = np.sort(draw.integers(0, len(truth), (25, 2)), axis=1)
    edges = np.unique(np.concatenate((kept, bridges[bridges[:, 0] < bridges[:, 1]])), axis=0)
    ones = np.ones(len(edges))
    before = edge_agreement(edges, true)
    after = {
        grouping: pair_agreement(
            Headlines(grouping=grouping)._grouped(edges, ones, len(truth)), truth
        )
        for grouping in ("components", "communities")
    }
    assert after["components"].recall == 1 > before.recall
    assert after["components"].precision < 0.2 < before.precision
    assert after["communities"].precision > 0.9
    assert after["communities"].recall > before.recall


def news(count, noise, seed=0):
    """Reprints of real news, three of each, of which editors left 60 to 100 %."""
    import gensim

    path = Path(gensim.__file__).parent / "test/test_data/lee_background.cor"
    articles = path.read_text(encoding="utf-8").splitlines()
    draw = random.Random(seed)
    texts = [
        scanned(article, draw, noise=noise, kept=draw.uniform(0.6, 1), line=60)
        for article in articles[:count]
        for _ in range(3)
    ]
    return texts, np.repeat(np.arange(count), 3)


def fitted(by, texts, truth, vectors):
    """The ARI on the second half of the stories, with the threshold of the first half."""
    half = len(texts) // 2
    lowest = {"vectors": 0.3, "ngrams": 0.01, "minhash": 0.0}[by]
    pairs, scores = Headlines(by=by, least=lowest).edges(
        [Record(text=t) for t in texts[:half]], vectors[:half]
    )
    same = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    least = best_threshold(scores, same, missed=half - int(same.sum()))[0] if same.any() else 0
    found = Headlines(by=by, least=min(1.0, least)).group(
        [Record(text=t) for t in texts[half:]], vectors[half:]
    )
    return adjusted_rand(found.labels, truth[half:])


@pytest.mark.slow
def test_claim_vectors_bear_noise_best():
    from tokenry.plugs.text_encoder import text_encoder

    encoder = text_encoder("zoo:minilm-l6", longest=64)
    found = {}
    for noise in (0.0, 0.05, 0.2):
        texts, truth = news(30, noise)
        vectors = encoder.encode([clean(text) for text in texts], show_progress_bar=False)
        for by in ("vectors", "ngrams", "minhash"):
            found[by, noise] = fitted(by, texts, truth, vectors)
    assert min(found[by, 0.0] for by in ("vectors", "ngrams", "minhash")) > 0.95, found
    assert found["ngrams", 0.05] > found["minhash", 0.05] + 0.5, found
    assert found["vectors", 0.2] > found["ngrams", 0.2] + 0.2, found
