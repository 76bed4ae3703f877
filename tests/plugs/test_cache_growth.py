"""The room that a cache grows into: in place, bounded, and nobody else's."""

import copy

import torch

from tokenry.method import CachePolicy, Read
from tokenry.plugs.attach import attach


class Everything(CachePolicy):
    """Reads all slots, where they stand."""

    unrotated = True
    chunk = 7

    def select(self, view):
        b, g, s = view.keys.shape[:3]
        return (Read(torch.arange(s).expand(b, g, -1)),)


def text(n, padded=13):
    ids = torch.randint(3, 61, (2, n), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :padded] = 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def test_the_cache_grows_in_place_and_says_what_it_takes(llama):
    """Most tokens are written where room is, and the room is at most one per cent."""
    model, given = llama, text(400, padded=0)
    whole = model(**given).past_key_values
    with attach(model, Everything(keep=0.5)) as attachment:
        out = model(**given)
        cache, places = out.past_key_values, set()
        for step in range(20):
            model(torch.full((2, 1), 5 + step), past_key_values=cache)
            model_bytes = attachment.trace.bytes_resident
            assert attachment.trace.bytes_full <= model_bytes <= 1.02 * attachment.trace.bytes_full
            places.add(cache.layers[0].keys.data_ptr())
    assert 2 <= len(places) <= 8
    kept = cache.layers[1].keys
    assert kept.shape[2] == 420
    # Layer 0 holds what the untouched model's would, but for the rotation; values as they are.
    torch.testing.assert_close(cache.layers[0].values[:, :, :400], whole.layers[0].values)


@torch.no_grad()
def test_growing_in_place_leaves_copies_alone(llama):
    """A copy of a cache, cut back and continued otherwise, does not change the first."""
    model, given = llama, text(60, padded=0)
    with attach(model, Everything(keep=0.5)):
        cache = model(**given).past_key_values
        other = copy.deepcopy(cache)
        other.crop(-3)
        a = model(torch.full((2, 1), 7), past_key_values=cache).logits
        model(torch.full((2, 4), 9), past_key_values=other)
        model(torch.full((2, 1), 8), past_key_values=cache)
        ids = torch.cat([given["input_ids"], torch.full((2, 1), 7)], 1)
        torch.testing.assert_close(a[:, -1], model(ids).logits[:, -1], atol=1e-5, rtol=1e-4)
        again = torch.cat([ids, torch.full((2, 1), 8), torch.full((2, 1), 11)], 1)
        b = model(torch.full((2, 1), 11), past_key_values=cache).logits
        torch.testing.assert_close(b[:, -1], model(again).logits[:, -1], atol=1e-5, rtol=1e-4)


def test_a_gradient_flows_through_what_is_read(llama):
    model, given = llama, text(20, padded=0)
    with attach(model, Everything(keep=0.5)):
        out = model(**given)
        further = model(torch.full((2, 1), 7), past_key_values=out.past_key_values)
        (out.logits.sum() + further.logits.sum()).backward()
    got = model.model.layers[0].self_attn.k_proj.weight.grad.clone()
    model.zero_grad()
    out = model(**given)
    further = model(torch.full((2, 1), 7), past_key_values=out.past_key_values)
    (out.logits.sum() + further.logits.sum()).backward()
    expected = model.model.layers[0].self_attn.k_proj.weight.grad
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_inference_mode_and_back(llama):
    model, given = llama, text(20, padded=0)
    with attach(model, Everything(keep=0.5)):
        with torch.inference_mode():
            cache = model(**given).past_key_values
            model(torch.full((2, 1), 7), past_key_values=cache)
        got = model(torch.full((2, 1), 9), past_key_values=cache).logits
    ids = torch.cat([given["input_ids"], torch.tensor([[7, 9]] * 2)], 1)
    torch.testing.assert_close(got[:, -1], model(ids).logits[:, -1], atol=1e-5, rtol=1e-4)
