"""What a selecting policy names is what is read, where it says: against loops and full models."""

import cmath
import math

import pytest
import torch
import transformers

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


ARCHITECTURES = {
    "llama": ("Llama", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "phi3": ("Phi3", {"sliding_window": None, "pad_token_id": 0}),
    "gemma": ("Gemma", {"head_dim": 16}),
    "yarn": (
        "Llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
    ),
}


def decoder(name, **changes):
    family, own = ARCHITECTURES[name]
    config = getattr(transformers, f"{family}Config")(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=None,
        bos_token_id=None,
        **{**own, **changes},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, f"{family}ForCausalLM")(config).eval()


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


@torch.no_grad()
def test_the_cache_grows_in_place_and_says_what_it_takes():
    """Most tokens are written where room is, and the room is at most one per cent."""
    model, given = decoder("llama"), text(400, padded=0)
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
def test_growing_in_place_leaves_copies_alone():
    """A copy of a cache, cut back and continued otherwise, does not change the first."""
    import copy

    model, given = decoder("llama"), text(60, padded=0)
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


def test_a_gradient_flows_through_what_is_read():
    model, given = decoder("llama"), text(20, padded=0)
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
def test_inference_mode_and_back():
    model, given = decoder("llama"), text(20, padded=0)
    with attach(model, Everything(keep=0.5)):
        with torch.inference_mode():
            cache = model(**given).past_key_values
            model(torch.full((2, 1), 7), past_key_values=cache)
        got = model(torch.full((2, 1), 9), past_key_values=cache).logits
    ids = torch.cat([given["input_ids"], torch.tensor([[7, 9]] * 2)], 1)
    torch.testing.assert_close(got[:, -1], model(ids).logits[:, -1], atol=1e-5, rtol=1e-4)
