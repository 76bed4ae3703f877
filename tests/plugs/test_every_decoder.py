"""Every language model of the table, under all that reads its cache or takes its attention over."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from tokenry import attach
from tokenry.cache import ActQKV, Landmark, TokenRing, TokenSelect
from tokenry.checks.models import DECODERS, tiny_decoder, words
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.landmarks import add_landmark
from tokenry.plugs.over_ring import over_ring
from tokenry.plugs.packing import PackingCollator

ROTATED = [name for name in DECODERS if name != "gpt2"]
FULL = [name for name in DECODERS if name != "gemma3"]
SELECTING = [
    TokenSelect(keep=0.99999, chunk=16),
    ActQKV(keep=0.99999, sinks=4, local=8, block=4, members=2, chunk=8),
]


def decoder(name, **changes):
    layers = {"layer_types": ["sliding_attention", "full_attention"]} if name == "gemma3" else {}
    return tiny_decoder(name, num_hidden_layers=2, **layers, **changes).double()


@pytest.mark.parametrize("policy", SELECTING, ids=lambda policy: policy.card.slug)
@pytest.mark.parametrize("name", ROTATED)
@torch.no_grad()
def test_all_that_is_selected_is_full_attention(name, policy):
    """Keys are held without their rotation and turned again; windows are left alone."""
    model, ids, mask = decoder(name), words(2, 60), torch.ones(2, 60, dtype=torch.long)
    mask[0, :11] = 0
    given = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    expected = model(ids, **given).logits
    with attach(model, policy) as attachment:
        got = model(ids, **given).logits
    assert attachment.trace.share == 1
    assert len(attachment.trace.read) == (1 if name == "gemma3" else 2)
    # Angles are computed in single precision.
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("policy", SELECTING, ids=lambda policy: policy.card.slug)
def test_what_places_keys_anew_needs_a_rotation(policy):
    with pytest.raises(UnsupportedModelError, match=r"GPT2Model does not rotate its keys"):
        attach(decoder("gpt2"), policy)


@pytest.mark.parametrize("name", [name for name in ROTATED if name != "gemma3"])
@torch.no_grad()
def test_landmarks(name):
    """Up to the first landmark nothing changes; all blocks retrieved is the training pass."""
    model, ids = decoder(name), words(2, 23)
    plain = model(ids).logits
    add_landmark(model, block=4)
    with attach(model, Landmark(block=4)):
        whole = model(ids, use_cache=False).logits
        cache, steps = None, []
        for start, stop in ((0, 9), (9, 10), (10, 18), (18, 23)):
            out = model(ids[:, start:stop], past_key_values=cache)
            cache, steps = out.past_key_values, [*steps, out.logits]
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole[:, :3, :97], plain[:, :3], atol=1e-5, rtol=1e-5)
    assert (whole[:, 6:, :97] - plain[:, 6:]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "reason"), [("gpt2", "does not rotate"), ("gemma3", "have a window")]
)
def test_models_that_take_no_landmarks_stay_as_they_were(name, reason):
    model, ids = decoder(name), words(1, 12)
    add_landmark(model, block=4)
    with torch.no_grad():
        before = model(ids).logits
        with pytest.raises(UnsupportedModelError, match=reason):
            attach(model, Landmark(block=4))
        assert torch.equal(model(ids).logits, before)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A process group of this process only."""
    store = tmp_path_factory.mktemp("alone") / "store"
    dist.init_process_group("gloo", f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", FULL)
@torch.no_grad()
def test_over_a_ring_of_one(name, alone):
    model, ids, mask = decoder(name), words(2, 24), torch.ones(2, 24, dtype=torch.long)
    mask[1, -7:] = 0
    expected = model(ids, attention_mask=mask).logits
    with over_ring(model, TokenRing()) as shards:
        got = model(**shards.cut(ids, attention_mask=mask)).logits
    assert len(shards.traffic.pairs) == 2
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=1e-10, rtol=1e-10)


def test_windows_do_not_go_over_a_ring(alone):
    model = decoder("gemma3")
    with pytest.raises(UsageError, match="sliding_attention"), over_ring(model, TokenRing()):
        pass


@pytest.mark.parametrize("name", FULL)
@torch.no_grad()
def test_documents_of_a_pack_are_apart(name):
    """Another document changes nothing, another anchor does."""
    model, first, second = decoder(name), words(1, 7)[0].tolist(), words(1, 8, seed=1)[0].tolist()
    collate = PackingCollator.for_model(model, length=24, anchor=96)

    def hidden(docs, anchor=96):
        batch = collate(docs)
        batch["input_ids"][:, 0] = anchor
        given = {n: batch[n] for n in ("input_ids", "position_ids", "attention_mask")}
        return model.base_model(**given, use_cache=False).last_hidden_state[:, 8:16]

    expected = hidden([first, second])
    assert torch.equal(hidden([words(1, 7, seed=2)[0].tolist(), second]), expected)
    assert (hidden([first, second], anchor=5) - expected).abs().amax(-1).min() > 1e-4


def test_a_pack_of_windows_is_refused():
    with pytest.raises(UnsupportedModelError, match="would undo their window"):
        PackingCollator.for_model(decoder("gemma3"), length=24, anchor=96)
