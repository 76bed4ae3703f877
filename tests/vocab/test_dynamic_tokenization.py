"""Dynamic tokenization against recounting everything after each merge."""

import random
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry.ops.reductions import mean_lengths, merges_for
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import DynamicTokenization

BOUNDARIES = ("pretokens", "word", "word-hyphen", "sentence")
TEXTS = (
    "the cat's hat, the well-known cat; 3.5 of 10 hats are the cat's\n\n  the end",
    "Über den Wolken müssen well-made Hüte wohl grenzenlos sein ... 日本語のテキスト日本語",
    "for i in range(10):\n    for j in range(i):\n\tprint(i, j)\n\n\n# the hats of the cats' owner",
)


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def may(a, b, boundary, split):
    """Whether two neighbours may be one token; special ones are text here, others bytes."""
    if isinstance(a, str) or isinstance(b, str):
        return False
    both = a + b
    inside = [c in b" \t\n" for c in both]
    if any(inside[1:]) and (not all(inside) or both == b"\n\n"):
        return False
    try:
        text = both.decode("utf-8")
    except UnicodeDecodeError:
        return True
    if boundary in ("sentence", "pretokens"):
        return boundary == "sentence" or len(split(text)) == 1
    if text.isspace() or any(c.isspace() for c in text.strip()):
        return False
    marks = [
        any(unicodedata.category(c)[0] in "PS" and ord(c) < 128 for c in t.decode("latin-1"))
        and not any(c in "0123456789" for c in t.decode("latin-1"))
        for t in (a, b)
    ]
    return boundary == "word" or marks[0] or not marks[1] or b == b"-"


def joined(text, a, b):
    new, i = [], 0
    while i < len(text):
        pair = text[i : i + 2] == [a, b]
        new.append(a + b if pair else text[i])
        i += 1 + pair
    return new


def brute(vocab, split, texts, boundary, merges):
    """Everything is counted anew before each merge."""
    special = set(vocab.special.values())
    batch = [[f"<{t}>" if t in special else vocab.spelled[t] for t in text] for text in texts]
    lengths = [sum(map(len, batch))]
    for _ in range(merges):
        pairs = [pair for text in batch for pair in pairwise(text)]
        counts = Counter(pair for pair in pairs if may(*pair, boundary, split))
        if not counts:
            break
        a, b = max(counts, key=counts.get)  # of equals the one met first
        batch = [joined(text, a, b) for text in batch]
        lengths.append(sum(map(len, batch)))
    return batch, lengths


def spell(vocab, merged):
    table = [*vocab.spelled, *merged.tokens]
    special = set(vocab.special.values())
    return [[f"<{t}>" if t in special else table[t] for t in text] for text in merged.sequences]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("seed", range(6))
def test_every_merge_is_that_of_a_recount(tokenizer, boundary, seed):
    draw, vocab = random.Random(seed), vocabulary(tokenizer)
    texts = []
    for _ in range(3):
        words = [draw.choice(draw.choice(TEXTS).split(" ")) for _ in range(14)]
        ids = tokenizer.encode(" ".join(words)).ids
        texts.append([0, *ids, 1, 1, *tokenizer.encode(draw.choice(words)).ids, 1])
    texts.append([draw.choice((97, 98, 99)) for _ in range(30)])  # runs, and orders never met
    for merges in (0, 1, 2, 7, 1000):
        merged = DynamicTokenization(boundary=boundary, merges=merges).merge(texts, vocab)
        batch, lengths = brute(
            vocab, tokenizer.pre_tokenizer.pre_tokenize_str, texts, boundary, merges
        )
        assert spell(vocab, merged) == batch
        assert list(merged.lengths) == lengths


def test_no_merge_is_the_tokenizer(tokenizer):
    texts = [tokenizer.encode(text).ids for text in TEXTS]
    merged = DynamicTokenization(merges=0).merge(texts, vocabulary(tokenizer))
    assert merged.sequences == texts
    assert not merged.tokens
    assert [list(s) for s in merged.starts] == [list(range(len(text))) for text in texts]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_shorter_with_every_merge_and_nothing_lost(tokenizer, boundary):
    vocab = vocabulary(tokenizer)
    texts = [tokenizer.encode(text).ids for text in TEXTS]
    merged = DynamicTokenization(boundary=boundary, merges=10_000).merge(texts, vocab)
    assert np.all(np.diff(merged.lengths) < 0)
    assert merged.lengths[-1] == sum(map(len, merged.sequences)) < merged.lengths[0]
    assert [b"".join(text).decode() for text in spell(vocab, merged)] == list(TEXTS)
    assert len(set(merged.tokens)) == len(merged.tokens)
    assert not set(merged.tokens) & set(vocab.spelled)


def test_starts_are_the_first_parts(tokenizer):
    vocab = vocabulary(tokenizer)
    texts = [[0, *tokenizer.encode(text).ids, 1] for text in TEXTS]
    merged = DynamicTokenization(merges=60).merge(texts, vocab)
    for text, made, starts in zip(texts, spell(vocab, merged), merged.starts, strict=True):
        for token, start, end in zip(made, starts, [*starts[1:], len(text)], strict=True):
            if isinstance(token, bytes):
                assert b"".join(vocab.spelled[t] for t in text[start:end]) == token
            else:
                assert end == start + 1


def test_empty_texts_and_unknown_orders(tokenizer):
    merged = DynamicTokenization().merge([[], [0], [1, 1]], vocabulary(tokenizer))
    assert merged.sequences == [[], [0], [1, 1]]
    assert merged.lengths == [3]
    assert DynamicTokenization().merge([], vocabulary(tokenizer)).sequences == []


def test_the_table_tells_the_merges_of_a_target(tokenizer):
    vocab = vocabulary(tokenizer)
    method = DynamicTokenization(merges=10_000)
    batches = [[tokenizer.encode(text).ids] for text in TEXTS]
    table = mean_lengths([method.merge(batch, vocab).lengths for batch in batches])
    assert merges_for(table, 0.0) == 0
    assert table[merges_for(table, 1.0)] == table[-1] < table[merges_for(table, 1.0) - 1]
    half = merges_for(table, 0.5)
    middle = (table[0] + table[-1]) / 2
    assert table[half] <= middle < table[half - 1]
