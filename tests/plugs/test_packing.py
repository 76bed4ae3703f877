"""Packed batches: what is in them, what a model makes of them, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.utils.data import DataLoader
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Trainer,
    TrainingArguments,
)

from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.plugs.packing import IGNORED, PackingCollator

BOS = 96


def llama(attention="sdpa", dtype=torch.float64):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        bos_token_id=BOS, eos_token_id=95, attn_implementation=attention,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(dtype).eval()


def documents(*lengths, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return [torch.randint(95, (length,), generator=chance).tolist() for length in lengths]


def collate(docs, length=24, **settings):
    return PackingCollator(length=length, anchor=BOS, **settings)(docs)


def hidden(model, batch):
    """Last hidden states, and nothing of the loss."""
    names = ("input_ids", "position_ids", "attention_mask")
    with torch.no_grad():
        return model.model(**{n: batch[n] for n in names}, use_cache=False).last_hidden_state


def alone(model, batch):
    """Hidden states of a variable-length batch, each segment run on its own."""
    bounds, parts = batch["cu_seq_lens_q"].tolist(), []
    with torch.no_grad():
        for start, stop in pairwise(bounds):
            ids, places = (batch[n][:, start:stop] for n in ("input_ids", "position_ids"))
            size = stop - start
            causal = torch.ones(1, 1, size, size, dtype=torch.bool).tril()
            out = model.model(ids, position_ids=places, attention_mask=causal, use_cache=False)
            parts.append(out.last_hidden_state[0])
    return torch.cat(parts)


def test_a_row_is_anchor_documents_padding():
    """Their own beginning-of-text tokens go; the third document opens a second row."""
    docs = [[BOS, 1, 2, 3], {"input_ids": [4, 5]}, torch.tensor([6, 7, 8, 9]), [BOS, 10]]
    batch = collate(docs, length=7)
    assert batch["input_ids"].tolist() == [[BOS, 1, 2, 3, 4, 5, 10], [BOS, 6, 7, 8, 9, BOS, BOS]]
    no = IGNORED
    assert batch["shift_labels"].tolist() == [[1, 2, 3, no, 5, no, no], [6, 7, 8, 9, no, no, no]]
    assert batch["labels"].tolist() == [[no, 1, 2, 3, no, 5, no], [no, 6, 7, 8, 9, no, no]]
    assert batch["position_ids"].tolist() == [list(range(7))] * 2
    assert not batch["attention_mask"][1, 0, 1:5, 5:].any()
    assert not batch["attention_mask"][0, 0, 4:6, 1:4].any()
    assert batch["attention_mask"].diagonal(dim1=2, dim2=3).all()


def test_the_last_token_of_a_full_row_is_a_target_only():
    batch = collate([[1, 2, 3, 4]], length=4)
    assert batch["input_ids"].tolist() == [[BOS, 1, 2, 3]]
    assert batch["shift_labels"].tolist() == [[1, 2, 3, 4]]


def test_the_loss_is_that_of_the_targets():
    model = llama()
    batch = collate(documents(9, 8, 20, 3))
    out = model(**batch)
    flat, targets = out.logits.flatten(0, 1).float(), batch["shift_labels"].flatten()
    torch.testing.assert_close(out.loss, cross_entropy(flat, targets, ignore_index=IGNORED))
    by_labels = model(**{k: v for k, v in batch.items() if k != "shift_labels"}).loss
    torch.testing.assert_close(out.loss, by_labels)


def test_other_documents_do_not_matter_and_the_anchor_does():
    """Bit for bit; in a full pack the same change is seen."""
    model = llama()
    docs = documents(7, 8, 6)
    others = [documents(7, seed=1)[0], docs[1], documents(6, seed=2)[0]]
    for method, same in (("anchor-attention", True), ("anchor-attention(pattern=full)", False)):
        one, two = (hidden(model, collate(d, method=method)) for d in (docs, others))
        assert torch.equal(one[:, 8:16], two[:, 8:16]) is same
        assert not torch.equal(one[:, 1:8], two[:, 1:8])
    batch = collate(docs)
    before = hidden(model, batch)
    batch["input_ids"][:, 0] = 5
    moved = (hidden(model, batch) - before).abs().amax(-1)[0]
    assert moved[:22].min() > 1e-3


def test_the_intra_baseline_does_not_see_the_anchor():
    model = llama()
    batch = collate(documents(7, 8, 6), method="anchor-attention(pattern=intra)")
    before = hidden(model, batch)
    batch["input_ids"][:, 0] = 5
    assert torch.equal(hidden(model, batch)[:, 1:22], before[:, 1:22])


@pytest.mark.parametrize(
    "method",
    [
        "anchor-attention",
        "anchor-attention(positions=reset)",
        "anchor-attention(pattern=intra)",
        "anchor-attention(pattern=intra, positions=reset)",
        "anchor-attention(pattern=full)",
    ],
)
def test_mask_and_lengths_are_the_same_function(method):
    """Two rows with padding, in float64; copies of the anchor agree too."""
    model, docs = llama(), documents(9, 8, 20, 3)
    masked = hidden(model, collate(docs, method=method)).flatten(0, 1)
    batch = collate(docs, method=method, form="varlen")
    collator = PackingCollator(length=24, anchor=BOS, method=method)
    owners = torch.tensor([[0] + [1] * 9 + [2] * 8 + [3] * 3 + [-1] * 3, [0] + [1] * 20 + [-1] * 3])
    index = collator.method.segments(owners).index
    torch.testing.assert_close(alone(model, batch), masked[index], atol=1e-14, rtol=0)
    targets = batch["shift_labels"][0]
    expected = collate(docs, method=method)["shift_labels"].flatten()
    assert sorted(targets[targets != IGNORED]) == sorted(expected[expected != IGNORED])
    lengths = batch["cu_seq_lens_q"].diff()
    assert batch["max_length_q"] == int(lengths.max())
    assert int(lengths.sum()) == batch["input_ids"].shape[1]


def test_reset_positions_behind_the_anchor_are_documents_on_their_own():
    """Each document as the model reads it behind its own beginning-of-text token."""
    model, docs = llama(), documents(7, 8, 6)
    packed = hidden(model, collate(docs, method="anchor-attention(positions=reset)"))[0]
    with torch.no_grad():
        for start, ids in zip((1, 8, 16), docs, strict=True):
            single = model.model(torch.tensor([[BOS, *ids]])).last_hidden_state[0, 1:]
            torch.testing.assert_close(packed[start : start + len(ids)], single, atol=1e-13, rtol=0)


def test_rotary_positions_are_relative_in_float64():
    """Where a document stands in the pack moves nothing but its distance to the anchor."""
    model, docs = llama(), documents(7, 8)
    method = "anchor-attention(pattern=intra{})"
    through, again = (
        hidden(model, collate(docs, method=method.format(extra)))
        for extra in ("", ", positions=reset")
    )
    # The angles are float32 whatever the type of the model.
    torch.testing.assert_close(through, again, atol=1e-5, rtol=0)


def test_the_additive_mask_says_what_the_bool_mask_says():
    docs = documents(9, 8, 20, 3)
    masked = hidden(llama(dtype=torch.float32), collate(docs))
    added = hidden(llama("eager", torch.float32), collate(docs, form="eager"))
    torch.testing.assert_close(added, masked, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("pattern", ["anchor", "intra", "full"])
def test_the_block_mask_says_what_the_bool_mask_says(untyped, pattern):
    """Not compiled, on a length that is no multiple of its block."""
    docs, method = documents(90, 80, 120, 3), f"anchor-attention(pattern={pattern})"
    block, allow = (
        collate(docs, length=200, method=method, form=form)["attention_mask"]
        for form in ("flex", "sdpa")
    )
    q, k, v = torch.randn(3, 2, 4, 200, 16, generator=torch.Generator().manual_seed(0))
    expected = scaled_dot_product_attention(q, k, v, attn_mask=allow)
    found = flex_attention(q, k, v, block_mask=block)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`")  # the compiler's own import
def test_a_model_with_flex_attention_takes_the_block_mask(untyped):
    """transformers compiles it on first use."""
    docs = documents(90, 80, 120, 3)
    logits = []
    for attention in ("sdpa", "flex_attention"):
        model = llama(attention, torch.float32)
        with torch.no_grad():
            logits.append(model(**PackingCollator.for_model(model, length=256)(docs)).logits)
    torch.testing.assert_close(*logits, atol=1e-5, rtol=0)


def test_interleaved_documents_do_not_matter_to_each_other():
    """Parts find the earlier parts of their own document, and nothing is predicted across."""
    torch.manual_seed(3)
    docs = [list(range(70)), [80] * 70]
    batch = collate(docs, length=160, method="anchor-attention(interleave=True)")
    ids = batch["input_ids"][0, 1:141]
    assert ids[ids < 70].tolist() == docs[0]
    switches = (ids.eq(80).diff()).sum()
    assert switches >= 2
    targets = batch["shift_labels"][0, 1:140]
    across = ids[1:].eq(80) != ids[:-1].eq(80)
    assert (targets[across] == IGNORED).all()
    assert (targets[~across] == ids[1:][~across]).all()
    allow = batch["attention_mask"][0, 0, 1:141, 1:141]
    same = ids.eq(80)[:, None] == ids.eq(80)[None]
    assert torch.equal(allow, same.tril())


def test_trainer_and_data_loader_take_it(tmp_path):
    """Two steps of transformers' Trainer; the same batches from a plain loader."""
    model = llama(dtype=torch.float32)
    docs = [{"input_ids": ids} for ids in documents(9, 8, 20, 3, 5, 5, 12, 4)]
    collator = PackingCollator.for_model(model, length=24)
    before = model.lm_head.weight.detach().clone()
    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=4, max_steps=2, report_to=[],
        use_cpu=True, disable_tqdm=True, logging_strategy="no", save_strategy="no",
        dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=docs, data_collator=collator).train()
    assert not torch.equal(model.lm_head.weight, before)
    for batch in DataLoader(docs, batch_size=4, collate_fn=collator):
        assert model(**batch).loss.isfinite()


@pytest.mark.parametrize(
    ("attention", "form"), [("sdpa", "sdpa"), ("eager", "eager"), ("flex_attention", "flex")]
)
def test_the_form_follows_the_model(attention, form):
    collator = PackingCollator.for_model(llama(attention), length=24)
    assert (collator.form, collator.anchor) == (form, BOS)


def flash():
    """A model that says that it runs flash attention, which needs no GPU to be asked about."""
    model = llama()
    model.config._attn_implementation_internal = "flash_attention_2"
    return model


def test_flash_attention_gets_lengths():
    assert PackingCollator.for_model(flash(), length=24).form == "varlen"


def sliding():
    config = MistralConfig(
        vocab_size=97, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=16,
    )  # fmt: skip
    return MistralForCausalLM(config)


def paged():
    model = llama()
    model.config._attn_implementation_internal = "paged|sdpa"
    return model


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
        (flash, {"form": "sdpa"}, "'flash_attention_2', which cannot carry form='sdpa'"),
        (llama, {"form": "varlen"}, "'sdpa', which cannot carry form='varlen'"),
        (paged, {}, "carries no mask that is known here"),
        (sliding, {}, "would undo their window"),
    ],
)
def test_models_that_cannot_carry_the_mask(make, settings, words):
    with pytest.raises(UnsupportedModelError, match=words):
        PackingCollator.for_model(make(), length=24, **settings)


def test_a_window_as_long_as_the_row_is_no_window():
    assert PackingCollator.for_model(sliding(), length=16).form == "sdpa"


def test_a_model_without_special_tokens_needs_to_be_told():
    config = GPT2Config(
        vocab_size=97, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    with pytest.raises(UsageError, match="give anchor="):
        PackingCollator.for_model(GPT2LMHeadModel(config), length=24)


@pytest.mark.parametrize(
    ("docs", "words"),
    [
        ([[1, 2], [3, BOS, 4]], "document 1 holds the anchor, token 96, inside, at \\[1\\]"),
        ([[BOS, BOS, 4]], "document 0 holds the anchor"),
        ([list(range(25))], "document 0 has 25 tokens, a row of length=24 holds 24"),
        ([[BOS]], "document 0 has shape \\(0,\\)"),
        ([[[1, 2], [3, 4]]], "document 0 has shape \\(2, 2\\)"),
        ([], "got no documents"),
    ],
)
def test_documents_that_cannot_be_packed(docs, words):
    with pytest.raises(UsageError, match=words):
        collate(docs)


def test_settings_out_of_range(untyped):
    with pytest.raises(UsageError, match="length=1 is below 2"):
        PackingCollator(length=1, anchor=BOS)
    with pytest.raises(UsageError, match="form='dense' is unknown"):
        PackingCollator(length=24, anchor=BOS, form="dense")
    with pytest.raises(UsageError, match="'tome' is no rule for packed documents"):
        PackingCollator(length=24, anchor=BOS, method="tome")
    with pytest.raises(UnknownNameError, match="anchor-attention"):
        PackingCollator(length=24, anchor=BOS, method="anchor")
