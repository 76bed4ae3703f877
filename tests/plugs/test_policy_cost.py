"""What policies multiply while the prompt is read, counted and not timed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import D2O, H2O, KeyNorm, RandomSlots, SnapKV, StreamingLLM
from tokenry.checks.models import tiny_decoder, words
from tokenry.method import CachePolicy

LENGTH = 4096


@pytest.fixture(scope="module")
def multiplied():
    """Multiplications and additions of reading one text: of the fused kernel, and of the rest."""
    model = tiny_decoder("llama", max_position_embeddings=LENGTH, num_hidden_layers=2)
    ids = words(1, LENGTH)

    def multiplied():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(ids, past_key_values=DynamicCache(config=model.config), logits_to_keep=1)
        counts = counter.get_flop_counts()["Global"]
        fused = sum(n for op, n in counts.items() if "scaled_dot_product" in str(op))
        return fused, counter.get_total_flops() - fused

    return model, multiplied


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        (StreamingLLM(keep=0.5), 0),
        (RandomSlots(keep=0.5), 0),
        (KeyNorm(keep=0.5), 0),
        (SnapKV(keep=0.5), 2 * SnapKV(keep=0.5).window / LENGTH),
        (H2O(keep=0.5), 2),
        (D2O(keep=0.5, merge="off", early=0, late=0), 2),
    ],
    ids=lambda value: value.card.slug if isinstance(value, CachePolicy) else "",
)
def test_a_policy_multiplies_no_more_than_it_must(multiplied, method, passes):
    """What weighs all queries multiplies them with keys and values once, and that is its output."""
    model, count = multiplied
    config = model.config
    fused, plain = count()
    with attach(model, method):
        left, more = count()
    pairs = LENGTH * (LENGTH + 1) // 2
    products = 2 * pairs * config.hidden_size * config.num_hidden_layers
    assert (more - plain) / products == pytest.approx(passes, rel=0.05)
    assert left == (0 if method.weighs else fused)
