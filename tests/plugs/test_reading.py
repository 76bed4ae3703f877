"""What a selecting policy names is what is read, where it says: against loops and full models."""

import cmath
import math

import pytest
import torch

from tokenry.checks.models import tiny_decoder
from tokenry.errors import UsageError
from tokenry.method import CachePolicy, KVView, Read
from tokenry.plugs.attach import attach
from tokenry.plugs.reading import read


class Prescribed(CachePolicy):
    """Reads what it is told, and notes what it is shown."""

    unrotated = True
    chunk = 4

    def __init__(self, reads=(), keep=0.5):
        object.__setattr__(self, "keep", keep)
        self.__dict__.update(reads=list(reads), seen=[])

    def select(self, view):
        self.seen.append(view)
        return self.reads[len(self.seen) - 1]


class Everything(CachePolicy):
    """Reads all slots, in two reads, one of which stands where it stood."""

    unrotated = True
    chunk = 7

    def select(self, view):
        b, g, s = view.keys.shape[:3]
        slots = torch.arange(s).expand(b, g, -1)
        cut = s // 3
        own = view.positions[:, None, cut:].expand(-1, g, -1)
        return (Read(slots[..., :cut]), Read(slots[..., cut:], own, view.places))


class Moved(Everything):
    """The same, all of it three hundred positions on, which attention cannot tell."""

    def select(self, view):
        first, second = super().select(view)
        own = view.positions[:, None, : first.slots.shape[-1]]
        return (
            Read(first.slots, own + 300, view.places + 300),
            Read(second.slots, second.positions + 300, second.places + 300),
        )


class AtOnePlace(Everything):
    """All keys stand at one position, given once or for each key."""

    def __init__(self, each):
        super().__init__(keep=0.5)
        self.__dict__["each"] = each

    def select(self, view):
        slots = torch.arange(view.seen).expand(*view.keys.shape[:2], -1)
        place = torch.full_like(slots, 5) if self.each else torch.full((1, 1, 1), 5)
        return (Read(slots, place),)


def tensors(seed, b=2, h=4, g=2, s=9, t=3, e=8):
    source = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(b, g, s, e, generator=source).double() for _ in range(2))
    return keys, values, torch.randn(b, h, t, e, generator=source).double()


def view_of(keys, values, t, valid=None, positions=None):
    b, g, s, e = keys.shape
    every = torch.arange(s).expand(b, -1)
    positions = every if positions is None else positions
    return KVView(
        layer=0,
        depth=1,
        count=s,
        seen=s,
        keys=keys,
        values=values,
        tokens=every.unsqueeze(1).expand(-1, g, -1),
        size=None,
        valid=None if valid is None else valid.unsqueeze(1).expand(-1, g, -1),
        places=positions[:, -t:],
        scale=e**-0.5,
        memory={},
        shared={},
        asked={"positions": positions, "inv_freq": frequencies(e // 2)},
    )


def frequencies(f):
    return 1.0 / 100.0 ** (torch.arange(f).float() / f)


def turned(row, position):
    """A row as complex numbers, each turned by its angle."""
    f = len(row) // 2
    angles = [float(position) * float(w) for w in frequencies(f)]
    return [complex(row[i], row[i + f]) * cmath.exp(1j * angles[i]) for i in range(f)]


def renumbered(view, one, queries):
    """The same read with the numbers written out: real slots from 0, the query's own its place."""
    positions = torch.zeros_like(one.slots)
    places = torch.zeros(len(queries), queries.shape[2], dtype=torch.long)
    for i, g in torch.cartesian_prod(*map(torch.arange, one.slots.shape[:2])).tolist():
        number = 0
        for k, slot in enumerate(one.slots[i, g].tolist()):
            positions[i, g, k] = number
            token = slot - view.seen + queries.shape[2]
            if token >= 0:
                places[i, token] = number
            number += view.valid is None or bool(view.valid[i, g, slot])
    return Read(one.slots, positions, places)


def by_loops(view, reads, queries):
    """Each query over the slots it may read, with one softmax."""
    (b, h, t, _), g = queries.shape, view.keys.shape[1]
    out = torch.zeros(b, h, t, view.values.shape[-1], dtype=torch.float64)
    for i, head, row in torch.cartesian_prod(*map(torch.arange, (b, h, t))).tolist():
        key_head, token = head // (h // g), view.seen - t + row
        found = []
        for one in reads:
            place = (view.places if one.places is None else one.places)[i, row]
            q = turned(queries[i, head, row], place)
            for k, slot in enumerate(one.slots[i, key_head].tolist()):
                allowed = one.allow is None or one.allow.expand(b, g, -1, -1)[i, key_head, row, k]
                real = view.valid is None or view.valid[i, key_head, slot]
                if slot > token or not allowed or not real:
                    continue
                position = view.positions[i, slot]
                if one.positions is not None:
                    position = one.positions.expand(one.slots.shape)[i, key_head, k]
                key = turned(view.keys[i, key_head, slot], position)
                dot = sum((x * y.conjugate()).real for x, y in zip(q, key, strict=True))
                found.append((math.exp(dot * view.scale), view.values[i, key_head, slot]))
        total = sum(weight for weight, _ in found)
        out[i, head, row] = sum(weight * value for weight, value in found) / total
    return out


def slots_of(*heads):
    """Slots of two texts with two key heads each, written head by head."""
    return torch.tensor(heads).view(2, 2, -1)


A = slots_of([0, 2, 6], [1, 2, 8], [0, 7, 8], [3, 4, 5])
B = slots_of([3, 7], [4, 7], [1, 3], [0, 8])
ALLOW = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=torch.bool).view(1, 1, 3, 3)
READS = {
    "own places": [Read(A)],
    "other positions": [Read(A, A * 2 + 1)],
    "other places": [Read(A, A * 0 + 4, torch.tensor([[7, 8, 9], [1, 2, 30]]))],
    "one position": [Read(A, torch.full((1, 1, 1), 4), torch.tensor([[7, 8, 9], [1, 2, 30]]))],
    "positions for all heads": [Read(A, torch.tensor([[[1, 5, 9]], [[2, 2, 2]]]))],
    "allow": [Read(A, allow=ALLOW)],
    "two": [Read(A, torch.zeros(1, 1, 1, dtype=torch.long), torch.full((2, 3), 6)), Read(B)],
    "two, allowed apart": [Read(A, allow=ALLOW), Read(B, B + 3, torch.full((2, 3), 20))],
}


@pytest.mark.parametrize("reads", READS.values(), ids=READS)
def test_reads_equal_loops(reads):
    keys, values, queries = tensors(1)
    got, slots = read(Prescribed([reads]), view_of(keys, values, 3), queries, {})
    expected = by_loops(view_of(keys, values, 3), reads, queries)
    torch.testing.assert_close(got.transpose(1, 2), expected, atol=1e-6, rtol=1e-6)
    assert slots.tolist() == torch.cat([one.slots for one in reads], -1).tolist()


@pytest.mark.parametrize("name", ["own places", "two"])
def test_padding_is_not_read(name):
    """Left padding in one text, right padding in the other; what padding reads is of no account."""
    keys, values, queries = tensors(2)
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[0, :2] = False
    valid[1, 8:] = False
    positions = (valid.cumsum(1) - 1).clamp(min=0)
    view = view_of(keys, values, 3, valid, positions)
    got, _ = read(Prescribed([READS[name]]), view, queries, {})
    got = got.transpose(1, 2)
    expected = by_loops(view, READS[name], queries)
    torch.testing.assert_close(got[0], expected[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got[1, :, :2], expected[1, :, :2], atol=1e-6, rtol=1e-6)
    assert got.isfinite().all()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("t", [1, 3])
def test_packed_slots_are_numbered_anew(t, padded):
    keys, values, queries = tensors(6, t=t)
    slots = slots_of(*[[0, 2, 3, 6, 7, 8], [1, 2, 3, 6, 7, 8]] * 2)
    valid = None
    if padded:
        valid = torch.ones(2, 9, dtype=torch.bool)
        valid[0, :3] = False
        valid[1, 6:7] = False
    view = view_of(keys, values, t, valid)
    got, _ = read(Prescribed([[Read(slots, packed=True)]]), view, queries, {})
    expected = by_loops(view, [renumbered(view, Read(slots), queries)], queries)
    real = torch.ones(2, t, dtype=torch.bool) if valid is None else valid[:, -t:]
    got = got.transpose(1, 2).transpose(1, 2)[real]
    torch.testing.assert_close(got, expected.transpose(1, 2)[real], atol=1e-6, rtol=1e-6)


def test_one_query_over_all_it_may_read():
    """The short way that decoding takes, without a mask."""
    keys, values, queries = tensors(3, t=1)
    for name in ("own places", "other positions"):
        got, _ = read(Prescribed([READS[name]]), view_of(keys, values, 1), queries, {})
        expected = by_loops(view_of(keys, values, 1), READS[name], queries)
        torch.testing.assert_close(got.transpose(1, 2), expected, atol=1e-6, rtol=1e-6)


def test_each_chunk_sees_the_cache_as_it_was_then():
    """Ten queries in chunks of four behind two tokens: budgets, tokens, places, and the output."""
    keys, values, queries = tensors(4, s=12, t=10)
    view = view_of(keys, values, 10)
    reads = [[Read(torch.arange(n).expand(2, 2, -1))] for n in (6, 10, 12)]
    policy = Prescribed(reads)
    got, slots = read(policy, view, queries, {})
    assert [part.seen for part in policy.seen] == [6, 10, 12]
    # keep = 0.5 of 2, 6 and 10 tokens before, and the chunk
    assert [part.count for part in policy.seen] == [1 + 4, 3 + 4, 5 + 2]
    for part, start, stop in zip(policy.seen, (0, 4, 8), (4, 8, 10), strict=True):
        assert torch.equal(part.queries, queries[:, :, start:stop])
        assert torch.equal(part.keys, keys[:, :, : stop + 2])
        assert part.tokens.shape[-1] == part.positions.shape[-1] == stop + 2
        assert part.places[0].tolist() == list(range(start + 2, stop + 2))
    assert slots.shape[-1] == 12
    expected = by_loops(view, [Read(torch.arange(12).expand(2, 2, -1))], queries)
    torch.testing.assert_close(got.transpose(1, 2), expected, atol=1e-6, rtol=1e-6)


def test_least_is_left_of_what_came_before():
    class Least(Prescribed):
        least = 5

    keys, values, queries = tensors(5, s=12, t=4)
    policy = Least([[Read(torch.arange(12).expand(2, 2, -1))]], keep=0.1)
    read(policy, view_of(keys, values, 4), queries, {})
    assert policy.seen[0].count == 5 + 4


YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 256,
}
ARCHITECTURES = {
    **{name: (name, {}) for name in ("llama", "qwen3", "mistral", "phi3", "gemma")},
    "yarn": ("llama", {"rope_parameters": YARN}),
}


def decoder(name, **changes):
    family, own = ARCHITECTURES[name]
    return tiny_decoder(family, num_hidden_layers=3, **own, **changes)


def text(n=40, padded=13):
    ids = torch.randint(3, 61, (2, n), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :padded] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_reading_everything_is_full_attention(name, attention):
    """Prompt, further turns of one and of several tokens; placed as they were and moved."""
    model, given = decoder(name, attn_implementation=attention), text()
    expected = model(**given).logits
    real = given["attention_mask"].bool()
    for policy in (Everything(keep=0.5), Moved(keep=0.5)):
        with attach(model, policy):
            got, cache = [], None
            for start, stop in ((0, 20), (20, 21), (21, 22), (22, 40)):
                mask = given["attention_mask"][:, :stop]
                out = model(
                    given["input_ids"][:, start:stop],
                    attention_mask=mask,
                    position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, start:stop],
                    past_key_values=cache,
                )
                cache = out.past_key_values
                got.append(out.logits)
        # Unpadded positions differ from those that a model gives without being told, by a shift.
        torch.testing.assert_close(torch.cat(got, 1)[real], expected[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["greedy", "beams", "sampling", "chunks"])
@torch.no_grad()
def test_generate_is_the_untouched_models(kind):
    model, given = decoder("llama"), text()
    more = {
        "greedy": {},
        "beams": {"num_beams": 3},
        "sampling": {"do_sample": True},
        "chunks": {"prefill_chunk_size": 11},
    }[kind]
    more = {"do_sample": False, "max_new_tokens": 12, "pad_token_id": 0, **more}
    torch.manual_seed(3)
    expected = model.generate(**given, **more)
    with attach(model, Everything(keep=0.5)):
        torch.manual_seed(3)
        assert torch.equal(model.generate(**given, **more), expected)


@torch.no_grad()
def test_one_position_is_the_same_as_that_position_for_each():
    model, given = decoder("llama"), text()
    logits = []
    for each in (True, False):
        with attach(model, AtOnePlace(each)):
            logits.append(model(**given).logits)
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_too_short_a_text_is_refused():
    class Least(Everything):
        least = 30

    model, given = decoder("llama"), text()
    with attach(model, Least(keep=0.5)), pytest.raises(UsageError, match=r"20 slots.*needs 30"):
        model(**given)
    model(**given)
