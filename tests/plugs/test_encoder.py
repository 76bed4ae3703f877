"""One shape of answer from every vision model, at any size of image."""

from __future__ import annotations

import pytest
import torch

from tokenry.plugs.encoder import encode, image_size, patch_size


@pytest.mark.parametrize("name", ["vit", "deit", "dinov2", "clip", "siglip"])
def test_another_image_size_interpolates_the_positions(name, tiny):
    model = tiny(name)
    with torch.no_grad():
        small = encode(model, torch.randn(2, 3, 24, 16))
    special = {"siglip": 0, "deit": 2}.get(name, 1)
    assert small.rows.shape[1] == 6 * 4 + special
    assert small.pooled.isfinite().all()
    assert (image_size(model), patch_size(model)) == (32, 4)


def test_the_trained_size_is_what_the_model_itself_does(tiny):
    model, pixels = tiny("vit"), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(encode(model, pixels).rows, model(pixel_values=pixels).last_hidden_state)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
