"""What holds of every policy that selects, on a tiny model."""

import copy

import pytest
import torch

from tokenry.cache import ActQKV, TokenSelect
from tokenry.plugs.attach import attach

BLOCKS = {"sinks": 4, "local": 8, "block": 4, "members": 2, "chunk": 8}
POLICIES = [
    TokenSelect(keep=0.3, chunk=50, reuse=0.6),
    ActQKV(**BLOCKS, keep=0.4, history=4, sharpness=30.0),  # its layers share out unevenly
]


def by_slug(policy):
    return policy.card.slug


@pytest.mark.parametrize("policy", POLICIES, ids=by_slug)
@torch.no_grad()
def test_texts_of_a_batch_do_not_see_each_other(tiny_llama, policy):
    """Each alone gives what it gives beside the other, in a prompt of chunks and token by token."""
    model = copy.deepcopy(tiny_llama).double()  # in single precision near ties go either way
    ids = torch.randint(3, 61, (2, 112), generator=torch.Generator().manual_seed(4))

    def run(rows):
        with attach(model, policy):
            out = model(rows[:, :100])
            logits = [out.logits]
            for i in range(100, 112):
                step = model(rows[:, i : i + 1], past_key_values=out.past_key_values)
                logits.append(step.logits)
        return torch.cat(logits, 1)

    both = run(ids)
    for row in range(2):
        torch.testing.assert_close(run(ids[row : row + 1])[0], both[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "policy", [TokenSelect(keep=0.99999, chunk=32), ActQKV(**BLOCKS, keep=0.99999)], ids=by_slug
)
@torch.no_grad()
def test_everything_selected_is_full_attention(
    tiny_llama, padded_text, attention, policy, monkeypatch
):
    """A keep so near to 1 that all is read."""
    monkeypatch.setattr(tiny_llama.config, "_attn_implementation", attention)
    given = padded_text(150)
    real = given["attention_mask"].bool()
    expected = tiny_llama(**given).logits
    with attach(tiny_llama, policy) as attachment:
        got = tiny_llama(**given).logits
        assert attachment.trace.share == 1
    torch.testing.assert_close(got[real], expected[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [{}, {"num_beams": 3}, {"do_sample": True}])
@pytest.mark.parametrize(
    ("policy", "per_layer"),
    [
        # A quarter of 103, rounded, and the query's own.
        (TokenSelect(keep=0.25, chunk=64), {26 + 1}),
        # On average over the layers, to the part of a block that one of them rounds off.
        (ActQKV(**BLOCKS, keep=0.25), None),
    ],
    ids=["tokenselect", "actqkv"],
)
@torch.no_grad()
def test_generate_keeps_the_dial(tiny_llama, padded_text, kind, policy, per_layer):
    given = padded_text(100)
    more = {"do_sample": False, "max_new_tokens": 5, "pad_token_id": 0, **kind}
    with attach(tiny_llama, policy) as attachment:
        torch.manual_seed(0)
        first = tiny_llama.generate(**given, **more)
        torch.manual_seed(0)
        assert torch.equal(tiny_llama.generate(**given, **more), first)
        trace = attachment.trace
    assert trace.seen == 104
    assert trace.resident == (104,) * 3
    assert sum(trace.read) == pytest.approx(3 * 27, abs=2)
    assert per_layer is None or set(trace.read) == per_layer
    for tokens in trace.tokens:
        assert (tokens[:, :, 1:] > tokens[:, :, :-1]).all()
