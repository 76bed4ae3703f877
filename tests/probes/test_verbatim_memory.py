"""Verbatim memory: oracle models, the generator, and the claims."""

import math
import re
from statistics import median

import numpy as np
import pytest

from tokenry.compare.probed import interval
from tokenry.errors import UsageError
from tokenry.method import Response
from tokenry.probes import VerbatimMemory
from tokenry.probes.stimuli import base_lists, size

PIECES = re.compile(r"\w+|[^\w\s]")


def words(item, which):
    """The nouns of an item's first or second list."""
    half = len(item.words) // 2
    spans = item.words[:half] if which == 1 else item.words[half:]
    return [item.text[a:b] for a, b in spans]


def uniform(history, word):
    """A model to which every word of a thousand is as likely."""
    return math.log(1000)


def copying(history, word):
    """A model that, after a word seen before (commas aside), expects what came after it then."""
    history = [w for w in history if w != ","]
    for i in range(len(history) - 2, -1, -1):
        if history[i] == history[-1]:
            return 0.001 if history[i + 1] == word else math.log(1000)
    return math.log(1000)


def remembering(history, word):
    """A model that expects each word that it has seen, in whatever order."""
    return math.log(10) if word in history else math.log(1000)


def medians(model, probe, seed=0):
    """Median repeat surprisal of each kind of second list, under a model of words."""
    items, responses = probe.items(seed), []
    for item in items:
        pieces = [(m.start(), m.group()) for m in PIECES.finditer(item.text)]
        at = {start: i for i, (start, _) in enumerate(pieces)}
        texts = [text for _, text in pieces]
        found = [model(texts[: at[a]], item.text[a:b]) for a, b in item.words]
        responses.append(Response(len(pieces), surprisals=tuple(found)))
    groups = {}
    for score in probe.measure(items, responses).scores:
        groups.setdefault(score.conditions["second"], []).append(score.value)
    return {kind: median(values) for kind, values in groups.items()}


@pytest.mark.parametrize("context", ["intact", "incongruent", "scrambled", "short"])
def test_a_model_without_memory_is_at_100(context):
    found = medians(uniform, VerbatimMemory(context=context))
    assert found == pytest.approx({"repeat": 100, "permute": 100, "novel": 100})


def test_a_model_that_copies_is_near_0_on_repeats_alone():
    found = medians(copying, VerbatimMemory(lengths=(10,)))
    assert found["repeat"] < 0.1
    assert found["permute"] > 80
    assert found["novel"] == pytest.approx(100)


def test_a_model_of_a_bag_of_words_does_not_see_the_order():
    found = medians(remembering, VerbatimMemory(pool="semantic"))
    assert found["repeat"] == pytest.approx(found["permute"])
    assert found["repeat"] == pytest.approx(100 / 3)
    assert found["novel"] == pytest.approx(100)


@pytest.mark.parametrize("pool", ["arbitrary", "semantic"])
def test_23_lists_hold_each_noun_once(pool):
    lists = base_lists(pool)
    assert [len(nouns) for nouns in lists] == [10] * 23
    assert len({noun for nouns in lists for noun in nouns}) == 230
    assert lists != base_lists(pool, seed=1)


def test_arbitrary_lists_mix_the_categories():
    category = {noun: i for i, nouns in enumerate(base_lists("semantic")) for noun in nouns}
    assert all(len({category[n] for n in nouns}) == 10 for nouns in base_lists("arbitrary"))


def test_230_lists_show_each_noun_once_in_every_place():
    items = VerbatimMemory(lengths=(10,)).items()
    for kind in ("repeat", "permute", "novel"):
        of_kind = [item for item in items if item.conditions["second"] == kind]
        assert len(of_kind) == 230
        seen = [(noun, i) for item in of_kind for i, noun in enumerate(words(item, 1))]
        assert len(set(seen)) == len(seen) == 2300


def test_shorter_lists_are_the_beginnings_of_the_longer():
    short, long = (VerbatimMemory(lengths=(n,)).items() for n in (3, 10))
    for a, b in zip(short, long, strict=True):
        assert words(a, 1) == words(b, 1)[:3]


@pytest.mark.parametrize("pool", ["arbitrary", "semantic"])
@pytest.mark.parametrize("length", [2, 3, 10])
def test_the_second_list_is_what_it_is_called(length, pool):
    for item in VerbatimMemory(lengths=(length,), pool=pool).items(seed=3):
        first, second = words(item, 1), words(item, 2)
        assert len(first) == len(second) == length
        same, as_set = first == second, set(first) == set(second)
        assert {"repeat": same, "permute": as_set and not same}.get(
            item.conditions["second"], not set(first) & set(second)
        )


@pytest.mark.parametrize("context", ["intact", "incongruent", "scrambled"])
def test_the_text_between_has_the_length_that_was_asked_for(context):
    probe = VerbatimMemory(lengths=(3,), delays=(26, 47, 99, 194, 435), context=context)
    delays = sorted({item.conditions["delay"] for item in probe.items()})
    assert len(delays) == 5
    sentence = 30
    for asked, found in zip((26, 47, 99, 194, 435), delays, strict=True):
        assert asked <= found < asked + sentence


def test_texts_between_the_lists_differ_as_they_say():
    def between(context):
        item = VerbatimMemory(context=context, delays=(60,)).items()[0]
        return item.context.partition(".")[2]

    intact, scrambled = between("intact"), between("scrambled")
    assert intact != scrambled
    assert sorted(intact.split()) == sorted(scrambled.split())
    assert between("incongruent") not in (intact, scrambled)
    assert between("short") == ""


def test_nouns_stand_nowhere_but_in_the_lists():
    nouns = {noun for nouns in base_lists("semantic") for noun in nouns}
    for context in ("intact", "incongruent", "short"):
        item = VerbatimMemory(context=context, delays=(26,) if context == "short" else (435,))
        (first, *_) = item.items()
        pieces = [m.group().lower() for m in PIECES.finditer(first.text)]
        assert sum(piece in nouns for piece in pieces) == len(first.words)


def test_the_text_is_put_together_as_the_paper_says():
    item = VerbatimMemory(lengths=(3,), context="short").items()[0]
    a, b, c = words(item, 1)
    assert item.text == f"Anna wrote: {a}, {b}, {c}. Anna read: {a}, {b}, {c}."
    assert size("a, b.") == 4


def test_scores_are_ratios_of_each_item():
    probe = VerbatimMemory(lengths=(3,))
    items = probe.items()[:2]
    responses = [
        Response(9, surprisals=(1.0, 2.0, 3.0, 0.5, 1.0, 1.5)),
        Response(9, surprisals=(4.0, 4.0, 4.0, 1.0, 1.0, 1.0)),
    ]
    scores = probe.measure(items, responses).scores
    assert [score.value for score in scores] == pytest.approx([50, 25])
    assert [score.more["contrast"] for score in scores] == pytest.approx([-1 / 3, -3 / 5])
    skipping = VerbatimMemory(lengths=(3,), skip_first=True)
    (score, _) = skipping.measure(items, responses).scores
    assert (score.more["first"], score.more["second"]) == (2.5, 1.25)


def test_the_same_seed_gives_the_same_items():
    assert VerbatimMemory().items(4) == VerbatimMemory().items(4)
    assert VerbatimMemory().items(4) != VerbatimMemory().items(5)


def test_the_interval_covers_the_median_at_its_nominal_rate():
    rng = np.random.default_rng(0)
    true = math.exp(0.3)
    draws = rng.lognormal(0.3, 0.8, size=(200, 230))
    found = [interval(draw, "median", i) for i, draw in enumerate(draws)]
    covered = sum(i.low <= true <= i.high for i in found)
    # 200 draws at 95 %: fewer than 181 or more than 198 has a probability below 0.005.
    assert 181 <= covered <= 198
    assert all(i.low <= i.value <= i.high for i in found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": ()}, r"lengths=\(\) is empty"),
        ({"delays": ()}, r"delays=\(\) is empty"),
        ({"delays": (26, 99), "context": "short"}, "no text between the lists"),
        ({"lengths": (11,)}, r"lengths=\(11,\) is outside \[2, 10\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        VerbatimMemory(**settings)


def test_responses_that_cannot_be_are_refused():
    probe = VerbatimMemory(lengths=(3,))
    items = probe.items()[:1]
    with pytest.raises(UsageError, match="has 2 surprisals; the item asks for 6"):
        probe.measure(items, [Response(1, surprisals=(1.0, 2.0))])
    with pytest.raises(UsageError, match="the first list has a surprisal of 0"):
        probe.measure(items, [Response(1, surprisals=(0.0,) * 6)])
