"""One tracked layer: taken back, reordered, repeated, copied; what it cannot do it says."""

import copy

import pytest
import torch
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import H2O, StreamingLLM
from tokenry.checks.models import tiny_decoder, words
from tokenry.errors import UsageError
from tokenry.method import Slots
from tokenry.ops.rope import angles
from tokenry.plugs.cache import TrackedLayer

NAMES = ("keys", "values", "tokens", "size", "mass", "queries", "query_tokens", "positions")


def layer(b=3, g=2, s=10, left=(0, 1, 3, 4, 7, 8, 9)):
    """Ten tokens, of which seven are left, two of them merged; everything noted that can be."""
    source = torch.Generator().manual_seed(0)
    made = TrackedLayer()
    made.expect(torch.arange(s).expand(b, -1))
    made.update(*(torch.randn(b, g, s, 4, generator=source) for _ in range(2)))
    made.weigh(torch.rand(b, 2 * g, s, generator=source))
    made.remember(torch.randn(b, 2 * g, s, 4, generator=source), None, 3)
    size = torch.ones(b, g, len(left)).index_fill(-1, torch.tensor([1]), 2.0)
    made.keep(Slots(torch.tensor(left).expand(b, g, -1), size=size))
    made.memory = {"threshold": torch.arange(b), "share": 0.5}
    return made


def state(made):
    return {name: getattr(made, name) for name in NAMES} | {"t": made.memory["threshold"]}


BATCHES = {
    "reorder_cache": (torch.tensor([2, 0, 0]), [2, 0, 0]),
    "batch_repeat_interleave": (2, [0, 0, 1, 1, 2, 2]),
    "batch_select_indices": (torch.tensor([True, False, True]), [0, 2]),
}


@pytest.mark.parametrize("verb", BATCHES)
def test_whatever_is_held_follows_the_batch(verb):
    made, (argument, rows) = layer(), BATCHES[verb]
    before = state(made)
    getattr(made, verb)(argument)
    for name, held in state(made).items():
        assert torch.equal(held, before[name][rows]), name
    assert made.memory["share"] == 0.5
    assert (made.seen, made.get_seq_length()) == (10, 10)


def test_what_stays_is_taken_from_each_head():
    made = TrackedLayer()
    keys, values = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 5)
    made.update(keys, values)
    made.weigh(torch.rand(2, 6, 6))
    mass = made.mass
    index = torch.stack([torch.randperm(6)[:4].sort().values for _ in range(6)]).view(2, 3, 4)
    made.keep(Slots(index))
    for b in range(2):
        for g in range(3):
            assert torch.equal(made.keys[b, g], keys[b, g, index[b, g]])
            assert torch.equal(made.values[b, g], values[b, g, index[b, g]])
            for h in (2 * g, 2 * g + 1):
                assert torch.equal(made.mass[b, h], mass[b, h, index[b, g]])
    assert torch.equal(made.tokens, index)
    assert made.keys.untyped_storage().nbytes() == 2 * 3 * 4 * 4 * 4
    assert made.nbytes == 2 * 3 * 4 * (4 + 5) * 4


def test_new_tokens_come_behind():
    made = layer()
    made.expect(torch.tensor([[10, 11]] * 3))
    made.update(torch.zeros(3, 2, 2, 4), torch.zeros(3, 2, 2, 4))
    assert made.tokens[1, 1].tolist() == [0, 1, 3, 4, 7, 8, 9, 10, 11]
    assert made.size[2, 0].tolist() == [1, 2, 1, 1, 1, 1, 1, 1, 1]
    assert (made.seen, made.slots, made.get_mask_sizes(4)) == (12, 9, (16, 0))
    assert not made.weighed


@torch.no_grad()
def test_crop_is_as_if_the_tokens_had_never_come():
    """Also where a head has let older tokens go, as long as the last ones are all there."""
    model, ids = tiny_decoder("llama").double(), words(2, 210)
    with attach(model, StreamingLLM(keep=0.5)):
        outputs = []
        for cropped in (False, True):
            cache = DynamicCache()
            model(ids[:, :200], past_key_values=cache)
            if cropped:
                model(words(2, 1, seed=9), past_key_values=cache)
                cache.crop(-1)
            assert (cache.get_seq_length(), cache.layers[0].slots) == (200, 100)
            outputs.append(model(ids[:, 200:], past_key_values=cache).logits)
    torch.testing.assert_close(*outputs, atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_crop_of_a_complete_cache_changes_no_output():
    model, ids, cache = tiny_decoder("llama").double(), words(2, 50), DynamicCache()
    expected = model(ids).logits[:, 43:]
    with attach(model, H2O(keep=1.0)):
        model(ids[:, :43], past_key_values=cache)
        model(words(2, 5, seed=9), past_key_values=cache)
        cache.crop(-5)
        got = model(ids[:, 43:], past_key_values=cache).logits
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


def test_crop_takes_back_all_notes():
    made = layer()
    made.crop(-2)
    assert made.tokens[0, 0].tolist() == [0, 1, 3, 4, 7]
    assert [x.shape[-1] for x in (made.size, made.mass, made.positions)] == [5, 5, 8]
    assert made.keys.shape[-2] == made.values.shape[-2] == 5
    assert made.query_tokens[0].tolist() == [7, -1, -1]
    assert made.seen == 8
    made.crop(0)
    assert made.seen == 8


@pytest.mark.parametrize(
    ("n", "message"),
    [(3, "minus the number"), (-99, "minus the number"), (-4, "no longer in the cache")],
)
def test_crop_refuses(n, message):
    made = layer()
    before = state(made)
    with pytest.raises(UsageError, match=message):
        made.crop(n)
    assert all(torch.equal(held, before[name]) for name, held in state(made).items())


def test_reset_forgets_everything():
    made = layer()
    made.reset()
    assert (made.seen, made.slots, made.nbytes, made.memory, made.complete) == (0, 0, 0, {}, True)
    assert made.mass is made.queries is made.positions is made.size is None
    made.reorder_cache(torch.tensor([0]))
    made.update(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    assert made.tokens.tolist() == [[[0, 1, 2]] * 2]


@torch.no_grad()
def test_a_copy_goes_its_own_way():
    """A prefix is read once, cut, and continued twice."""
    model, prefix = tiny_decoder("llama").double(), words(1, 60)
    with attach(model, H2O(keep=0.5)):
        cache = DynamicCache()
        model(prefix, past_key_values=cache)
        twin = copy.deepcopy(cache)
        expected = model(words(1, 3, seed=1), past_key_values=cache).logits
        model(words(1, 9, seed=2), past_key_values=cache)
        assert twin.get_seq_length() == 60
        got = model(words(1, 3, seed=1), past_key_values=twin).logits
    assert torch.equal(got, expected)


@torch.no_grad()
def test_batch_verbs_in_a_model():
    """A cut batch whose texts are swapped, dropped or doubled goes on as those texts would."""
    model, ids = tiny_decoder("llama").double(), words(3, 60)
    more = words(3, 4, seed=1)
    with attach(model, H2O(keep=0.5)):

        def cut():
            cache = DynamicCache()
            model(ids, past_key_values=cache)
            return cache

        expected = model(more, past_key_values=cut()).logits
        for verb, (argument, rows) in BATCHES.items():
            cache = cut()
            getattr(cache, verb)(argument)
            got = model(more[rows], past_key_values=cache).logits
            torch.testing.assert_close(got, expected[rows], atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_a_cut_cache_serves_single_tokens_after_detach():
    model, caches = tiny_decoder("llama").double(), (DynamicCache(), DynamicCache())
    with attach(model, H2O(keep=0.5)):
        for cache in caches:
            model(words(1, 60), past_key_values=cache)
    with attach(model, StreamingLLM(keep=1.0)):
        expected = model(words(1, 1), past_key_values=caches[0]).logits
    got = model(words(1, 1), past_key_values=caches[1]).logits
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


def test_merged_slots_need_their_policy():
    made = layer()
    made._expects = False
    with pytest.raises(UsageError, match="attach that to the model"):
        made.update(torch.zeros(3, 2, 1, 4), torch.zeros(3, 2, 1, 4))
    assert made.seen == 10


def test_keys_without_rotation_need_their_policy():
    made = TrackedLayer(torch.ones(2))
    made.expect(torch.arange(3)[None])
    made.update(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    with pytest.raises(UsageError, match="attach that to the model"):
        made.update(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))


def test_keys_are_held_without_their_rotation():
    """A key at position 0 goes in as it is; one further on is turned back."""
    frequency, places = torch.tensor([1.0]), torch.tensor([[0, 2]])
    made = TrackedLayer(frequency)
    made.expect(places, angles(-places[:, None], frequency, torch.float32))
    turned = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    made.update(turned[None, None], turned[None, None])
    angle = torch.tensor(-2.0)
    expected = torch.stack([torch.tensor([1.0, 0.0]), 2 * torch.stack([angle.cos(), angle.sin()])])
    torch.testing.assert_close(made.keys[0, 0], expected)
