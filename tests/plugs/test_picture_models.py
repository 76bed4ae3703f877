"""A cache policy on models that read pictures: the picture's slots go like all others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import transformers
from tests.plugs.test_more_decoders import Uneven

from tokenry import attach
from tokenry.cache import H2O, TokenSelect
from tokenry.checks.models import SHAPE, WORDS, liven
from tokenry.errors import UnsupportedModelError, UsageError

PICTURE, START = 90, 92
TEXT = {**WORDS, "num_hidden_layers": 2, "pad_token_id": 0, "head_dim": 8}
EYE = {**SHAPE, "num_hidden_layers": 2, "image_size": 16}
TURNS = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
QWEN = {
    "depth": 2,
    "hidden_size": 32,
    "out_hidden_size": 32,
    "num_heads": 4,
    "intermediate_size": 64,
    "patch_size": 4,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
}
WINDOWS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16}
CLIP, SIGLIP = (
    {**EYE, "model_type": "clip_vision_model"},
    {**EYE, "model_type": "siglip_vision_model"},
)
MODELS = {
    "Llava": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": CLIP,
        "image_token_index": PICTURE,
    },
    "PaliGemma": {
        "text_config": {**TEXT, "model_type": "gemma"},
        "vision_config": {**SIGLIP, "projection_dim": 32},
        "image_token_index": PICTURE,
        "projection_dim": 32,
        "hidden_size": 32,
    },
    "Gemma3": {
        "text_config": {**TEXT, **WINDOWS},
        "vision_config": {**SIGLIP, "vision_use_head": False},
        "image_token_index": PICTURE,
        "mm_tokens_per_image": 4,
    },
    "Qwen2_5_VL": {
        "text_config": {**TEXT, "rope_parameters": TURNS},
        "vision_config": {**QWEN, "window_size": 16, "fullatt_block_indexes": [1]},
        "image_token_id": PICTURE,
        "vision_start_token_id": START,
    },
    "Qwen3VL": {
        "text_config": {**TEXT, "rope_parameters": TURNS},
        "vision_config": {**QWEN, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
        "image_token_id": PICTURE,
        "vision_start_token_id": START,
    },
}
ROWS = {"Llava": 16, "PaliGemma": 16, "Gemma3": 4, "Qwen2_5_VL": 4, "Qwen3VL": 4}


def built(name, **changes):
    config = getattr(transformers, f"{name}Config")(**MODELS[name], **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return liven(getattr(transformers, f"{name}ForConditionalGeneration")(config))


def shown(name, b=2):
    """A picture in each text, and before the second text two tokens of padding."""
    source = torch.Generator().manual_seed(0)
    text = torch.randint(1, 80, (b, 40), generator=source)
    picture = torch.full((b, ROWS[name]), PICTURE)
    ids = torch.cat([text[:, :10], torch.full((b, 1), START), picture, text[:, 10:]], 1)
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if name.startswith("Qwen"):
        pixels = torch.randn(b * 16, 96, generator=source)
        inputs |= {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 4, 4]] * b)}
        return {**inputs, "mm_token_type_ids": (ids == PICTURE).int()}
    inputs["pixel_values"] = torch.randn(b, 3, 16, 16, generator=source)
    return inputs if name == "Llava" else {**inputs, "token_type_ids": (ids == PICTURE).int()}


@torch.no_grad()
def run(model, inputs):
    """Logits of the picture's turn, one of five tokens, and one more."""
    out = model(**inputs, use_cache=True)
    logits, mask = [out.logits], inputs["attention_mask"]
    deltas = getattr(model.model, "rope_deltas", None)
    for t in (5, 1):
        mask = torch.nn.functional.pad(mask, (0, t), value=1)
        given = {"attention_mask": mask, "past_key_values": out.past_key_values}
        if deltas is not None:
            given["position_ids"] = (mask.cumsum(1) - 1)[:, -t:].expand(3, -1, -1) + deltas
        out = model(torch.arange(5, 5 + t).expand(len(mask), -1), **given, use_cache=True)
        logits.append(out.logits)
    return torch.cat(logits, 1)[mask.bool()]


@pytest.mark.parametrize("name", MODELS)
def test_a_cut_cache_is_a_full_one_with_masks(name, full_cache, held_slots):
    model, inputs = built(name), shown(name)
    plain = run(model, inputs)
    with attach(model, Uneven(keep=1.0)):
        assert torch.equal(run(model, inputs), plain)
    with attach(model, Uneven(keep=0.5)) as attachment:
        held = held_slots(model, attachment)
        got = run(model, inputs)
    with full_cache(model, held):
        expected = run(model, inputs)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(run(model, inputs), plain)
    assert (plain - got).abs().max() > 0.01


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@torch.no_grad()
def test_mass_counts_what_the_tokens_of_a_picture_see(implementation):
    """In Gemma 3 they see each other, also those that come later."""
    inputs, seen = shown("Gemma3"), []

    @dataclass(frozen=True, kw_only=True)
    class Look(H2O):
        def shares(self, views):
            seen.append(views)
            return [1.0] * len(views)

    model = built("Gemma3", attn_implementation="eager")
    real = inputs["attention_mask"].bool()[:, None, :, None]
    expected = model(**inputs, output_attentions=True).attentions[1].masked_fill(~real, 0)
    model.set_attn_implementation(implementation)
    with attach(model, Look(keep=0.5)):
        model(**inputs)
    (view,) = seen[0]
    torch.testing.assert_close(view.mass, expected.sum(2), atol=1e-4, rtol=1e-4)


def test_selecting_keys_that_turn_in_the_plane_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"time, height and width.*policy that evicts"):
        attach(built("Qwen2_5_VL"), TokenSelect(keep=0.5))


def test_selecting_among_tokens_that_see_later_ones_is_refused():
    model = built("Gemma3")
    with (
        attach(model, TokenSelect(keep=0.99)),
        pytest.raises(UsageError, match=r"TokenSelect: the mask lets tokens see later ones"),
    ):
        run(model, shown("Gemma3"))
