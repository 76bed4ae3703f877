"""Replayed merges against counting everything anew after each."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.merges import Replay, apply

SYMBOLS = st.integers(0, 3)
WORDS = st.lists(st.lists(SYMBOLS, max_size=9), max_size=6)
STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 8)), max_size=8)


def merged(word, left, right, made):
    """From left to right, one symbol at a time."""
    out, at = [], 0
    while at < len(word):
        if word[at : at + 2] == [left, right]:
            out.append(made)
            at += 2
        else:
            out.append(word[at])
            at += 1
    return out


def counted(words, weights):
    pairs = Counter()
    for word, weight in zip(words, weights, strict=True):
        for pair in pairwise(word):
            pairs[pair] += weight
    return +pairs


@given(WORDS, STEPS, st.data())
def test_counts_are_those_of_counting_anew(words, steps, data):
    sizes = {"min_size": len(words), "max_size": len(words)}
    weights = [data.draw(st.lists(st.integers(0, 5), **sizes)) for _ in range(2)]
    replay = Replay(words, np.array(weights, float).reshape(2, -1))
    for step in [None, *steps]:
        if step:
            before = [counted(words, kind) for kind in weights]
            words = [merged(word, *step) for word in words]
            after = [counted(words, kind) for kind in weights]
            changed = {replay.pairs[row] for row in replay.merge(*step)}
            differ = {p for b, a in zip(before, after, strict=True) for p in b | a if b[p] != a[p]}
            assert changed == differ
        for kind, row in zip(weights, replay.counts.T, strict=True):
            found = {p: c for p, c in zip(replay.pairs, row, strict=True) if c}
            assert found == dict(counted(words, kind))
    assert replay.symbols() == words
    assert len(set(replay.pairs)) == len(replay.pairs)


@given(WORDS, STEPS)
def test_apply_is_one_merge_after_the_other(words, steps):
    expected = words
    for step in steps:
        expected = [merged(word, *step) for word in expected]
    assert apply(words, steps) == expected


def test_many_pairs_are_all_kept():
    word = list(range(5000))
    replay = Replay([word], [3])
    assert len(replay.pairs) == 4999
    assert (replay.counts == 3).all()
    replay.merge(0, 1, 5000)
    assert replay.count(5000, 2) == 3
    assert replay.count(0, 1) == 0


def test_places_are_in_order_and_current():
    replay = Replay([[0, 1, 2], [1, 2, 0, 1]])
    assert replay.places(replay.pairs.index((0, 1))).tolist() == [0, 5]
    replay.merge(1, 2, 3)
    assert replay.places(replay.pairs.index((0, 1))).tolist() == [5]
    assert replay.places(replay.pairs.index((0, 3))).tolist() == [0]


def test_trainer_of_tokenizers_finds_the_same_pairs_most_frequent():
    """Its every merge is one of those that occur most often at that step."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    text = (models.__doc__ or "") + " ".join(dir(np) + dir(np.linalg))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    vocab = tokenizer.get_vocab()
    words = Counter(text.split())
    replay = Replay([[vocab[c] for c in word] for word in words], list(words.values()))
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert len(merges) > 100
    for left, right in merges:
        assert replay.count(vocab[left], vocab[right]) == replay.counts.max()
        replay.merge(vocab[left], vocab[right], vocab[left + right])


def test_counts_must_fit_the_words():
    with pytest.raises(UsageError, match="2 counts for 1 words; each word needs one"):
        Replay([[0, 1]], [1, 2])
