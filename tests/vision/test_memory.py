"""What the methods hold at once, in bytes of tensors, against the untouched model."""

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from tokenry import attach, catalog
from tokenry.checks.models import liven
from tokenry.compare.cost import operations_and_bytes


@pytest.fixture(scope="module")
def model():
    """As wide for its number of rows as a real one; one matrix over all pairs would show."""
    shape = {"hidden_size": 288, "num_attention_heads": 6, "num_hidden_layers": 4}
    with torch.random.fork_rng(devices=[]):
        return liven(Dinov2Model(Dinov2Config(**shape, image_size=256, patch_size=8)))


@pytest.mark.parametrize("slug", catalog.names("vision"))
@torch.no_grad()
def test_no_more_than_the_untouched_model(slug, model):
    """A layer before the first cut is as wide as ever, so that level is the least for some."""
    pixels = torch.zeros(2, 3, 256, 256)

    def peak():
        return operations_and_bytes(lambda: model(pixel_values=pixels), pixels.device)[1]

    untouched = peak()
    with attach(model, slug, keep=0.5):
        assert peak() <= 1.01 * untouched
