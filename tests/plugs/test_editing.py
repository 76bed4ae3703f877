"""An edited cache against full runs, against the steps by hand, and against wrong use."""

import cmath
import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from tokenry.ops.edits import Edit, spliced
from tokenry.ops.rope import rotate
from tokenry.plugs.editing import EditableCache

BASE = {"rope_theta": 10_000.0}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {
    "gemma": ("Gemma", {}),
    "llama": ("Llama", {}),
    "llama linear": ("Llama", {"rope_parameters": BASE | {"rope_type": "linear", "factor": 4.0}}),
    "llama3": ("Llama", {"rope_parameters": BASE | LLAMA3 | {"rope_type": "llama3", "factor": 4}}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "phi3": ("Phi3", {}),
    "phi3 partial": (
        "Phi3",
        {"rope_parameters": BASE | {"rope_type": "default", "partial_rotary_factor": 0.5}},
    ),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "qwen3 yarn": ("Qwen3", {"rope_parameters": BASE | YARN | {"rope_type": "yarn"}}),
}


def text(n=40, seed=0):
    return torch.randint(0, 97, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


@torch.no_grad()
def run(model, ids):
    """Keys and values of every layer, and the last scores, in one plain pass."""
    out = model(torch.tensor([list(ids)]), past_key_values=DynamicCache(config=model.config))
    layers = out.past_key_values.layers
    return [x.keys for x in layers], [x.values for x in layers], out.logits[0, -1]


def held(cache):
    past = cache.past()
    return [x.keys for x in past.layers], [x.values for x in past.layers], cache.logits()


def assert_same(got, expected, atol=1e-5):
    for a, b in zip(
        got[0] + got[1] + [got[2]], expected[0] + expected[1] + [expected[2]], strict=1
    ):
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-5)


# --- exactness --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
def test_first_layer_is_exact_and_deeper_ones_closer_than_without_rotation(kind, causal):
    family, changes = MODELS[kind]
    model = causal(family, **changes)
    errors = {}
    for strategy in ("pie", "reuse"):
        cache = EditableCache(model, None, text(), strategy=strategy)
        plan = cache.edit(10, 12, [1, 2, 3, 4, 5])
        assert plan.encoded == 6
        expected = run(model, cache.ids)[0]
        pairs = zip(held(cache)[0], expected, strict=True)
        errors[strategy] = [(a - b).norm().item() / b.norm().item() for a, b in pairs]
    assert errors["pie"][0] < 1e-6
    assert errors["reuse"][0] > 1e-2
    assert all(a < b for a, b in zip(errors["pie"], errors["reuse"], strict=True)), errors


def test_eager_attention_gives_the_same(causal):
    edits = [Edit(5, 9, (1, 2)), Edit(20, 20, (4, 5, 6))]
    caches = [EditableCache(causal("Llama"), None, text()) for _ in range(2)]
    caches[1]._model.set_attn_implementation("eager")
    for cache in caches:
        cache.apply(*edits)
    assert_same(held(caches[1]), held(caches[0]))


def test_yarn_case_has_a_scaling_that_could_be_applied_twice(causal):
    family, changes = MODELS["qwen3 yarn"]
    assert causal(family, **changes).model.rotary_emb.attention_scaling > 1.1


@pytest.mark.parametrize("strategy", ["pie", "reuse"])
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda ids: (10, 15, ids[10:15]), id="same tokens"),
        pytest.param(lambda ids: (40, 40, [3, 4, 5]), id="append"),
        pytest.param(lambda ids: (35, 40, [3, 4, 5, 6, 7]), id="last span, same length"),
        pytest.param(lambda ids: (35, 40, [3, 4]), id="last span, shorter"),
        pytest.param(lambda ids: (30, 40, []), id="cut the end"),
        pytest.param(lambda ids: (0, 40, [9, 8, 7]), id="replace all"),
    ],
)
def test_edits_that_leave_no_stale_token_equal_full_recomputation(llama, edit, strategy):
    ids = text()
    cache = EditableCache(llama, None, ids, strategy=strategy)
    start, stop, new = edit(ids)
    cache.edit(start, stop, new)
    assert cache.ids == (*ids[:start], *new, *ids[stop:])
    assert_same(held(cache), run(llama, cache.ids))


@pytest.mark.parametrize("strategy", ["suffix", "recompute"])
def test_encoding_the_suffix_equals_full_recomputation(llama, strategy):
    cache = EditableCache(llama, None, text(), strategy=strategy)
    cache.apply(Edit(5, 9, (1,)), Edit(20, 20, (4, 5, 6)), Edit(30, 33))
    cache.edit(2, 3, [8, 8])
    assert_same(held(cache), run(llama, cache.ids))


def by_hand(model, ids, edits):
    """The paper's steps with a plain cache: cut, encode, turn by complex numbers, join."""
    theta = model.model.rotary_emb.inv_freq.double()
    keys, values, _ = run(model, ids)
    ids, moved = list(ids), 0
    for edit in edits:
        start, stop = edit.start + moved, edit.stop + moved
        left = DynamicCache(
            [(k[:, :, :start], v[:, :, :start]) for k, v in zip(keys, values, strict=True)]
        )
        with torch.no_grad():
            model(torch.tensor([edit.new]), past_key_values=left)
        delta = len(edit.new) - (stop - start)
        turn = torch.tensor([cmath.exp(1j * delta * t) for t in theta.tolist()])
        for i, layer in enumerate(left.layers):
            rest = keys[i][:, :, stop:]
            half = rest.shape[-1] // 2
            pairs = torch.complex(rest[..., :half].double(), rest[..., half:].double()) * turn
            rest = torch.cat([pairs.real, pairs.imag], -1).to(rest.dtype)
            keys[i] = torch.cat([layer.keys, rest], 2)
            values[i] = torch.cat([layer.values, values[i][:, :, stop:]], 2)
        ids[start:stop] = edit.new
        moved += delta
    past = DynamicCache([(k[:, :, :-1], v[:, :, :-1]) for k, v in zip(keys, values, strict=True)])
    with torch.no_grad():
        logits = model(torch.tensor([ids[-1:]]), past_key_values=past).logits[0, -1]
    return [x.keys for x in past.layers], [x.values for x in past.layers], logits


def test_several_edits_equal_the_steps_by_hand(causal):
    model = causal("Qwen2").double()
    edits = [Edit(5, 9, (1,)), Edit(20, 20, (4, 5, 6)), Edit(30, 33, (7, 7, 7, 7, 7))]
    cache = EditableCache(model, None, text())
    cache.apply(*edits)
    assert_same(held(cache), by_hand(model, text(), edits), atol=1e-5)
    assert cache.ids == spliced(text(), edits)


def test_edits_at_once_equal_edits_one_after_the_other(llama):
    at_once = EditableCache(llama, None, text())
    at_once.apply(Edit(5, 9, (1,)), Edit(20, 20, (4, 5, 6)))
    in_turn = EditableCache(llama, None, text())
    in_turn.edit(5, 9, [1])
    in_turn.edit(17, 17, [4, 5, 6])
    assert_same(held(in_turn), held(at_once))


def test_delete_and_insert_again_gives_the_keys_back(llama):
    cache = EditableCache(llama, None, text())
    before = held(cache)
    cache.edit(10, 16)
    cache.edit(10, 10, text()[10:16])
    assert_same(held(cache), before)
    for a, b in zip(held(cache)[0], before[0], strict=True):
        assert torch.equal(a[:, :, 16:-1], b[:, :, 16:-1])


def test_a_hundred_edits_in_bfloat16_do_not_drift(causal):
    """The suffix is turned once from what was encoded, so its error is one rounding."""
    model = causal("Llama").bfloat16()
    model.model.rotary_emb = copy.deepcopy(causal("Llama").model.rotary_emb)  # float32, as loaded
    cache = EditableCache(model, None, text(60))
    first, chained, shift = held(cache)[0], held(cache)[0], 0
    theta = model.model.rotary_emb.inv_freq
    for i in range(100):
        taken, given = i % 3, (7 * i) % 4
        taken = min(taken, len(cache) - 45)
        cache.edit(5, 5 + taken, text(given, i))
        step = torch.full((39,), given - taken)
        chained = [rotate(k[:, :, -40:-1] if i else k[:, :, 20:59], step, theta) for k in chained]
        chained = [torch.cat([k, k[:, :, :1]], 2) for k in chained]
        shift += given - taken
    assert shift > 30
    for layer, now in enumerate(held(cache)[0]):
        ideal = rotate(first[layer][:, :, 20:59].double(), torch.full((39,), shift), theta)
        error = (now[:, :, -40:-1] - ideal).abs().max() / ideal.abs().max()
        drift = (chained[layer][:, :, -40:-1] - ideal).abs().max() / ideal.abs().max()
        assert error <= 2**-8  # half a unit in the last place of eight bits
        assert drift > 4 * error


def test_refresh_forgets_what_was_deleted(llama):
    cache = EditableCache(llama, None, text())
    cache.edit(3, 20)
    expected = run(llama, cache.ids)
    assert (cache.logits() - expected[2]).abs().max() > 1e-3
    cache.refresh()
    assert_same(held(cache), expected)


# --- cost -------------------------------------------------------------------------------------


def operations(model, n, m):
    cache = EditableCache(model, None, text(n))
    with FlopCounterMode(display=False) as counter:
        cache.edit(n // 2, n // 2, text(m))
    counts = counter.get_flop_counts()["Global"]
    return sum(counts.values()), sum(v for k, v in counts.items() if "mm" in str(k))


def test_operations_grow_with_the_edit_not_the_text(llama):
    _, one = operations(llama, 64, 1)
    _, nine = operations(llama, 64, 9)
    _, seventeen = operations(llama, 64, 17)
    assert seventeen - nine == nine - one > 0
    assert operations(llama, 256, 9)[1] == nine
    recomputed = operations_of_a_run(llama, 256 + 9)
    assert operations(llama, 256, 9)[0] < 0.1 * recomputed


def operations_of_a_run(model, n):
    with FlopCounterMode(display=False) as counter:
        run(model, text(n))
    return counter.get_total_flops()


def test_a_longer_tail_is_encoded(llama):
    cache = EditableCache(llama, None, text(), tail=8)
    assert cache.edit(10, 11, [5]).encoded == 9


# --- going on ---------------------------------------------------------------------------------


def test_generate_continues_and_leaves_the_cache_alone(llama):
    cache = EditableCache(llama, None, text())
    cache.edit(10, 14, [1, 2])
    before = held(cache)
    got = cache.generate(max_new_tokens=6, do_sample=False)
    past, token, expected = cache.past(), cache.next_token, []
    for _ in range(6):
        expected.append(token)
        with torch.no_grad():
            token = int(llama(torch.tensor([[token]]), past_key_values=past).logits[0, -1].argmax())
    assert got[0].tolist() == [*cache.ids, *expected]
    cache.generate(max_new_tokens=3, do_sample=False, num_beams=3)
    torch.manual_seed(0)
    cache.generate(max_new_tokens=3, do_sample=True, num_return_sequences=2)
    assert_same(held(cache), before, atol=0)
    cache.edit(len(cache), len(cache), expected)
    assert cache.ids == tuple(got[0].tolist())


def test_a_failing_model_leaves_the_cache_as_it_was(llama):
    cache = EditableCache(llama, None, text())
    before, ids = held(cache), cache.ids

    def stop(*_):
        raise RuntimeError("out of memory")

    handle = llama.model.layers[2].register_forward_hook(stop)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            cache.edit(5, 9, [1])
    finally:
        handle.remove()
    assert cache.ids == ids
    assert_same(held(cache), before, atol=0)
    cache.edit(5, 9, [1])
    assert len(cache) == 37


def test_a_shallow_copy_goes_its_own_way(llama):
    cache = EditableCache(llama, None, text())
    before = held(cache)
    twin = copy.copy(cache)
    twin.edit(5, 9, [1])
    assert_same(held(cache), before, atol=0)
    assert len(cache) == 40


@pytest.mark.parametrize("strategy", ["pie", "recompute"])
def test_an_empty_edit_runs_nothing(llama, strategy):
    cache = EditableCache(llama, None, text(), strategy=strategy)
    before = held(cache)
    for plan in (cache.edit(7, 7), cache.apply(), cache.update(text())):
        assert plan.encoded == 0
        assert plan.source.tolist() == list(range(40))
    assert_same(held(cache), before, atol=0)
