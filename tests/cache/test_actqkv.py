"""Probe, blocks, budget and the two kinds of distance against loops; what the probe finds."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from tokenry.cache.actqkv import ActQKV
from tokenry.plugs.attach import attach

SMALL = {"sinks": 4, "local": 8, "block": 4, "members": 2, "chunk": 8}


def turned(rows, positions, frequencies):
    """Rows `(s, e)`, each turned by the angle of its position."""
    rows, f = np.asarray(rows, dtype=np.float64), len(frequencies)
    angle = np.asarray(positions)[:, None] * frequencies.double().numpy()
    a, b = rows[:, :f], rows[:, f:]
    return np.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], 1
    )


class Oracle:
    """One text of one layer, chunk by chunk, in float64, token by token."""

    def __init__(self, keys, queries, method, frequencies, budget):
        self.keys, self.queries = keys.double().numpy(), queries.double().numpy()
        self.method, self.frequencies, self.budget = method, frequencies, budget
        self.g, self.h = len(keys), len(queries)
        self.mass = np.zeros(keys.shape[:2])
        self.blocks, self.chunks = [], []

    def chunk(self, past, stop, count):
        """Slots read far, and first slot of the window, after the chunk `past` to `stop`."""
        m = self.method
        self.attend(past, stop)
        room = m.edge * (count - (stop - past)) / (m.sinks + m.local)
        window = 1 + min(m.local - 1, math.floor(room * m.local))
        sinks = min(math.ceil(m.sinks / m.block), max(1, math.floor(room * m.sinks) // m.block))
        far = max(0, past - window + 1) // m.block
        while len(self.blocks) < far:
            self.blocks.append(self.represent(len(self.blocks)))
        probe = self.probe(past, stop)
        if count >= stop:
            return None
        score = [
            probe @ long / (np.linalg.norm(probe) * np.linalg.norm(long))
            for long in self.blocks[:far]
        ]
        mean = (count - stop) / m.block + far - sinks
        free = list(range(sinks, far))
        granted = self.budget(mean, len(free))
        best = sorted(free, key=lambda n: -score[n])[:granted]
        chosen = sorted([*range(sinks), *best])
        slots = [s for n in chosen for s in range(n * m.block, (n + 1) * m.block)]
        return slots + list(range(far * m.block, stop - window)), window

    def attend(self, past, stop):
        """Attention inside the full window, added up by key head."""
        where = range(stop)
        for head in range(self.h):
            g = head // (self.h // self.g)
            keys = turned(self.keys[g, :stop], where, self.frequencies)
            rows = turned(self.queries[head, past:stop], range(past, stop), self.frequencies)
            for i, row in enumerate(rows):
                seen = [s for s in where if 0 <= past + i - s < self.method.local]
                weight = np.exp(keys[seen] @ row * row.size**-0.5)
                self.mass[g, seen] += weight / weight.sum()

    def represent(self, n):
        """Mean keys of the foremost slots, repeated for the query heads."""
        slots = np.arange(n * self.method.block, (n + 1) * self.method.block)
        means = []
        for g in range(self.g):
            best = slots[np.argsort(-self.mass[g, slots])[: self.method.members]]
            means.append(self.keys[g, best].mean(0))
        return np.concatenate([means[h // (self.h // self.g)] for h in range(self.h)])

    def probe(self, past, stop):
        t = stop - past
        rows = np.stack(
            [turned(q[past:stop], [self.method.local] * t, self.frequencies) for q in self.queries]
        )
        rows = rows.transpose(1, 0, 2).reshape(t, -1)
        weight = np.ones(t)
        if len(self.chunks) >= self.method.warmup:
            mean, variance = self.moments()
            weight = ((rows - mean) ** 2 / (variance + variance.mean() / 100)).mean(1)
        self.chunks.append(rows)
        return weight @ rows / weight.sum()

    def moments(self):
        """The formula over all chunks so far."""
        first = self.chunks[0]
        mean, variance = first.mean(0), first.var(0) * len(first) / (len(first) - 1)
        for n, rows in enumerate(self.chunks[1:], 1):
            t, m, v = len(rows), rows.mean(0), rows.var(0)
            variance = (variance * (n - 1 / t) + v + (m - mean) ** 2 / (1 + 1 / n)) / (
                n + 1 - 1 / t
            )
            mean = (mean * n + m) / (n + 1)
        return mean, variance


def steps(s, prompt, chunk):
    """Chunks of a prompt, then single tokens."""
    edges = [*range(0, prompt, chunk), *range(prompt, s + 1)]
    return list(itertools.pairwise(edges))


@pytest.mark.parametrize("warmup", [1, 3, 1000])
def test_what_is_read_equals_loops(look, heads, frequencies, warmup):
    """A prompt in chunks, then tokens, of one layer: each set, and the memory behind it."""
    keys, queries = heads(1, 72, 72)
    method = ActQKV(**SMALL, warmup=warmup)
    oracles = [
        Oracle(k, q, method, frequencies, lambda mean, free: min(free, round(mean)))
        for k, q in zip(keys, queries, strict=True)
    ]
    memory, shared, compared = {}, {}, 0
    for past, stop in steps(72, 64, 8):
        count = min(stop, max(round(past * 0.5), method.least) + stop - past)
        view = look(keys[:, :, :stop], queries[:, :, past:stop], count, None, memory, shared)
        reads = method.select(view)
        for text, oracle in enumerate(oracles):
            expected = oracle.chunk(past, stop, count)
            if expected is None:
                assert reads[0].slots[text].tolist() == [list(range(stop))] * 3
                continue
            far, near = reads
            slots, window = expected
            assert far.slots[text].tolist() == [slots] * 3
            assert far.positions.tolist() == [[[0]]]
            assert (far.places == 8).all()
            assert near.slots[text, 0].tolist() == list(range(past - window + 1, stop))
            compared += 1
            if stop - past == 1:
                assert near.allow is None
                assert far.allow is None
                continue
            for i in range(stop - past):
                inside = near.slots[text, 0][near.allow[text, 0, i]].tolist()
                outside = far.slots[text, 0][far.allow[text, 0, i]].tolist()
                # What a query of the chunk is too late for in the window it reads far away.
                assert [s for s in inside if s <= past + i] == list(
                    range(past + i - window + 1, past + i + 1)
                )
                assert outside == [s for s in slots if s <= past + i - window]
    assert compared > 20


def test_paper_sizes_at_full_length():
    """With room enough: two blocks of sinks, a window of 512; short texts get their share."""
    assert ActQKV()._always(2048) == (512, 2)
    assert ActQKV()._always(200) == (1 + 88, 1)
    assert ActQKV(sinks=0)._always(2048) == (512, 0)
    assert ActQKV().least == 128


def test_like_queries_weigh_the_same(look, heads):
    """Then the probe is the mean, here the query itself."""
    keys, queries = heads(2, 64, 8, b=1)
    same = queries[:, :, :1].expand(-1, -1, 8, -1)
    method, memory = ActQKV(**SMALL), {}
    for stop in (16, 24):
        view = look(keys[:, :, :stop], same, stop, None, memory)
        probe = method._probe(view)
        mean = ActQKV(**SMALL, warmup=1000)._probe(look(keys[:, :, :stop], same, stop))
        torch.testing.assert_close(probe, mean)


def test_one_that_stands_out_weighs_most(look, heads, frequencies):
    """The probe turns to it; with equal weights it would hardly."""
    keys, queries = heads(3, 64, 16, b=1)
    outlier = queries.clone()
    outlier[:, :, 11] += 8.0

    def after(warmup):
        memory, method = {}, ActQKV(**{**SMALL, "warmup": warmup})
        method._probe(look(keys[:, :, :16], queries, 16, None, memory))
        return method._probe(look(keys[:, :, :32], outlier, 32, None, memory)).flatten()

    long = torch.cat(
        [
            torch.as_tensor(turned(row[None], [8], frequencies)[0]).float()
            for row in outlier[0, :, 11]
        ]
    )
    weighted, mean = (torch.cosine_similarity(after(w), long, dim=0) for w in (1, 1000))
    assert weighted > 0.95
    assert mean < weighted - 0.1


class Layers:
    """The share-out of blocks alone: each layer's scores, pass by pass."""

    def __init__(self, look, heads, method, depth):
        self.look, self.method, self.depth = look, method, depth
        self.tensors = heads(4, 9, 1, b=1)
        self.memories, self.shared = [{} for _ in range(depth)], {}

    def one_pass(self, scores, mean):
        taken = []
        for layer, score in enumerate(scores):
            view = self.look(
                *self.tensors, 9, None, self.memories[layer], self.shared, layer, self.depth
            )
            score = torch.as_tensor(score).float()[None]
            free = torch.ones_like(score, dtype=torch.bool)
            taken.append(int(self.method._granted(view, score, free, float(mean))))
        return taken


FLAT, PEAKED = np.full(400, 0.5), np.eye(400)[0]


def test_blocks_of_all_layers_add_up(look, heads):
    """Nothing clamped: what `mean` layers may read together, before and after the warm-up."""
    layers = Layers(look, heads, ActQKV(history=3, sharpness=20.0), 6)
    rng = np.random.default_rng(0)
    for step in range(10):
        scores = rng.normal(size=(6, 400)) * np.linspace(0.05, 0.1, 6)[:, None]
        for mean in (46, 45.5, 10.3):
            taken = layers.one_pass(scores, mean)
            assert sum(taken) == round(6 * mean)
            if step == 0:
                assert max(taken) - min(taken) <= 1


def test_flat_scores_get_more_blocks(look, heads):
    layers = Layers(look, heads, ActQKV(history=2, sharpness=6.0), 4)
    for _ in range(3):
        taken = layers.one_pass([PEAKED, FLAT, PEAKED, FLAT], 40)
    assert taken[1] > taken[0]
    assert taken[3] > taken[2]
    assert sum(taken) == 160


def test_a_layer_gets_at_most_twice_and_at_least_two_thirds(look, heads):
    """The released cap and floor, as shares of the mean."""
    layers = Layers(look, heads, ActQKV(history=1, sharpness=500.0), 8)
    for _ in range(3):
        taken = layers.one_pass([FLAT] + [PEAKED] * 7, 46)
    assert taken[0] == 92
    assert min(taken) >= 32


def test_entropy_counts_only_after_its_history(look, heads):
    layers = Layers(look, heads, ActQKV(history=5, sharpness=6.0), 2)
    taken = [layers.one_pass([PEAKED, FLAT], 40) for _ in range(7)]
    assert taken[:4] == [[40, 40]] * 4
    assert taken[6][1] > taken[6][0]


def test_fewer_blocks_than_granted(look, heads):
    layers = Layers(look, heads, ActQKV(), 2)
    assert layers.one_pass([FLAT[:5], FLAT[:5]], 46) == [5, 5]


def test_blocks_of_padding_are_never_read(look, heads):
    keys, queries = heads(7, 64, 4)
    valid = torch.ones(2, 64, dtype=torch.bool)
    valid[0, :22] = False
    method = ActQKV(**SMALL)
    memory, shared = {}, {}
    method.select(look(keys[:, :, :60], heads(8, 60, 60)[1], 60, valid[:, :60], memory, shared))
    far, _ = method.select(look(keys, queries, 44, valid, memory, shared))
    allowed = far.allow[0, 0, -1]
    assert allowed.any()
    assert {s // 4 for s in far.slots[0, 0][allowed].tolist()} <= set(range(5, 16))
    # Its sinks are the first block with a token in it.
    assert {20, 21, 22, 23} <= set(far.slots[0, 0][allowed].tolist())
    assert {0, 1, 2, 3} <= set(far.slots[1, 0].tolist())


def fetched(look, frequencies, warmup, seed):
    """Whether the block that one query of 256 asks for is among the fetched ones.

    Queries and keys are noise; the last query is three times as long, and the keys of one
    block lie in its direction.
    """
    source = torch.Generator().manual_seed(seed)
    keys = torch.randn(1, 3, 1600, 8, generator=source)
    queries = torch.randn(1, 6, 512, 8, generator=source)
    telling = 3 * torch.randn(3, 8, generator=source)
    queries[0, :, -1] = telling.repeat_interleave(2, 0)
    gold = 10 + seed % 20
    place = [16] * 3
    keys[0, :, gold * 32 : gold * 32 + 32] += torch.as_tensor(
        turned(telling, place, frequencies), dtype=torch.float32
    ).unsqueeze(1)
    method = ActQKV(sinks=32, local=16, warmup=warmup, edge=0.1)
    memory, shared = {"mass": torch.rand(1, 3, 1088, generator=source)}, {}
    for stop in (1344, 1600):
        chunk = queries[:, :, stop - 1344 : stop - 1088]
        view = look(keys[:, :, :stop], chunk, 256 + 140, None, memory, shared)
        far, _ = method.select(view)
    return gold * 32 in far.slots[0, 0].tolist()


def test_claim_probe_fetches_what_one_query_asks_for(look, frequencies):
    """Filler and one telling query: the weighted probe finds its block far more often."""
    found = [
        np.mean([fetched(look, frequencies, warmup, seed) for seed in range(20)])
        for warmup in (1, 1000)
    ]
    print(f"weighted {found[0]:.3f}, mean {found[1]:.3f}")
    assert found[0] > found[1] + 0.3


@pytest.mark.slow
@torch.no_grad()
def test_on_real_text_the_probe_reads_more_of_the_needle(haystack):
    """A question behind filler, in one chunk: the share of the needle's slots that is read."""
    shares = []
    for which in range(4):
        text, where, question, _ = haystack.hide(1200, which)
        chunk = haystack.straw[-5000 - 300 * which :][: 256 - len(question)] + question
        with attach(haystack.model, ActQKV(keep=0.2)):
            filled = haystack.model(torch.tensor([text]), logits_to_keep=1).past_key_values
        for warmup in (1, 1000):
            with attach(haystack.model, ActQKV(keep=0.2, warmup=warmup)) as attachment:
                cache = copy.deepcopy(filled)
                haystack.model(torch.tensor([chunk]), past_key_values=cache, logits_to_keep=1)
            read = [set(tokens[0, 0].tolist()) for tokens in attachment.trace.tokens]
            shares.append(np.mean([len(tokens & set(where)) / len(where) for tokens in read]))
    weighted, mean = shares[::2], shares[1::2]
    print(f"weighted {np.mean(weighted):.3f}, mean {np.mean(mean):.3f}")
    assert np.mean(weighted) > np.mean(mean)
