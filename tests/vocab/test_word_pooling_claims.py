"""What words bring a small model that is trained on the same bytes as one that reads bytes."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

STEPS, LAYERS, WIDTH = 100, 4, 64


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("word_pooling_toy")


def sizes(model):
    return sum(p.numel() for p in model.parameters())


def test_both_models_have_as_many_parameters(recipe):
    words, by_bytes = (
        sizes(make(LAYERS, WIDTH, 0)) for make in (recipe.word_model, recipe.byte_model)
    )
    assert abs(words / by_bytes - 1) < 0.005


def test_both_models_read_the_same_bytes(recipe):
    data, held = recipe.rows()
    assert not {b"".join(row) for row in data} & {b"".join(row) for row in held}
    batch = data[:3]
    words, by_bytes = recipe.as_words(batch)["input_ids"], recipe.as_bytes(batch)["input_ids"]
    for i, row in enumerate(batch):
        text = b"".join(row)
        assert bytes(words[i][words[i] != recipe.END].tolist()) == text
        assert bytes(by_bytes[i, 1 : len(text) + 1].tolist()) == text


def test_a_word_is_foreseen_only_with_its_end(recipe):
    """A model that says one thing whatever it reads: each next byte is what the text has there."""
    text = b"a bc  d\nef"
    row = recipe.METHOD.words(text)

    def right(said):
        logits = torch.nn.functional.one_hot(torch.tensor([[*said]]), recipe.UNITS) * 9.0
        return recipe.bytes_right(lambda ids: SimpleNamespace(logits=logits), [row])[0]

    assert right(text + b" ") == [True] * len(row)
    assert right(text + b"g") == [True] * (len(row) - 1) + [False]
    for place in range(len(text)):
        wrong = bytearray(text + b" ")
        wrong[place] = ord("z") if text[place] in b" \n" else ord("\t")
        starts = [len(b"".join(row[:i])) for i in range(len(row))]
        word = max(i for i, start in enumerate(starts) if start <= place)
        missed = {word, word - 1} if place in starts and place else {word}
        assert [i for i, good in enumerate(right(wrong)) if not good] == sorted(missed)


@pytest.mark.slow
def test_claim_more_next_words_from_the_same_bytes(recipe):
    data, held = recipe.rows()
    words, by_bytes = recipe.word_model(LAYERS, WIDTH, 0), recipe.byte_model(LAYERS, WIDTH, 0)
    recipe.train(words, recipe.as_words, data, STEPS)
    recipe.train(by_bytes, recipe.as_bytes, data, STEPS)
    first, _ = recipe.words_right(words, held)
    second, _ = recipe.bytes_right(by_bytes, held)
    shown = recipe.groups(data, held)["all words"]
    only_first = sum(first[i] and not second[i] for i in shown)
    only_second = sum(second[i] and not first[i] for i in shown)
    n = only_first + only_second
    at_least = sum(math.comb(n, k) for k in range(only_first, n + 1)) / 2**n
    assert at_least < 0.001
