"""Needle threading: a solver that walks the dictionary, the scorer's cases, and the claims."""

import hashlib
import json
import random
import re
import uuid
from itertools import pairwise
from statistics import fmean

import pytest

import tokenry
from tokenry.errors import UsageError
from tokenry.method import Response
from tokenry.ops.answers import accuracy, effective_length, parse
from tokenry.probes import NeedleThreading

TASKS = ("single", "multiple", "conditional", "thread", "multi-thread")
SMALL = {"lengths": (2000, 4000), "depths": 3, "repeats": 4, "steps": 5, "threads": 2}


def solved(text):
    """The answer to an item's text, by walking the object that it shows."""
    end = text.index("}") + 1
    pairs, question = json.loads(text[:end]), text[end:]
    if '"*"' in question:
        return [value for key, value in pairs.items() if "*" in key]
    asked = [key for key in re.findall(r'"([^"]*)"', question) if key in pairs]
    follow = "again" in question
    found = []
    for key in dict.fromkeys(asked):
        for _ in range(len(pairs)):  # a shuffled object may lead round in circles
            if follow and pairs[key] in pairs:
                key = pairs[key]
        found.append(pairs[key])
    return found


def shuffled(item, rng):
    """The item's text with the values of its object in another order."""
    pairs = json.loads(item.context)
    values = rng.sample(list(pairs.values()), len(pairs))
    return json.dumps(dict(zip(pairs, values, strict=True))) + item.rest


@pytest.mark.parametrize("digits", [None, 4])
@pytest.mark.parametrize("direction", ["forward", "backward", "random"])
@pytest.mark.parametrize("placement", ["random", "clustered"])
@pytest.mark.parametrize("task", TASKS)
def test_a_walk_through_the_dictionary_solves_every_item(task, placement, direction, digits):
    probe = NeedleThreading(
        task=task, placement=placement, direction=direction, digits=digits, **SMALL
    )
    items = probe.items(seed=1)
    responses = [Response(10, json.dumps(solved(item.text))) for item in items]
    assert {score.value for score in probe.measure(items, responses).scores} == {1.0}


@pytest.mark.parametrize("task", TASKS)
def test_on_shuffled_haystacks_the_walk_is_left_to_chance(task):
    probe = NeedleThreading(task=task, **{**SMALL, "repeats": 40})
    rng, items = random.Random(0), probe.items()
    responses = [Response(10, json.dumps(solved(shuffled(item, rng)))) for item in items]
    assert fmean(s.value for s in probe.measure(items, responses).scores) < 0.1


def test_the_same_seed_gives_the_same_bytes():
    def digest(seed):
        texts = "".join(item.text for item in NeedleThreading(lengths=(2000,)).items(seed))
        return hashlib.sha256(texts.encode()).hexdigest()[:16]

    # What this very function gave for seed 0 on Python 3.11; the generator must not drift.
    assert digest(0) == "decd7ac8fd426eda"
    assert digest(1) != digest(0)


def test_the_grid_and_the_pairs_are_the_papers():
    items = NeedleThreading().items()
    assert len(items) == 11 * 12 * 5 == 660
    assert len({item.id for item in items}) == 660
    assert len({item.conditions["depth"] for item in items}) == 11
    assert len({item.conditions["length"] for item in items}) == 12
    (item,) = [i for i in items if i.id == "single-2000-0-0"]
    assert len(item.context) == 2000
    assert len(json.loads(item.context)) == item.conditions["pairs"] == 25


def test_keys_and_values_are_uuids_and_all_differ():
    (item,) = NeedleThreading(lengths=(8000,), depths=2, repeats=1).items()[:1]
    pairs = json.loads(item.context)
    everything = [*pairs, *pairs.values()]
    assert len(set(everything)) == len(everything) == 200
    assert all(uuid.UUID(text).version == 4 for text in everything)
    assert all(str(uuid.UUID(text)) == text for text in everything)


def test_depth_puts_the_needle_from_the_first_pair_to_the_last():
    for item in NeedleThreading(lengths=(2000,), repeats=1).items():
        (answer,) = item.answers
        place = list(json.loads(item.context).values()).index(answer)
        assert place == round(item.conditions["depth"] * 24)


def test_clusters_are_neighbours_and_others_are_not_always():
    def places(placement):
        probe = NeedleThreading(task="multiple", placement=placement, lengths=(4000,), repeats=9)
        for item in probe.items():
            values = list(json.loads(item.context).values())
            yield sorted(values.index(answer) for answer in item.answers)

    assert all(b - a == 1 for p in places("clustered") for a, b in pairwise(p))
    assert any(b - a > 1 for p in places("random") for a, b in pairwise(p))


def test_the_marked_keys_are_the_only_ones_with_the_mark():
    for digits in (None, 4):
        probe = NeedleThreading(task="conditional", needles=7, digits=digits, lengths=(2000,))
        for item in probe.items():
            pairs = json.loads(item.context)
            assert sum("*" in key for key in pairs) == 7
            assert not any("*" in value for value in pairs.values())


@pytest.mark.parametrize("task", ["thread", "multi-thread"])
@pytest.mark.parametrize("direction", ["forward", "backward", "random"])
def test_threads_go_in_their_direction_and_are_never_neighbours(task, direction):
    probe = NeedleThreading(task=task, direction=direction, steps=4, threads=3, lengths=(3000,))
    for item in probe.items():
        pairs = json.loads(item.context)
        where = {key: i for i, key in enumerate(pairs)}
        starts = [key for key in re.findall(r'"([^"]*)"', item.rest) if key in pairs]
        assert len(starts) == (3 if task == "multi-thread" else 1)
        for key in starts:
            walk = [where[key]]
            while pairs[key] in pairs:
                key = pairs[key]
                walk.append(where[key])
            assert len(walk) == 4
            steps = [b - a for a, b in pairwise(walk)]
            assert min(abs(step) for step in steps) > 1
            signs = {step > 0 for step in steps}
            assert signs == {"forward": {True}, "backward": {False}}.get(direction, {True, False})


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("abc", ["abc"], 1),
        ('  "abc" is what it says', ["abc"], 1),
        ("'abc'", ["abc"], 1),
        ('abc", "def": "ghi"}', ["abc"], 1),
        ("abcdef", ["abc"], 1),
        ("ABC", ["abc"], 0),
        ("the value is abc", ["abc"], 0),
        ("", ["abc"], 0),
        ("[]", ["abc"], 0),
        ('["abc"]', ["abc"], 1),
        ('["a1", "b2"]', ["a1", "b2"], 1),
        ('They are ["a1", "b2"], I think.', ["a1", "b2"], 1),
        ('a1", "b2"]\n\nNext', ["a1", "b2"], 2 / 3),
        ('a1", "b2"]', ["a1", "b2"], 1),
        ("[a1, b2]", ["a1", "b2"], 1),
        ("a1\nb2", ["a1", "b2"], 1),
        ('["b2", "a1"]', ["a1", "b2"], 0),
        ('["a1"]', ["a1", "b2"], 0.5),
        ('["a1", "b2", "c3", "d4"]', ["a1", "b2"], 0.5),
        ('["a1", ["b2"]', ["a1", "b2"], 1),
        ("[12, 34]", ["12", "34"], 1),
        ("__import__('os').abort()", ["a1", "b2"], 0),
        ("[().__class__]", ["a1", "b2"], 0),
        ("[" * 5000, ["a1", "b2"], 0),
        ("\x00", ["a1"], 0),
    ],
)
def test_answers_are_scored(answer, expected, score):
    assert accuracy(answer, expected) == pytest.approx(score)


def test_parse_of_nothing_is_nothing():
    assert parse(" \n") == []


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([1, 1, 1], 4000),
        ([1, 1, 0], 2500),
        ([1, 0.75, 0], 2000),
        ([1, 0.5, 0], 1500),
        ([0.7, 0.7, 0.7], 0),
        ([0, 1, 0.5], 3000),
    ],
)
def test_effective_length_is_interpolated(accuracies, expected):
    assert effective_length([1000, 2000, 4000], accuracies, 0.75) == pytest.approx(expected)


def test_effective_length_is_found_in_characters_and_in_tokens():
    probe = NeedleThreading(lengths=(4000, 1000, 2000), depths=2, repeats=2)
    items = probe.items()
    responses = [
        Response(
            tokens=item.conditions["length"] // 2,
            answer=item.answers[0] if item.conditions["length"] < 4000 else "",
        )
        for item in items
    ]
    findings = probe.measure(items, responses).findings
    assert findings["effective characters"] == pytest.approx(2500)
    assert findings["effective tokens"] == pytest.approx(1250)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": ()}, r"lengths=\(\) is empty"),
        ({"task": "thread", "steps": 25, "lengths": (2000,)}, "hold 25 pairs, and thread needs 49"),
        ({"task": "multiple", "needles": 25, "lengths": (1000,)}, "hold 12 pairs"),
        ({"digits": 2, "lengths": (2000,)}, "digits=2 makes too few keys for the 166 pairs"),
    ],
)
def test_haystacks_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        NeedleThreading(**settings)


def test_responses_must_belong_to_the_items():
    probe = NeedleThreading(lengths=(1000,))
    items = probe.items()
    with pytest.raises(UsageError, match="got 1 responses to 55 items"):
        probe.measure(items, [Response(1, "x")])


@pytest.mark.slow
def test_claim_needles_before_threads(smollm2):
    def right(**settings):
        probe = NeedleThreading(digits=4, lengths=(400,), **settings)
        return tokenry.probe(smollm2, probe, batch_size=11, progress=False).summary()[0].score

    needle, thread = right(repeats=3), right(task="thread", repeats=33)
    assert needle.low > thread.high
    assert needle.high < NeedleThreading().threshold
