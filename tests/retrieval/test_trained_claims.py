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


@pytest.fixture(scope="module")
def styles():
    """Encoders of drawings and texts, with and without consistency, and what they find."""
    emoji = recipe("same_style_emoji")
    reader = text_encoder("zoo:minilm-l6", longest=32)
    (first, names), (second, _) = (emoji.entries(reader, v) for v in ("google", "twitter"))
    order = random.Random(0).sample(range(len(names)), len(names))
    data, pairs = (first, second), emoji.swaps(names)

    def found(method):
        model = emoji.train(data, order[:400], method, epochs=30, seed=0)
        return emoji.measure(model, data, order[400:]) | emoji.restyled(model, data, pairs)

    return {"all": found(SameStyle()), "no consistency": found(SameStyle(consistent=0))}


@pytest.mark.slow
def test_claim_consistent_views_agree(styles):
    assert styles["all"]["gap of views"] < 0.7 * styles["no consistency"]["gap of views"]


@pytest.mark.slow
def test_claim_words_change_the_style(styles):
    found = styles["all"]
    assert found["with words"] > 2 * found["image alone"]
    assert found["with words"] > 0.1  # of 600


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
