"""The vote, the set and its numbering against loops; what the cache of votes changes."""

import math

import numpy as np
import pytest
import torch
import transformers

from tokenry.cache.streaming_llm import StreamingLLM
from tokenry.cache.tokenselect import TokenSelect
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.attach import attach


def turned(row, position, frequencies):
    """One row, its channel pairs turned by the angle of a position."""
    row, f, out = row.double().numpy(), len(frequencies), np.zeros(len(row))
    for i, w in enumerate(frequencies.tolist()):
        cos, sin = math.cos(position * w), math.sin(position * w)
        out[i] = row[i] * cos - row[i + f] * sin
        out[i + f] = row[i + f] * cos + row[i] * sin
    return out


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def vote_by_loops(keys, queries, between, local, frequencies, key_head):
    """One text: what each slot of `between` gets from all heads."""
    vote = np.zeros(len(between))
    for head, rows in enumerate(queries):
        turn = [turned(row, local + i, frequencies) for i, row in enumerate(rows)]
        probe = np.mean(turn, 0)
        vote += softmax(
            np.array([probe @ keys[key_head(head)][j].double().numpy() for j in between])
        )
    return vote


def edges(past, t, method):
    """Sinks and window as the docstring and the card say."""
    both = method.edge * past
    whole = method.sinks + method.local
    sinks = min(method.sinks, math.ceil(both * method.sinks / whole))
    window = t + min(max(0, method.local - t), math.floor(both * method.local / whole))
    return sinks, window


def set_by_loops(keys, queries, real, count, method, frequencies, key_head):
    """One text without its padding: the slots that are read, as numbers among the real ones."""
    t, s = queries.shape[1], len(real)
    sinks, window = edges(count - t, t, method)
    between = list(range(sinks, s - window))
    vote = vote_by_loops(keys[:, real], queries, between, method.local, frequencies, key_head)
    best = sorted(range(len(between)), key=lambda i: -vote[i])[: count - sinks - window]
    chosen = {*range(sinks), *(between[i] for i in best), *range(s - window, s)}
    return sorted(real[i] for i in chosen)


@pytest.mark.parametrize("t", [1, 5])
@pytest.mark.parametrize("edge", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("sinks", "local"), [(128, 512), (4, 8), (0, 3)])
def test_the_set_equals_loops(look, heads, frequencies, sinks, local, edge, t):
    keys, queries = heads(sinks + t, 60, t)
    method = TokenSelect(sinks=sinks, local=local, edge=edge)
    (one,) = method.select(look(keys, queries, 24))
    for text in range(2):
        expected = set_by_loops(
            keys[text], queries[text], list(range(60)), 24, method, frequencies, lambda h: h // 2
        )
        assert one.slots[text].tolist() == [expected] * 3
    assert one.packed


def test_paper_sizes_at_full_length():
    """With room enough: 128 sinks, a window of 512 with the chunk in it, all else voted."""
    method = TokenSelect()
    assert method._always(2687, 1) == (128, 512)
    assert method._always(2176, 512) == (128, 512)
    assert method._always(100, 1) == (10, 41)
    assert method._always(2, 1) == (1, 1)


def test_released_heads(look, heads, frequencies):
    """Head i with key head i mod g."""
    keys, queries = heads(3, 60)
    for released, key_head in ((False, lambda h: h // 2), (True, lambda h: h % 3)):
        method = TokenSelect(released=released)
        (one,) = method.select(look(keys, queries, 20))
        expected = set_by_loops(
            keys[0], queries[0], list(range(60)), 20, method, frequencies, key_head
        )
        assert one.slots[0, 0].tolist() == expected


def test_padding_is_left_out(look, heads, frequencies):
    """The same text with padding before it, or behind it, is read in the same places."""
    keys, queries = heads(5, 70, 3)
    valid = torch.ones(2, 70, dtype=torch.bool)
    valid[0, :10] = False
    valid[1, 30:36] = False
    (one,) = TokenSelect().select(look(keys, queries, 30, valid))
    for text in range(2):
        real = valid[text].nonzero().flatten().tolist()
        expected = set_by_loops(
            keys[text], queries[text], real, 30, TokenSelect(), frequencies, lambda h: h // 2
        )
        assert one.slots[text, 0].tolist() == expected


def test_a_text_of_little_but_padding(look, heads):
    """Fewer tokens than are read: all of them, and no slot twice."""
    keys, queries = heads(6, 50, 2)
    valid = torch.ones(2, 50, dtype=torch.bool)
    valid[0, :45] = False
    (one,) = TokenSelect().select(look(keys, queries, 20, valid))
    assert set(range(45, 50)) <= set(one.slots[0, 0].tolist())
    assert len(set(one.slots[0, 0].tolist())) == 20


def test_each_head_has_one_vote(look, heads):
    """A head with huge logits does not outvote the others; in a sum of logits it would."""
    keys, queries = heads(7, 60, 1, b=1, h=3, g=3)
    queries = torch.zeros_like(queries)
    keys = keys * 0.01
    method, size = TokenSelect(edge=0.0, local=1), 3
    favourites = {0: list(range(10, 30)), 1: [40], 2: [50]}
    # Channel 0 turns with the position; asking along channel 3 it hardly does.
    queries[0, :, 0, 3] = torch.tensor([1000.0, 10.0, 10.0])
    for head, slots in favourites.items():
        keys[0, head, slots, 3] = 1.0
    (one,) = method.select(look(keys, queries, size + 1))
    assert {40, 50} <= set(one.slots[0, 0].tolist())
    summed = torch.einsum("he,hse->s", queries[0, :, 0], keys[0])[:-1]
    assert set(summed.topk(size).indices.tolist()) < set(favourites[0])


def test_neighbours_share_the_highest_vote(look, heads):
    keys, queries = heads(8, 60, 1, b=1)
    alone = TokenSelect(edge=0.0).select(look(keys, queries, 6))[0].slots[0, 0, :-1]
    pooled = TokenSelect(edge=0.0, pool=3).select(look(keys, queries, 6))[0].slots[0, 0, :-1]
    view = look(keys, queries, 6)
    vote = TokenSelect()._count(keys, TokenSelect()._probe(view), 0, 1, None)[0]
    spread = [max(vote[max(0, i - 1) : i + 2].tolist()) for i in range(59)]
    assert sorted(spread[i] for i in pooled) == sorted(sorted(spread)[-5:])
    assert set(alone.tolist()) != set(pooled.tolist())


class Decoding:
    """Tokens one by one into one view's memory, and the sets that were read."""

    def __init__(self, look, keys, method):
        self.look, self.keys, self.method, self.memory = look, keys, method, {}

    def step(self, s, query, count=20, valid=None):
        view = self.look(self.keys[:, :, :s], query, count, valid, self.memory)
        (one,) = self.method.select(view)
        return one.slots[:, 0]


def test_alike_queries_read_what_was_voted_for(look, heads):
    """Cosine 1: the old set, with a fresh window; below the threshold: a new vote."""
    keys, queries = heads(9, 64)
    method = TokenSelect(local=3)
    fresh = Decoding(look, keys, TokenSelect(local=3, reuse=1.5))
    other = heads(10, 64)[1]
    run = Decoding(look, keys, method)
    a = run.step(60, queries)
    assert torch.equal(a, fresh.step(60, queries))
    b = run.step(61, 2.0 * queries)
    sinks, window = edges(19, 1, method)
    assert torch.equal(b[:, : 20 - window], a[:, : 20 - window])
    assert b[:, -window:].tolist() == [list(range(61 - window, 61))] * 2
    # One of the two texts asks for something else: only that one votes again.
    mixed = torch.stack([queries[0], other[1]])
    c = run.step(62, mixed)
    assert torch.equal(c[0, : 20 - window], a[0, : 20 - window])
    assert torch.equal(c[1], fresh.step(62, mixed)[1])
    assert not torch.equal(c[1, : 20 - window], a[1, : 20 - window])
    # The set follows the budget.
    d = run.step(63, mixed, count=23)
    assert d.shape[1] == 23
    assert sinks
    assert set(a[0, : 20 - window].tolist()) <= set(d[0].tolist())


def test_a_cache_cut_back_votes_anew(look, heads):
    keys, queries = heads(11, 64)
    run = Decoding(look, keys, TokenSelect())
    run.step(60, queries)
    assert torch.equal(run.step(55, queries), Decoding(look, keys, TokenSelect()).step(55, queries))


def test_no_reuse_is_a_threshold_above_one(look, heads):
    """With the very same query again, threshold 1.1 votes anew each time."""
    keys, queries = heads(12, 64)
    run = Decoding(look, keys, TokenSelect(reuse=1.1))
    for s in range(50, 60):
        alone = TokenSelect(reuse=2.0).select(look(keys[:, :, :s], queries, 20))[0]
        assert torch.equal(run.step(s, queries), alone.slots[:, 0])


@torch.no_grad()
def test_reuse_moves_the_output_little(tiny_llama):
    """A threshold of 0.9 on real steps: some votes count again, and the output stays near.

    With weights as at the start of a training: sharp random attention knows no queries that are
    alike and ask for the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = type(tiny_llama)(tiny_llama.config).eval()
    ids = torch.randint(3, 61, (1, 160), generator=torch.Generator().manual_seed(5))
    ids[:, 110:] = ids[:, 110:111]  # a token again and again asks for much the same

    def run(reuse):
        probes, logits = [], []
        with attach(model, TokenSelect(keep=0.4, chunk=50, reuse=reuse)):
            out = model(ids[:, :110])
            for i in range(110, 160):
                step = model(ids[:, i : i + 1], past_key_values=out.past_key_values)
                logits.append(step.logits)
                probes += [x.memory.get("unit", torch.rand(1)) for x in out.past_key_values.layers]
        again = [torch.equal(a, b) for a, b in zip(probes, probes[3:], strict=False)]
        return torch.cat(logits, 1), sum(again) / len(again)

    often, rate = run(0.9)
    never, none = run(1.5)
    full = model(ids).logits[:, 110:]
    assert rate > 0
    assert none == 0
    assert (often - never).abs().max() < 0.2 * full.abs().max()


@torch.no_grad()
def test_own_positions_leave_everything_where_it_was(look, heads):
    keys, queries = heads(13, 60)
    (one,) = TokenSelect(positions="own").select(look(keys, queries, 20))
    (packed,) = TokenSelect().select(look(keys, queries, 20))
    assert packed.packed
    assert not one.packed
    assert torch.equal(one.slots, packed.slots)


@torch.no_grad()
def test_too_little_is_refused(tiny_llama):
    ids = torch.randint(3, 61, (1, 40))
    with attach(tiny_llama, TokenSelect(keep=0.02)), pytest.raises(UsageError, match="needs 2"):
        tiny_llama(ids)


def test_what_has_no_rotation_is_refused():
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=9, n_positions=16)
    model = transformers.GPT2LMHeadModel(config)
    with pytest.raises(UnsupportedModelError, match="does not rotate"):
        attach(model, TokenSelect(keep=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("length", [1000, 2000])
def test_claim_finds_what_a_window_has_lost(haystack, length):
    """Four-digit numbers in pages of documentation, a quarter of the slots for both."""
    found = sum(haystack.finds(TokenSelect(keep=0.25), length, i) for i in range(6))
    window, left = 0, 6
    while window + left > found - 3 and left:  # until those that are left cannot matter
        left -= 1
        window += haystack.finds(StreamingLLM(keep=0.25), length, left)
    print(f"{length} tokens, of 6: TokenSelect {found}, StreamingLLM {window} to {window + left}")
    assert found >= window + left + 3
