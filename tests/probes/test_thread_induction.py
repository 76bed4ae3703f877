"""Threads under an induction model (`recipes/thread_toy.py`): it writes a thread step by step."""

import re
from random import Random

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
    """The probe's accuracy when the model writes one value after the other."""
    items, source = probe.items(), Random(0)
    prompts, strings = [], []
    for item in items:
        written = re.findall(r"\"(\w+)\"", item.context)
        distinct = sorted(set(written))
        names = dict(
            zip(distinct, source.sample(range(recipe.STRINGS), len(distinct)), strict=True)
        )
        asked = re.findall(r"\"(\w+)\"", item.rest)[0]
        prompts.append([*(names[one] for one in written), recipe.ASK, names[asked]])
        strings.append({name: one for one, name in names.items()})
    ids = torch.tensor(prompts)
    for _ in range(count):
        ids = torch.cat([ids, model(ids).logits[:, -1:, : recipe.STRINGS].argmax(-1)], 1)
    last = ids[:, -1].tolist()
    told = [
        Response(len(ids[0]), one.get(token, "")) for one, token in zip(strings, last, strict=True)
    ]
    return probe.measure(items, told).scores


def test_claim_long_threads_get_lost(recipe, model):
    def share(written, **settings):
        probe = NeedleThreading(digits=4, lengths=(16 * recipe.PAIRS,), **settings)
        scores = accuracy(recipe, model, probe, written)
        return sum(score.value for score in scores) / len(scores)

    needle = share(1, repeats=30)
    short = share(2, task="thread", steps=2, repeats=300)
    long = share(5, task="thread", steps=5, repeats=300)
    backward = share(5, task="thread", steps=5, repeats=300, direction="backward")
    print(f"needle {needle:.2f}, thread of 2 {short:.2f}, of 5 {long:.2f}, backward {backward:.2f}")
    assert needle > short > long + 0.05


def test_training_teaches_what_follows(recipe):
    """The first steps of the recipe, on pairs that it has not seen."""
    model, pairs = recipe.made(), recipe.batch(torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = recipe.loss_of(model, *pairs)
    recipe.train(model, steps=40)
    with torch.no_grad():
        assert recipe.loss_of(model, *pairs) < before - 0.1
