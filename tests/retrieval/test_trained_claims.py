"""What short trainings on real data bring, by the recipes that measured it."""

from __future__ import annotations

import random
import shutil
import sys
from importlib import util
from pathlib import Path

import pytest
import torch

from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import SameStyle


def recipe(name):
    path = Path(__file__).parents[2] / "recipes" / f"{name}.py"
    spec = util.spec_from_file_location(name, path)
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_claim_both_views_find_more_than_either():
    emoji = recipe("same_style_emoji")
    reader = text_encoder("zoo:minilm-l6", longest=32)
    (first, names), (second, _) = (emoji.entries(reader, v) for v in ("google", "twitter"))
    order = random.Random(0).sample(range(len(names)), len(names))
    train, test = order[:400], order[400:]
    model = emoji.train((first, second), train, SameStyle(), epochs=30, seed=0)
    found = emoji.measure(model, (first, second), test)
    assert found["m-m"] > max(found["i-i"], found["t-t"])
    assert min(found["i-i"], found["t-t"]) > 10 / len(test)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="packages are read from apt")
def test_claim_titles_find_their_normal_form():
    apt = recipe("vacancysbert_packages")
    every = apt.packages()
    if len(every) < 1000:
        pytest.skip("apt knows too few packages with tags")
    random.Random(0).shuffle(every)
    test, train = every[:400], every[600:]
    model = apt.encoder(layers=2)
    before = apt.ranks(model, test)["title"]
    pairs = [(p.title, p.skills) for p in train]
    tune(model, pairs, apt.METHOD, steps=20, batch_size=32, rate=1e-4, progress=False)
    after = apt.ranks(model, test)

    def at(k, ranks):
        return (ranks <= k).float()

    for k in (1, 5):
        assert apt.interval(at(k, before), at(k, after["title"]))[1] > 0
    assert apt.interval(at(5, after["title"]), at(5, after["both"]))[1] > 0
    assert torch.equal(apt.METHOD.query(torch.eye(2), torch.zeros(2, 2)), torch.eye(2))
