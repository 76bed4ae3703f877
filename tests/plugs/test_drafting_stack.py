"""A drafter over a cache policy writes what the policy alone writes, and leaves the same cache."""

from __future__ import annotations

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, DynamicCache

from tokenry.cache import ActQKV, Landmark, StreamingLLM, TokenSelect
from tokenry.checks.models import tiny_decoder, words
from tokenry.decoding import PromptLookup
from tokenry.errors import AttachError, UsageError
from tokenry.plugs.attach import attach
from tokenry.plugs.attachment import MARK

POLICIES = [
    "streaming-llm(keep=.5)",
    "streaming-llm(keep=.9)",
    "snapkv(keep=.5, last=4)",
    "key-norm(keep=.5, recent=4)",
    "random-slots(keep=.5, recent=4)",
    "h2o(keep=.5)",
    "h2o(keep=1.0)",
]
DRAFTERS = ["prompt-lookup(budget=9)", "token-recycling(budget=9)"]


@pytest.fixture(scope="module")
def llama():
    """Two layers in float64."""
    return tiny_decoder("llama", num_hidden_layers=2).double()


def prompts(rows):
    """Prompts that repeat themselves; of several the second has four tokens less."""
    ids = words(rows, 12).repeat(1, 3)
    mask = torch.ones_like(ids)
    if rows > 1:
        ids[1, :4], mask[1, :4] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def write(model, inputs, **settings):
    settings = {"do_sample": False, "max_new_tokens": 24, "pad_token_id": 0, **settings}
    return model.generate(**inputs, **settings)


def same_as_alone(model, drafter, policy, rows, **settings):
    """The stack's trace, once its output and cache were those of the policy alone."""
    inputs = prompts(rows)
    with attach(model, policy) as attachment:
        alone, held = write(model, inputs, **settings), attachment.trace
    with attach(model, [policy, drafter]) as attachment:
        assert torch.equal(write(model, inputs, **settings), alone)
        trace = attachment.trace
    assert trace.cache.seen == held.seen
    for mine, theirs in zip(trace.cache.tokens, held.tokens, strict=True):
        assert torch.equal(mine, theirs)
    return trace


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("drafter", "rows"), [(DRAFTERS[0], 3), (DRAFTERS[1], 1)])
def test_output_and_cache_are_those_of_the_policy_alone(drafter, rows, policy, llama):
    trace = same_as_alone(llama, drafter, policy, rows)
    assert (trace.accepted > 0).any()
    assert rows > 1 or trace.passes < trace.plain


@pytest.mark.parametrize("name", ["gpt2", "qwen3"])
def test_other_architectures(name):
    same_as_alone(tiny_decoder(name, num_hidden_layers=2).double(), DRAFTERS[1], POLICIES[2], 3)


def test_eager_attention():
    model = tiny_decoder("llama", num_hidden_layers=2)
    model.set_attn_implementation("eager")
    same_as_alone(model, DRAFTERS[0], POLICIES[0], 3)


def test_a_policy_that_merges_and_shares_slots_among_layers():
    model = tiny_decoder("llama").double()
    same_as_alone(model, DRAFTERS[1], "d2o(keep=.6)", 1)
    with (
        attach(model, [DRAFTERS[1], "d2o(keep=.6)"]),
        pytest.raises(UsageError, match="D2O shares its slots out among the layers by all texts"),
    ):
        write(model, prompts(2))


@pytest.mark.parametrize("ends", [range(1, 12), range(40, 60)])
def test_rows_end_where_they_end_under_the_policy_alone(ends, llama):
    inputs, model = prompts(3), llama
    settings = {"eos_token_id": list(ends)}
    with attach(model, POLICIES[2]):
        alone = write(model, inputs, **settings)
    with attach(model, [DRAFTERS[0], POLICIES[2]]):
        assert torch.equal(write(model, inputs, **settings), alone)


def test_processors_and_automatic_budget(llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENRY_CACHE", str(tmp_path))
    trace = same_as_alone(llama, "prompt-lookup", POLICIES[0], 1, repetition_penalty=1.3)
    assert trace.curve is not None


def test_a_second_turn_goes_on_with_the_cut_cache(llama):
    model, inputs = llama, prompts(1)
    written = []
    for method in ("h2o(keep=.5)", [DRAFTERS[0], "h2o(keep=.5)"]):
        cache = DynamicCache(config=model.config)
        with attach(model, method):
            first = write(model, inputs, past_key_values=cache)
            more = torch.cat([first, words(1, 5, seed=3)], 1)
            again = {"input_ids": more, "attention_mask": torch.ones_like(more)}
            written.append(write(model, again, past_key_values=cache))
    assert torch.equal(*written)


def test_drafts_never_reach_beyond_a_cut(llama):
    with attach(llama, [PromptLookup(budget=32), StreamingLLM(keep=0.5)]) as attachment:
        write(llama, prompts(1))
        # Half of 36 tokens stay; the cut is put off until more than one is too many.
        assert attachment.trace.offered.max() <= 3


def test_the_model_is_restored():
    model = tiny_decoder("llama")
    before, config = write(model, prompts(1)), model.base_model.config
    with attach(model, [DRAFTERS[0], POLICIES[0]]):
        write(model, prompts(1))
    assert torch.equal(write(model, prompts(1)), before)
    assert model.base_model.config is config
    assert not any(MARK in module.__dict__ for module in model.modules())
    assert "generate" not in model.__dict__


def seq2seq():
    sizes = {f"{side}_{part}": 2 for side in ("encoder", "decoder") for part in ("layers",)}
    return BartForConditionalGeneration(BartConfig(vocab_size=97, d_model=16, **sizes))


@pytest.mark.parametrize(
    ("build", "policy", "why"),
    [
        (tiny_decoder, TokenSelect(keep=0.5), "selects what each token reads"),
        (tiny_decoder, ActQKV(keep=0.5), "selects what each token reads"),
        (tiny_decoder, Landmark(), "writes the attention over them itself"),
        (tiny_decoder, PromptLookup(), "a stack is one drafter and one cache policy"),
        (seq2seq, StreamingLLM(keep=0.5), "an encoder-decoder keeps its encoder's keys"),
    ],
)
def test_what_cannot_be_combined_is_refused_with_its_reason(build, policy, why):
    model = build("llama") if build is tiny_decoder else build()
    with pytest.raises(UsageError, match=why):
        attach(model, [PromptLookup(), policy])
    assert not any(MARK in module.__dict__ for module in model.modules())


def test_settings_and_carried_methods():
    model = tiny_decoder("llama")
    with pytest.raises(UsageError, match="keep is given for 2 methods"):
        attach(model, "prompt-lookup+snapkv", keep=0.5)
    with (
        attach(model, POLICIES[0]),
        pytest.raises(AttachError, match="given to attach together, as a list"),
    ):
        attach(model, DRAFTERS[0])
