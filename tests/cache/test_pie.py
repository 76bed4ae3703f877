"""PIE's plan against loops over characters, and its claims on a real model and real code."""

import copy
import importlib
from itertools import accumulate, pairwise, product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry import catalog
from tokenry.cache import Pie
from tokenry.compare.cost import operations_and_bytes
from tokenry.errors import UsageError
from tokenry.ops.edits import Edit, spliced
from tokenry.plugs.editing import EditableCache

MANY = settings(deadline=None, max_examples=60)


@st.composite
def edited(draw):
    """A length and what `made` makes into edits of it, at most two, not touching."""
    length = draw(st.integers(3, 12))
    places = sorted(draw(st.lists(st.integers(0, length), min_size=4, max_size=4, unique=True)))
    counts = draw(st.lists(st.integers(0, 4), min_size=2, max_size=2))
    pairs = list(zip(places[::2], places[1::2], counts, strict=True))[: draw(st.integers(1, 2))]
    return length, pairs


def made(case):
    """The edits themselves; their checks draw random numbers, which a strategy must not."""
    length, pairs = case
    return length, [Edit(start, stop, (5,) * count) for start, stop, count in pairs]


def by_loops(length, edits):
    """Old slots and shifts, one token at a time; None where a token is new."""
    slots, shift, token = [], 0, 0
    while token <= length:
        for edit in edits:
            if edit.start == token:
                slots += [None] * len(edit.new)
                shift += len(edit.new) - (edit.stop - edit.start)
                token = edit.stop
        if token < length:
            slots.append((token, shift))
        token += 1
    return slots


@MANY
@given(edited())
def test_plan_equals_loops(case):
    length, edits = made(case)
    expected = by_loops(length, edits)[:-1]
    plan = Pie().plan(length, edits)
    source, shift = plan.source.tolist(), plan.shift.tolist()
    assert source[-1:] in ([], [-1])
    assert [
        None if s < 0 else (s, d) for s, d in zip(source[:-1], shift[:-1], strict=True)
    ] == expected
    assert all(d == 0 for s, d in zip(source, shift, strict=True) if s < 0)


@MANY
@given(edited(), st.integers(1, 5), st.sampled_from(["pie", "reuse", "suffix", "recompute"]))
def test_strategies_differ_as_they_say(case, tail, strategy):
    length, edits = made(case)
    plan = Pie(strategy=strategy, tail=tail).plan(length, edits)
    pie = Pie(tail=tail).plan(length, edits)
    first = edits[0].start
    n = len(plan.source)
    assert n == len(pie.source)
    if strategy == "recompute":
        assert plan.encoded == n
    elif strategy == "suffix":
        assert plan.source.tolist()[:first] == pie.source.tolist()[:first]
        assert (plan.source[first:] == -1).all()
    else:
        assert torch.equal(plan.source, pie.source)
        assert torch.equal(plan.shift, pie.shift) == (strategy == "pie" or not pie.shift.any())


@MANY
@given(edited(), st.integers(1, 5))
def test_encoded_are_the_new_tokens_and_the_tail(case, tail):
    length, edits = made(case)
    plan = Pie(tail=tail).plan(length, edits)
    n = length + sum(len(e.new) - (e.stop - e.start) for e in edits)
    fresh = {i for i, slot in enumerate(by_loops(length, edits)) if slot is None}
    fresh |= set(range(max(0, n - tail), n))
    assert plan.encoded == len(fresh)
    covered = [i for start, stop in plan.spans for i in range(start, stop)]
    assert covered == sorted(fresh)
    assert all(left[1] < right[0] for left, right in pairwise(plan.spans))


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([Edit(3, 9)], r"start=3, stop=9 is not a range of the text's 8 tokens"),
        ([Edit(-1, 2)], r"start=-1, stop=2"),
        ([Edit(5, 4)], r"allowed is 0 <= start <= stop <= 8"),
        ([Edit(1, 4), Edit(3, 5)], r"\[1, 4\) and \[3, 5\) overlap"),
        ([Edit(5, 6), Edit(1, 2)], r"not in order"),
        ([Edit(2, 2, (1,)), Edit(2, 2, (1,))], r"not in order"),
    ],
)
def test_impossible_edits_are_refused(edits, message):
    with pytest.raises(UsageError, match=message):
        Pie().plan(8, edits)


# --- claims -----------------------------------------------------------------------------------

FILES = ("textwrap", "heapq", "shelve", "fnmatch", "bisect", "queue")
LENGTH, BLOCK, AHEAD = 640, 48, 32
DISTANCES = (16, 96, 384)
PLACES = (*DISTANCES, "all three")


def source(tokenizer, name):
    """The tokens of a standard library file."""
    text = Path(importlib.import_module(name).__file__).read_text(encoding="utf-8")
    return tokenizer(text)["input_ids"]


def blocks(tokenizer, ids):
    """Whole lines of about 48 tokens that end 16, 96 and 384 tokens before the end."""
    breaks = [i + 1 for i, token in enumerate(ids) if "\n" in tokenizer.decode([token])]
    for distance in DISTANCES:
        stop = min(breaks, key=lambda i: abs(len(ids) - distance - i))
        start = min((i for i in breaks if i < stop), key=lambda i: abs(stop - BLOCK - i))
        yield distance, Edit(start, stop)


def changes(model, tokenizer, ids):
    """Deletions of lines and their insertion, at one place and at three: where, old, new, edits."""
    whole = EditableCache(model, None, ids, strategy="suffix")
    one_each = dict(blocks(tokenizer, ids))
    for where in PLACES:
        cuts = one_each.values() if where == "all three" else [one_each[where]]
        cuts = sorted(cuts, key=lambda edit: edit.start)
        part = copy.copy(whole)
        part.apply(*cuts)  # all behind the first cut is encoded anew, as in the whole text
        assert part.ids == spliced(ids, cuts)
        yield where, whole, part, cuts
        gone = list(accumulate((cut.stop - cut.start for cut in cuts), initial=0))
        places = [cut.start - shift for cut, shift in zip(cuts, gone, strict=False)]
        back = [tuple(ids[cut.start : cut.stop]) for cut in cuts]
        yield where, part, whole, [Edit(p, p, b) for p, b in zip(places, back, strict=True)]


def answers(cache, model, ahead):
    """The likeliest next token at each of the real tokens that follow the text."""
    scores = model(torch.tensor([ahead]), past_key_values=cache.past()).logits[0]
    return torch.cat([cache.logits()[None], scores]).argmax(-1)


@torch.no_grad()
def agreements(model, tokenizer):
    """Mean share of equal top tokens with full recomputation, by place and strategy."""
    found = {key: [] for key in product(PLACES, ("pie", "reuse"))}
    for name in FILES:
        wanted = {}
        ids = source(tokenizer, name)
        ids, ahead = ids[:LENGTH], ids[LENGTH : LENGTH + AHEAD]
        for where, old, recomputed, edits in changes(model, tokenizer, ids):
            if recomputed.ids not in wanted:
                wanted[recomputed.ids] = answers(recomputed, model, ahead)
            for strategy in ("pie", "reuse"):
                cache = copy.copy(old)
                cache.method = Pie(strategy=strategy)
                cache.apply(*edits)
                assert cache.ids == recomputed.ids
                same = answers(cache, model, ahead) == wanted[recomputed.ids]
                found[where, strategy].append(same.float().mean().item())
    return {key: sum(values) / len(values) for key, values in found.items()}


@pytest.mark.slow
def test_claim_agrees_more_than_reuse(smollm2):
    means = agreements(smollm2.model, smollm2.processor)
    for where in PLACES:
        assert means[where, "pie"] > 0.85, means
        assert means[where, "pie"] > means[where, "reuse"] + 0.1, means


def operations(model, ids, strategy):
    """What it takes to insert 48 tokens in the middle."""
    cache = EditableCache(model, None, ids, strategy=strategy)
    middle = len(ids) // 2
    count, _ = operations_and_bytes(
        lambda: cache.edit(middle, middle, ids[:BLOCK]), torch.device("cpu")
    )
    return count


@pytest.mark.slow
def test_claim_saves_85_percent_of_the_operations(smollm2):
    model, tokenizer = smollm2.model, smollm2.processor
    ids = source(tokenizer, "textwrap")[:1024]
    assert operations(model, ids, "pie") < 0.15 * operations(model, ids, "recompute")


def test_the_catalogue_finds_it():
    assert catalog.find("pie") is Pie
    assert not hasattr(Pie(), "keep")
