"""Threads under an induction model (`recipes/thread_toy.py`): it writes a thread step by step."""

import json
import re
from random import Random
from statistics import fmean

import pytest
import torch

from tokenry.method import Response
from tokenry.probes import NeedleThreading

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("thread_toy")


@pytest.fixture(scope="module")
def model(recipe):
    return recipe.shipped()


@torch.no_grad()
def accuracy(recipe, model, probe, count):
    """The probe's accuracy when the model writes one value after the other, thread by thread."""
    items, source = probe.items(), Random(0)
    prompts, strings, starts = [], [], []
    for item in items:
        written = re.findall(r"\"(\w+)\"", item.context)
        distinct = sorted(set(written))
        names = dict(
            zip(distinct, source.sample(range(recipe.STRINGS), len(distinct)), strict=True)
        )
        prompts.append([names[one] for one in written])
        strings.append({name: one for one, name in names.items()})
        starts.append([names[one] for one in re.findall(r"\"(\w+)\"", item.rest)])
    ids, ends = torch.tensor(prompts), []
    for start in torch.tensor(starts).T[:, :, None]:
        ids = torch.cat([ids, torch.full_like(start, recipe.ASK), start], 1)
        for _ in range(count):
            ids = torch.cat([ids, model(ids).logits[:, -1:, : recipe.STRINGS].argmax(-1)], 1)
        ends.append(ids[:, -1])
    told = [
        Response(len(ids[0]), json.dumps([one.get(token, "") for token in row]))
        for one, row in zip(strings, torch.stack(ends, 1).tolist(), strict=True)
    ]
    return probe.measure(items, told).scores


@pytest.fixture(scope="module")
def share(recipe, model):
    """The mean accuracy when so many values are written for each thread."""

    def share(written, **settings):
        probe = NeedleThreading(digits=4, lengths=(16 * recipe.PAIRS,), **settings)
        return fmean(score.value for score in accuracy(recipe, model, probe, written))

    return share


def test_claim_long_threads_get_lost(share):
    needle = share(1, repeats=30)
    short = share(2, task="thread", steps=2, repeats=300)
    long = share(5, task="thread", steps=5, repeats=300)
    backward = share(5, task="thread", steps=5, repeats=300, direction="backward")
    print(f"needle {needle:.2f}, thread of 2 {short:.2f}, of 5 {long:.2f}, backward {backward:.2f}")
    assert needle > short > long + 0.05


def test_claim_two_threads_are_followed_no_worse_than_one(share):
    """Each of two beside the other, and one alone; 900 threads each."""
    one = share(2, task="thread", steps=2, repeats=900)
    two = share(2, task="multi-thread", steps=2, threads=2, repeats=450)
    print(f"one thread {one:.3f}, each of two {two:.3f}")
    # No loss beyond twice the error of a difference of two shares near 0.95, of 900 threads each.
    assert two > one - 2 * (2 * 0.95 * 0.05 / 900) ** 0.5


def test_training_teaches_what_follows(recipe):
    """The first steps of the recipe, on pairs that it has not seen."""
    model, pairs = recipe.made(), recipe.batch(torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = recipe.loss_of(model, *pairs)
    recipe.train(model, steps=40)
    with torch.no_grad():
        assert recipe.loss_of(model, *pairs) < before - 0.1
