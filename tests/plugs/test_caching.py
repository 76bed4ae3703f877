"""A cut cache equals a full one from which the same slots are hidden, in every way of running."""

from dataclasses import dataclass

import pytest
import torch
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import H2O, SnapKV, StreamingLLM
from tokenry.checks.models import DECODERS, tiny_decoder, words
from tokenry.method import CachePolicy, Slots
from tokenry.ops.slots import top_slots

LAYERS = {"num_hidden_layers": 3}
MODELS = [name for name in DECODERS if name != "gemma3"]


@dataclass(frozen=True, kw_only=True)
class Uneven(CachePolicy):
    """Other slots in each layer and head, and more of them in the first layers."""

    def shares(self, views):
        tilt = torch.linspace(1.4, 0.6, len(views)).tolist()
        return [self.keep * x for x in tilt]

    def evict(self, view):
        source = torch.Generator().manual_seed(view.layer)
        score = torch.rand(view.tokens.shape[1:], generator=source).expand(view.tokens.shape)
        return Slots(top_slots(score, view.count, last=2, valid=view.valid))


def decoder(name="llama", **changes):
    return tiny_decoder(name, **{**LAYERS, **changes}).double()


def padded(side, b=2, n=40):
    """Which tokens of a batch are real: all of the first text, and all but six of the second."""
    mask = torch.ones(b, n, dtype=torch.long)
    if side == "left":
        mask[1, :6] = 0
    elif side == "right":
        mask[1, 18:24] = 0
    return mask


def turns(model, ids, mask, lengths):
    """Logits of a text that comes in parts, with positions that padding does not count in."""
    cache, logits, start = DynamicCache(config=model.config), [], 0
    places = (mask.cumsum(1) - 1).clamp(min=0)
    for t in lengths:
        stop = start + t
        out = model(
            ids[:, start:stop],
            attention_mask=mask[:, :stop],
            position_ids=places[:, start:stop],
            past_key_values=cache,
        )
        logits.append(out.logits)
        start = stop
    return torch.cat(logits, 1)


@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_a_cut_cache_is_a_full_one_with_masks(name, side, full_cache, held_slots):
    """Prompt in two chunks, a second turn of five tokens, and single ones."""
    more = {"layer_types": ["sliding_attention", "full_attention"] * 2} if name == "gemma3" else {}
    model = decoder(name, num_hidden_layers=4, **more)
    ids, mask = words(2, 40), padded(side)
    lengths = (10, 14, 5, 1, 1, 9)
    with attach(model, Uneven(keep=0.5)) as attachment:
        held = held_slots(model, attachment)
        got = turns(model, ids, mask, lengths)
    counts = [tokens.shape[-1] for tokens in held[-1]]
    assert len(set(counts)) == len(counts)
    assert len({tuple(row) for layer in held[-1] for row in layer[0].tolist()}) > len(counts)
    with full_cache(model, held):
        expected = turns(model, ids, mask, lengths)
    real = mask.bool()
    torch.testing.assert_close(got[real], expected[real], atol=1e-12, rtol=1e-12)
    untouched = turns(model, ids, mask, lengths)
    assert (untouched[real] - got[real]).abs().max() > 0.01


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
@torch.no_grad()
def test_the_same_over_eager(name, full_cache, held_slots):
    model = tiny_decoder(name, attn_implementation="eager")
    ids, mask, lengths = words(2, 40), padded("left"), (24, 5, 1, 10)
    with attach(model, Uneven(keep=0.5)) as attachment:
        held = held_slots(model, attachment)
        got = turns(model, ids, mask, lengths)
    with full_cache(model, held):
        expected = turns(model, ids, mask, lengths)
    real = mask.bool()
    torch.testing.assert_close(got[real], expected[real], atol=1e-4, rtol=1e-4)


WAYS = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.5},
    "beam": {"num_beams": 3, "do_sample": False},
    "beam sampling": {"num_beams": 3, "do_sample": True},
    "chunks": {"do_sample": False, "prefill_chunk_size": 12},
    "several": {"do_sample": True, "num_return_sequences": 2},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", ["none", "left"])
def test_generate(way, side, full_cache, held_slots):
    model = decoder()
    inputs = {"attention_mask": padded(side, n=30), "max_new_tokens": 12, "pad_token_id": 0}
    ids = words(2, 30)
    with attach(model, Uneven(keep=0.5)) as attachment:
        held = held_slots(model, attachment)
        torch.manual_seed(0)
        got = model.generate(ids, **inputs, **WAYS[way])
    with full_cache(model, held):
        torch.manual_seed(0)
        expected = model.generate(ids, **inputs, **WAYS[way])
    assert torch.equal(got, expected)
    assert attachment.trace.share < 0.6
    torch.manual_seed(0)
    assert not torch.equal(model.generate(ids, **inputs, **WAYS[way]), got)


def test_generate_goes_on_with_a_cut_cache():
    """`generate` finds out what is cached already, although slots have gone."""
    model, ids, cache = decoder(), words(1, 40), DynamicCache()
    with attach(model, StreamingLLM(keep=0.5)) as attachment:
        model(ids[:, :30], past_key_values=cache)
        sizes = []
        model.base_model.register_forward_pre_hook(
            lambda _, __, kwargs: sizes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
        )
        model.generate(ids, past_key_values=cache, max_new_tokens=3, pad_token_id=0)
    assert sizes == [10, 1, 1]
    assert attachment.trace.seen == 42


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_keep_one_is_the_model_itself(name, implementation):
    model = tiny_decoder(name, attn_implementation=implementation)
    ids, mask, lengths = words(2, 40), padded("left"), (24, 5, 1, 10)
    expected = turns(model, ids, mask, lengths)
    with attach(model, Uneven(keep=1.0)):
        got = turns(model, ids, mask, lengths)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("keep", [0.5, 0.25])
@torch.no_grad()
def test_bytes_are_those_of_the_tensors(keep):
    model, cache = tiny_decoder("llama"), DynamicCache()
    with attach(model, Uneven(keep=keep)) as attachment:
        model(words(2, 400), past_key_values=cache)
        for token in words(2, 40, seed=1).T:
            model(token[:, None], past_key_values=cache)
            trace = attachment.trace
            held = [x for layer in cache.layers for x in (layer.keys, layer.values)]
            resident = sum(x.untyped_storage().nbytes() for x in held)
            assert trace.bytes_resident == trace.bytes_read == resident
            assert trace.bytes_full == 6 * 2 * 2 * 2 * 8 * 4 * trace.seen
            assert resident == pytest.approx(keep * trace.bytes_full, rel=0.02)
    assert len({layer.slots for layer in cache.layers}) == 6


def attentions(model, ids, mask):
    """What transformers itself says of the weights of a whole text, `l x (b, h, t, s)`."""
    twin = tiny_decoder("llama", attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    places = (mask.cumsum(1) - 1).clamp(min=0)
    out = twin(ids, attention_mask=mask, position_ids=places, output_attentions=True)
    return [a.masked_fill(~mask.bool()[:, None, :, None], 0) for a in out.attentions]


@pytest.mark.parametrize("side", ["none", "left", "right"])
@torch.no_grad()
def test_mass_is_the_column_sum_of_the_weights(side):
    """Over one pass and over several, padding having no say."""
    model, ids, mask = tiny_decoder("llama"), words(2, 40), padded(side)
    expected = [a.sum(2) for a in attentions(model, ids, mask)]
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Look(CachePolicy):
        weighs = True

        def shares(self, views):
            seen.append([view.mass for view in views])
            return [1.0] * len(views)

    for lengths in ((40,), (20, 12, 1, 7)):
        with attach(model, Look(keep=0.5)):
            turns(model, ids, mask, lengths)
        for got, want in zip(seen[-1], expected, strict=True):
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["none", "left", "right"])
@torch.no_grad()
def test_the_window_holds_the_last_real_queries(side):
    """The weights that they give are the last real rows of the matrix, chunks or not."""
    model, ids, mask = tiny_decoder("llama"), words(2, 40), padded(side)
    if side == "right":
        mask = torch.ones(2, 40, dtype=torch.long)
        mask[1, 34:] = 0
    matrix = attentions(model, ids, mask)
    seen = []

    @dataclass(frozen=True, kw_only=True)
    class Look(CachePolicy):
        window = 6

        def shares(self, views):
            seen.append(views)
            return [1.0] * len(views)

    for lengths in ((40,), (20, 18, 1, 1)):
        with attach(model, Look(keep=0.5)):
            turns(model, ids, mask, lengths)
        view = seen[-1][2]
        for row in range(2):
            real = mask[row].nonzero()[-6:, 0]
            assert torch.equal(view.query_tokens[row], real)
            keys = view.keys.repeat_interleave(2, 1)[row]
            score = view.queries[row] @ keys.transpose(1, 2) * view.scale
            later = torch.arange(40) > real[:, None]
            score = score.masked_fill(later | ~mask[row].bool(), float("-inf"))
            torch.testing.assert_close(
                score.softmax(-1), matrix[2][row][:, real], atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@torch.no_grad()
def test_a_merged_slot_weighs_as_many_tokens(name):
    """A cache of which every second slot counts twice equals one that holds those slots twice."""
    model = decoder(name)
    complete, twins, single = (DynamicCache(config=model.config) for _ in range(3))
    model(words(2, 20), past_key_values=complete)
    for index, layer in enumerate(complete.layers):
        halves = layer.keys[:, :, ::2], layer.values[:, :, ::2]
        twins.update(*(x.repeat_interleave(2, 2) for x in halves), index)
    expected = model(words(2, 4, seed=1), past_key_values=twins).logits

    @dataclass(frozen=True, kw_only=True)
    class Halve(CachePolicy):
        def shares(self, views):
            return [0.5 if view.seen == 20 else 1.0 for view in views]

        def evict(self, view):
            keep = torch.arange(0, 20, 2).expand(*view.tokens.shape[:2], -1)
            size = torch.full(keep.shape, 2.0, dtype=view.keys.dtype)
            return Slots(keep, size=size)

    with attach(model, Halve(keep=0.5)):
        model(words(2, 20), past_key_values=single)
        assert single.layers[0].slots == 10
        got = model(words(2, 4, seed=1), past_key_values=single).logits
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


def test_gradients_reach_every_weight():
    model = decoder().train()
    with attach(model, H2O(keep=0.5)):
        cache = DynamicCache()
        model(words(2, 30), past_key_values=cache)
        loss = model(words(2, 6), past_key_values=cache).logits.square().mean()
    torch.autograd.backward(loss)
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_weights_of_a_complete_cache_are_still_given():
    model = tiny_decoder("llama", attn_implementation="eager", **LAYERS)
    expected = model(words(1, 12), output_attentions=True).attentions
    with attach(model, SnapKV(keep=1.0)):
        got = model(words(1, 12), output_attentions=True).attentions
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
