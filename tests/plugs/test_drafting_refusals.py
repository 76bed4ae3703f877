"""What cannot work under a drafter is refused in words, and the model stays as it was."""

from dataclasses import dataclass

import pytest
import torch
import transformers
from transformers import DynamicCache, StaticCache

from tokenry.cache import StreamingLLM
from tokenry.checks.models import tiny_decoder, words
from tokenry.decoding import PromptLookup
from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import Drafter, TokenTree
from tokenry.plugs.attach import attach


def generate(model, **settings):
    ids = settings.pop("ids", words(2, 6))
    settings = {"max_new_tokens": 4, "pad_token_id": 0, **settings}
    with attach(model, PromptLookup(budget=4)):
        return model.generate(ids, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 2}, "decode by beam search"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "decode by contrastive search"),
        ({"prompt_lookup_num_tokens": 3}, "decode by assisted generation"),
        ({"use_cache": False}, "use_cache=False"),
        ({"guidance_scale": 1.5}, "guidance_scale"),
        ({"cache_implementation": "static"}, "not static"),
        ({"cache_implementation": "offloaded"}, "offloaded"),
        ({"output_attentions": True, "return_dict_in_generate": True}, "attentions"),
        ({"prefix_allowed_tokens_fn": lambda i, ids: [1]}, "prefix_allowed_tokens_fn works on one"),
        ({"assistant_model": "another"}, "assistant_model"),
        ({"custom_generate": print}, "custom_generate"),
        ({"synced_gpus": True}, "synced_gpus"),
        ({"stop_strings": ["end"]}, "stop_strings.*no tokenizer"),
        ({"ids": torch.zeros(1, 0, dtype=torch.long)}, "the prompt is empty"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_call_that_drafts_cannot_serve(settings, message):
    model = tiny_decoder("llama")
    with pytest.raises(UsageError, match=f"PromptLookup.*{message}"):
        generate(model, **settings)
    assert "generate" not in vars(model)


def test_a_cache_of_another_kind():
    model = tiny_decoder("llama")
    for cache in (StaticCache(config=model.config, max_cache_len=32), DynamicCache()):
        if isinstance(cache, DynamicCache):
            other = tiny_decoder("llama", num_hidden_layers=2)
            other(words(2, 3), past_key_values=cache)
        with pytest.raises(UsageError, match="the cache has"):
            generate(model, past_key_values=cache)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gemma3", "DynamicSlidingWindowLayer"),
        ("Mamba", "recurrent|does not"),
        ("Bloom", "position_ids"),
    ],
)
def test_a_model_that_cannot_verify_a_tree(name, why):
    if name == "gemma3":
        model = tiny_decoder(name)
    else:
        small = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 20, "n_head": 2}
        config = getattr(transformers, f"{name}Config")(**small)
        model = getattr(transformers, f"{name}ForCausalLM")(config)
    with pytest.raises(UnsupportedModelError, match=why):
        attach(model, PromptLookup())
    assert "generate" not in vars(model)


def test_an_encoder_does_not_write():
    model = transformers.BertModel(
        transformers.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(UnsupportedModelError, match="generate"):
        attach(model, PromptLookup())


def test_frequencies_that_follow_the_length():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    with pytest.raises(UnsupportedModelError, match=r"\['dynamic'\]"):
        attach(tiny_decoder("llama", rope_parameters=rope), PromptLookup())


def test_attention_that_carries_no_tree():
    model = tiny_decoder("llama")
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(UsageError, match="'flex_attention', which cannot carry the mask of a tree"):
        attach(model, PromptLookup())


def test_a_method_is_not_put_on_top_of_another():
    model = tiny_decoder("llama")
    for first, second in [
        (StreamingLLM(keep=0.5), PromptLookup()),
        (PromptLookup(), StreamingLLM(keep=0.5)),
        (PromptLookup(), PromptLookup()),
    ]:
        with attach(model, first), pytest.raises(AttachError, match="already carries"):
            attach(model, second)


def drafts(tokens, parents, probs=None):
    @dataclass(frozen=True, kw_only=True)
    class Broken(Drafter):
        def draft(self, view):
            return TokenTree(torch.tensor(tokens), torch.tensor(parents), probs)

    return Broken(budget=4)


@pytest.mark.parametrize(
    "broken",
    [
        drafts([1, 2, 3, 4], [-1, 0, 1, 2]),
        drafts([1, 2], [-1, 1]),
        drafts([1, 2], [-1]),
        drafts([1], [-2]),
        drafts([1, 2], [-1, 0], torch.ones(2, 97)),
        drafts([97], [-1]),
        drafts([-1], [-1]),
    ],
)
def test_a_draft_that_is_no_tree(broken):
    model = tiny_decoder("llama")
    with attach(model, broken), pytest.raises(UsageError, match="Broken: its draft"):
        model.generate(words(1, 6), max_new_tokens=9)
