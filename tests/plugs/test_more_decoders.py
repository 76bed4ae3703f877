"""Further language models that users bring: each works exactly, or is refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import transformers

from tokenry import attach
from tokenry.cache import H2O, Landmark, SnapKV, StreamingLLM, TokenSelect
from tokenry.checks.models import WORDS, liven, words
from tokenry.errors import UnsupportedModelError
from tokenry.method import CachePolicy, Slots
from tokenry.ops.slots import top_slots
from tokenry.plugs.blocks import TOWERS
from tokenry.plugs.decoders import DECODERS
from tokenry.plugs.landmarks import add_landmark

WINDOWS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16}
STATES = {
    "layer_types": ["linear_attention", "full_attention"],
    "head_dim": 8,
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SHARED = {**EXPERTS, "shared_expert_intermediate_size": 32}

MOVING = {
    "Ministral3": {"head_dim": 8},
    "Mixtral": {"num_local_experts": 4, "sliding_window": None},
    "Qwen2Moe": SHARED,
    "Qwen3Moe": {**EXPERTS, "head_dim": 8},
    "Qwen3Next": {**STATES, **SHARED},
    "Phi": {"partial_rotary_factor": 0.5},
    "Olmo": {},
    "Olmo2": {},
    "Olmo3": WINDOWS,
    "Granite": {"attention_multiplier": 0.3},
    "Starcoder2": {"sliding_window": None},
    "StableLm": {},
    "Lfm2": {"layer_types": ["conv", "full_attention"]},
    "GPTNeoX": {"num_key_value_heads": 4},
}
"""Models whose keys can be placed anew."""

STILL = {
    "Gemma2": ({**WINDOWS, "head_dim": 8, "attn_logit_softcapping": 2.0}, "caps its scores"),
    "GptOss": ({**WINDOWS, "head_dim": 8, "num_local_experts": 4}, "has learned sinks"),
    "SmolLM3": ({"no_rope_layers": [1, 0]}, "rotates the keys of some of its layers only"),
    "Cohere": ({}, "rotates neighbouring channels"),
    "Cohere2": (WINDOWS, "does not rotate the keys of its layers with full attention"),
    "Glm": ({"head_dim": 8}, "rotates neighbouring channels"),
    "Glm4": ({"head_dim": 8}, "rotates neighbouring channels"),
    "Qwen3_5": (STATES, "rotates its keys by time, height and width"),
}
"""Models of which only policies that evict can act on the cache, and why."""

LATENT = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
REFUSED = {
    "DeepseekV3ForCausalLM": ({**LATENT, "num_key_value_heads": 4}, r"latent vector .* \(MLA\)"),
    "MambaForCausalLM": ({}, "state of fixed size"),
    "FalconH1ForCausalLM": ({"mamba_d_ssm": 32, "mamba_n_heads": 4}, "a recurrent state"),
    "T5ForConditionalGeneration": ({"d_model": 32, "num_heads": 4}, "an encoder-decoder"),
    "BartForConditionalGeneration": ({"d_model": 32}, "an encoder-decoder"),
    "OPTForCausalLM": (
        {"num_attention_heads": 4},
        "holds no causal language model whose cache tokenry knows",
    ),
}


def make(name, own, **changes):
    text = "Text" if name == "Qwen3_5" else ""
    config = getattr(transformers, f"{name}{text}Config")(
        **{**WORDS, "num_hidden_layers": 2, "pad_token_id": 0, **own, **changes}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return liven(getattr(transformers, f"{name}ForCausalLM")(config))


def built(name, **changes):
    return make(name, MOVING[name] if name in MOVING else STILL[name][0], **changes)


@dataclass(frozen=True, kw_only=True)
class Uneven(CachePolicy):
    """Other slots in each head."""

    def evict(self, view):
        source = torch.Generator().manual_seed(view.layer)
        score = torch.rand(view.tokens.shape[1:], generator=source).expand(view.tokens.shape)
        return Slots(top_slots(score, view.count, last=2, valid=view.valid))


def padded():
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1, :6] = 0
    return mask


@torch.no_grad()
def run(model, ids, mask):
    """Logits of a text in parts, with positions that padding does not count in."""
    cache, logits, start = None, [], 0
    places = (mask.cumsum(1) - 1).clamp(min=0)
    for t in (24, 5, 1, 10):
        stop = start + t
        given = {"attention_mask": mask[:, :stop], "position_ids": places[:, start:stop]}
        out = model(ids[:, start:stop], past_key_values=cache, use_cache=True, **given)
        cache, start = out.past_key_values, stop
        logits.append(out.logits)
    return torch.cat(logits, 1)[mask.bool()]


@pytest.mark.parametrize("name", [*MOVING, *STILL])
def test_a_cut_cache_is_a_full_one_with_masks(name, full_cache, held_slots):
    """And keep=1 is the model itself, before and after."""
    model, ids, mask = built(name), words(2, 40), padded()
    plain = run(model, ids, mask)
    with attach(model, Uneven(keep=1.0)):
        assert torch.equal(run(model, ids, mask), plain)
    with attach(model, Uneven(keep=0.5)) as attachment:
        held = held_slots(model, attachment)
        got = run(model, ids, mask)
    assert attachment.trace.share == 0.5
    with full_cache(model, held):
        expected = run(model, ids, mask)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(run(model, ids, mask), plain)
    assert (plain - got).abs().max() > 0.01


@pytest.mark.parametrize("name", MOVING)
def test_all_that_is_selected_is_full_attention(name):
    model, ids, mask = built(name), words(2, 40), padded()
    with attach(model, TokenSelect(keep=0.99999, chunk=16)):
        got = run(model, ids, mask)
    torch.testing.assert_close(got, run(model, ids, mask), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", STILL)
def test_keys_that_stay_in_place_are_not_moved(name):
    model = built(name)
    with pytest.raises(UnsupportedModelError, match=rf"TokenSelect: .*{STILL[name][1]}"):
        attach(model, TokenSelect(keep=0.5))


@pytest.mark.parametrize("name", ["Gemma2", "GptOss"])
@torch.no_grad()
def test_mass_is_that_of_the_models_own_softmax(name):
    """With its cap and its sinks, over slots that stand for themselves."""
    model, ids, seen = built(name), words(2, 40), []

    @dataclass(frozen=True, kw_only=True)
    class Look(SnapKV):
        weighs = True

        def shares(self, views):
            seen.append(views)
            return [1.0] * len(views)

    expected = model(ids, output_attentions=True).attentions[1]
    with attach(model, Look(keep=0.5, last=8)):
        model(ids)
    (view,) = seen[0]
    torch.testing.assert_close(view.mass, expected.sum(2), atol=1e-5, rtol=1e-5)
    with attach(model, H2O(keep=0.5)) as attachment:
        model(ids)
    assert attachment.trace.share == 0.5


@pytest.mark.parametrize(("name", "reason"), [("Qwen3Next", "keep a state"), ("Olmo3", "a window")])
def test_landmarks_need_full_attention_in_every_layer(name, reason):
    model = built(name)
    add_landmark(model, block=4)
    with pytest.raises(UnsupportedModelError, match=reason):
        attach(model, Landmark(block=4))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_models(name):
    own, reason = REFUSED[name]
    config = getattr(transformers, name).config_class
    given = {"hidden_size": 32, "vocab_size": 97, "num_hidden_layers": 1, **own}
    with torch.device("meta"):
        model = getattr(transformers, name)(config(**given))
    with pytest.raises(UnsupportedModelError, match=rf"{name}: .*{reason}"):
        attach(model, StreamingLLM(keep=0.5))


def test_the_page_of_models_names_them_all():
    page = (Path(__file__).parents[2] / "docs/reference/models.md").read_text(encoding="utf-8")
    assert [name for name in [*DECODERS, *TOWERS] if f"`{name}`" not in page] == []
