"""Figures of moves: costs and differences of sums, rows counted by where they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tokenry.compare.move_figures import cost, held, rival, rows, saved
from tokenry.plugs.bits import Bits
from tokenry.plugs.moving import transplant

BEFORE = Bits((10.0, 30.0, 20.0, 8.0, 9.0, 11.0), (10, 20, 20, 10, 10, 10), (5, 9, 8, 5, 5, 5))
AFTER = Bits((15.0, 36.0, 25.0, 9.0, 12.0, 14.0), (10, 20, 20, 10, 10, 10), (3, 5, 4, 3, 3, 3), 2)


def test_costs_are_ratios_of_sums_and_differences_are_paired():
    before, after = cost(BEFORE, None, 0), cost(AFTER, BEFORE, 0)
    assert before.per_byte.value == pytest.approx(88 / 80)
    assert (before.difference, before.verdict, before.unknown) == (None, None, 0)
    assert after.per_byte.value == pytest.approx(111 / 80)
    assert after.difference.value == pytest.approx(23 / 80)
    assert (after.verdict, after.unknown) == ("worse", 2)
    assert after.difference.low > 0  # every text lost, though the ranges of both costs overlap
    assert after.per_byte.low < before.per_byte.high
    assert rival(BEFORE, AFTER, 0)[1] == "better"
    assert rival(AFTER, AFTER, 0)[1] == "identical"


def test_the_interval_is_that_of_resampled_sums():
    found = saved(BEFORE, AFTER, 3)
    old, new = (np.array(one.tokens, float) for one in (BEFORE, AFTER))
    times = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, size=2000)
    draws = 1 - times @ new / (times @ old)
    assert found.value == pytest.approx(1 - 21 / 37)
    assert draws.min() <= found.low < found.value < found.high <= draws.max()


def _tokenizer(words):
    table = {word: token for token, word in enumerate(["[UNK]", *words])}
    made = Tokenizer(models.WordLevel(table, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")


def test_rows_are_counted_by_origin_and_by_use():
    torch.manual_seed(0)
    shape = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 16}
    model = GPT2LMHeadModel(GPT2Config(**shape, vocab_size=4, bos_token_id=0, eos_token_id=0))
    old, new = _tokenizer(["a", "b", "c"]), _tokenizer(["b", "d", "a", "e"])
    moved = transplant(model, old, new, "lexical-copy")
    texts = ["a b a d", "d d e"]
    found = {one.origin: one for one in rows(moved, texts)}
    assert set(found) == {"copied", "drawn"}
    assert (found["copied"].rows, found["copied"].used) == (3, 3)
    assert (found["drawn"].rows, found["drawn"].used) == (2, 4)
    assert found["copied"].examples[0] == ("a", ("a",))
    assert [token for token, _ in found["drawn"].examples] == ["d", "e"]
    cut = held(texts, moved, Bits((1.0, 1.0), (7, 5), (4, 3)), Bits((1.0, 1.0), (7, 5), (4, 3)))
    assert (cut[0].size, cut[0].before, cut[0].after) == (7, 4, 4)
    assert cut[0].old[-1] == "[[UNK]]"  # d, which the old tokenizer does not know
    assert len(cut[1].new) == 3
