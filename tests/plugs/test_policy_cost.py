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
    """Multiplications and additions of reading one text."""
    model = tiny_decoder("llama", max_position_embeddings=LENGTH, num_hidden_layers=2)
    ids = words(1, LENGTH)

    def multiplied():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(ids, past_key_values=DynamicCache(config=model.config), logits_to_keep=1)
        return counter.get_total_flops()

    return model, multiplied


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        (StreamingLLM(keep=0.5), 0),
        (RandomSlots(keep=0.5), 0),
        (KeyNorm(keep=0.5), 0),
        (SnapKV(keep=0.5), 2 * SnapKV(keep=0.5).window / LENGTH),
        (H2O(keep=0.5), 1),
        (D2O(keep=0.5, merge="off", early=0, late=0), 1),
    ],
    ids=lambda value: value.card.slug if isinstance(value, CachePolicy) else "",
)
def test_a_policy_multiplies_queries_with_keys_once_at_most(multiplied, method, passes):
    model, count = multiplied
    config = model.config
    plain = count()
    with attach(model, method):
        more = count() - plain
    pairs = LENGTH * (LENGTH + 1) // 2
    products = 2 * pairs * config.hidden_size * config.num_hidden_layers
    assert more / products == pytest.approx(passes, rel=0.05)
