"""What short trainings on real data bring, by the recipes that measured it."""

from __future__ import annotations

import random

import pytest
import torch

from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import Headlines, SameStyle


@pytest.fixture(scope="module")
def styles(recipe):
    """Encoders of drawings and texts, with and without consistency, and what they find."""
    emoji = recipe("same_style_emoji")
    reader = text_encoder("zoo:minilm-l6", longest=32)
    (first, names), (second, _) = (emoji.entries(reader, v) for v in ("google", "twitter"))
    order = random.Random(0).sample(range(len(names)), len(names))
    data, pairs = (first, second), emoji.swaps(names)
    colours = emoji.asked_colours(reader, names, pairs)

    def found(method):
        model = emoji.train(data, order[:400], method, epochs=30, seed=0)
        found = emoji.measure(model, data, order[400:]) | emoji.restyled(model, data, pairs)
        return found | emoji.recoloured(model, data, pairs, colours)

    return {"all": found(SameStyle()), "no consistency": found(SameStyle(consistent=0))}


@pytest.mark.slow
def test_claim_consistent_views_agree(styles):
    assert styles["all"]["gap of views"] < 0.7 * styles["no consistency"]["gap of views"]


@pytest.mark.slow
def test_claim_words_change_the_style(styles):
    found = styles["all"]
    assert found["with words"] > 2 * found["image alone"]
    assert found["with words"] > 0.1  # of 600
    assert found["joint finds the colour"] > found["picture finds the colour"] + 0.1


@pytest.mark.slow
def test_claim_titles_find_their_normal_form(recipe):
    apt = recipe("vacancysbert_packages")
    every = apt.emoji()
    names = apt.plain(every)
    random.Random(0).shuffle(every)
    test, train = every[:200], every[200:]
    mixed = random.Random(1).sample([p.skills for p in train], len(train))
    before = apt.ranks(apt.encoder(layers=2), test, names)["title"]

    def tuned(skills):
        model = apt.encoder(layers=2)
        pairs = [(p.title, skill) for p, skill in zip(train, skills, strict=True)]
        tune(model, pairs, apt.METHOD, steps=20, batch_size=32, rate=1e-4, progress=False)
        return apt.ranks(model, test, names)

    after, shuffled = tuned([p.skills for p in train]), tuned(mixed)["title"]

    def at(k, ranks):
        return (ranks <= k).float()

    for k in (5, 10):
        assert apt.interval(at(k, before), at(k, after["title"]))[1] > 0
    for k in (1, 5, 10):  # the control: it is the skills that teach, not more steps
        assert apt.interval(at(k, before), at(k, shuffled))[1] <= 0
    assert apt.interval(at(5, shuffled), at(5, after["title"]))[1] > 0
    for k in (1, 5):
        assert apt.interval(at(k, after["title"]), at(k, after["both"]))[1] > 0
    assert torch.equal(apt.METHOD.query(torch.eye(2), torch.zeros(2, 2)), torch.eye(2))


@pytest.mark.slow
def test_claim_pairs_of_titles_teach(recipe):
    """The study with one layer, short texts and half the steps."""
    packages, study = recipe("vacancysbert_packages"), recipe("headlines_study")
    every = study.stories()
    asked, known = every[:100], every[100:]
    titles, _ = study.paired(study.printed(known, 0.05)[0], Headlines(by="ngrams", least=0.1))

    def found(pairs):
        model = packages.encoder(layers=1)
        model[0].max_seq_length = 32
        if pairs:
            tune(model, pairs, "in-batch", steps=15, batch_size=32, rate=2e-4, progress=False)
        return study.found(model, asked, every)

    before, after, shuffled = (found(one) for one in ([], titles, study.shuffled(titles)))
    assert packages.interval(before, after)[1] > 0
    assert packages.interval(before, shuffled)[1] <= 0
    assert float(after.mean()) > float(shuffled.mean())
