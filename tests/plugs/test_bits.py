"""Bits per byte of a causal language model."""

import math

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.plugs.bits import bits_per_byte, parts

TEXT = "Ein Test, größer als ein Teil.\nUnd noch eine Zeile: über allem.\n" * 3


def _slow(model, tokenizer, text):
    """One token after the other; the first costs the logarithm of the number of tokens."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    total = math.log2(len(tokenizer))
    for n in range(1, len(ids)):
        scores = model(torch.tensor([ids[:n]])).logits[0, -1].double().softmax(-1)
        total -= math.log2(scores[ids[n]])
    return total


@torch.no_grad()
def test_is_the_sum_over_all_tokens_of_all_parts(language):
    loaded = language()
    found = bits_per_byte(loaded.model, loaded.processor, [TEXT, "kurz"], chunk=50, batch_size=3)
    expected = [
        sum(_slow(loaded.model, loaded.processor, part) for part in parts(text, 50))
        for text in (TEXT, "kurz")
    ]
    assert found.bits == pytest.approx(expected, rel=1e-5)
    assert found.sizes == (len(TEXT.encode()), 4)
    assert found.tokens == found.sizes
    assert found.per_byte == pytest.approx(sum(expected) / (len(TEXT.encode()) + 4))
    assert found.bytes_per_token == 1


@torch.no_grad()
def test_the_beginning_of_text_costs_nothing_and_helps(language):
    loaded = language()
    tokenizer = loaded.processor.__class__(
        tokenizer_object=loaded.processor.backend_tokenizer, bos_token="<end>"
    )
    found = bits_per_byte(loaded.model, tokenizer, ["ab"])
    scores = loaded.model(torch.tensor([[256, *tokenizer("ab")["input_ids"]]])).logits[0]
    a, b = tokenizer("ab", add_special_tokens=False)["input_ids"]
    nats = -scores.log_softmax(-1)
    assert found.bits[0] == pytest.approx(float(nats[0, a] + nats[1, b]) / math.log(2), rel=1e-5)


@pytest.mark.parametrize("most", [4, 5, 17, 50, 10_000])
def test_parts_hold_the_text_and_fit(most):
    found = list(parts(TEXT + "漢字" * 20 + "\n\n ", most))
    assert "".join(found) == TEXT + "漢字" * 20 + "\n\n "
    assert all(0 < len(part.encode()) <= most for part in found)


def test_the_model_is_left_in_its_mode(language):
    loaded = language()
    loaded.model.train()
    bits_per_byte(loaded.model, loaded.processor, ["a text"])
    assert loaded.model.training
    loaded.model.eval()


def test_refuses_nothing_to_write(language):
    loaded = language()
    with pytest.raises(UsageError, match="at least one byte"):
        bits_per_byte(loaded.model, loaded.processor, ["", ""])
    with pytest.raises(UsageError, match="chunk=3"):
        bits_per_byte(loaded.model, loaded.processor, ["a"], chunk=3)
