"""The multilingual probe: planted states, the items, the reader, and a real model."""

from collections import Counter

import numpy as np
import pytest
import torch

pytest.importorskip("pycountry")

import tokenry
from tokenry.errors import UsageError
from tokenry.method import Item, Response
from tokenry.plugs.scoring import Reader
from tokenry.probes import MultilingualLM

NAMES = [f"name {i}" for i in range(40)]


def measured(states, probe=None):
    """What comes of planted states: language -> one per name."""
    items, responses = [], []
    for language, rows in states.items():
        for name, row in zip(NAMES, rows, strict=True):
            conditions = {"language": language, "name": name}
            items.append(Item(f"{language}/{name}", "", name, conditions, depths=(0.5,)))
            responses.append(Response(3, states=(tuple(row),)))
    return (probe or MultilingualLM(depths=(0.5,))).measure(items, responses)


def rows(seed, width=64):
    return np.random.default_rng(seed).normal(size=(len(NAMES), width))


def mean(found):
    return float(np.mean([score.value for score in found.scores]))


def test_a_margin_is_the_cosine_less_those_of_other_names():
    ours, theirs = rows(0, 5) + 3, rows(1, 5) - 1
    found = measured({"en": ours, "de": theirs})
    a, b = ours - ours.mean(0), theirs - theirs.mean(0)
    for i, score in enumerate(found.scores):
        cosines = [a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j]) for j in range(40)]
        others = [cosines[j] for j in range(40) if j != i]
        assert score.value == pytest.approx(cosines[i] - np.mean(others))
        assert score.more["retrieved"] == (max(cosines) == cosines[i])


def test_the_same_states_align_and_shuffled_or_random_ones_do_not():
    same = rows(0)
    found = measured({"en": same, "de": same + 5})  # what all names share does not count
    assert mean(found) > 0.95
    assert all(score.more["retrieved"] for score in found.scores)
    assert abs(found.findings["margin of shuffled translations"]) < 0.1
    assert abs(mean(measured({"en": same, "de": np.roll(same, 1, 0)}))) < 0.1
    assert abs(mean(measured({"en": same, "de": rows(1)}))) < 0.1


def test_every_pair_of_languages_is_compared_and_a_nearer_one_has_the_larger_margin():
    same = rows(0)
    found = measured({"en": same, "de": same + rows(1), "ru": same + 3 * rows(2)})
    margins = {}
    for score in found.scores:
        pair = (score.conditions["language"], score.conditions["other"])
        margins.setdefault(pair, []).append(score.value)
    assert set(margins) == {("en", "de"), ("en", "ru"), ("de", "ru")}
    assert np.mean(margins["en", "de"]) > np.mean(margins["en", "ru"]) + 0.2


def test_items_are_names_that_no_two_languages_spell_alike():
    probe = MultilingualLM(languages=("de", "fr"), count=25)
    items = probe.items(3)
    assert [item.id for item in items] == [item.id for item in probe.items(3)]
    assert [item.id for item in items] != [item.id for item in probe.items(4)]
    assert len(items) == 75
    for start in range(0, 75, 3):
        trio = items[start : start + 3]
        assert [item.conditions["language"] for item in trio] == ["en", "de", "fr"]
        assert len({item.text.casefold() for item in trio}) == 3
        assert len({item.conditions["name"] for item in trio}) == 1


def test_wrong_settings_and_too_few_names_are_refused():
    with pytest.raises(UsageError, match="none that is English"):
        MultilingualLM(languages=()).items()
    with pytest.raises(UsageError, match="nobody translated"):
        MultilingualLM(languages=("klingon",)).items()
    with pytest.raises(UsageError, match="each once"):
        MultilingualLM(depths=(0.5, 0.5))
    with pytest.raises(UsageError, match="one or more"):
        MultilingualLM(depths=())
    few = MultilingualLM(count=3, depths=(0.5,))
    items = few.items()[:5]
    with pytest.raises(UsageError, match="share 1 names"):
        few.measure(items, [Response(1, states=((1.0, 2.0),))] * 5)
    with pytest.raises(UsageError, match="has 0 states; the item asks for 1"):
        few.measure(items, [Response(1)] * 5)


@pytest.mark.parametrize("bos", [False, True])
def test_the_reader_gives_the_mean_state_of_a_text(language, bos):
    loaded = language()
    loaded.processor.bos_token = "<end>" if bos else None
    reader = Reader(model=loaded.model, tokenizer=loaded.processor, bos=bos, batch_size=2)
    texts = ["Haus", "a longer text", "x"]
    items = [Item(str(i), "", text, {}, depths=(0.0, 1.0)) for i, text in enumerate(texts)]
    for text, response in zip(texts, reader.respond(items), strict=True):
        ids = torch.tensor([reader.encode(text).ids])
        with torch.no_grad():
            states = loaded.model(ids, output_hidden_states=True).hidden_states
        for place, found in zip((0, -1), response.states, strict=True):
            expected = states[place][0][int(bos) :].mean(0)
            assert torch.allclose(torch.tensor(found), expected, atol=1e-5)


KINDS = MultilingualLM(task="kinds", languages=("de", "fr"), count=40, depths=(0.0, 1.0))


def told(state):
    """What comes of states that `state` makes of a language, a kind and a source of numbers."""
    rng, items = np.random.default_rng(0), KINDS.items(1)
    responses = []
    for item in items:
        row = state(item.conditions["language"], item.conditions["kind"], rng)
        responses.append(Response(3, states=(tuple(rng.normal(size=32)), tuple(row))))
    found, right = KINDS.measure(items, responses), {}
    for score in found.scores:
        place = (score.conditions["language"], score.conditions["depth"])
        right.setdefault(place, []).append((score.value, score.more["own"]))
    return {place: np.mean(rows, 0) for place, rows in right.items()}, found.findings


def direction(*what):
    seed = sum(map(ord, "".join(what)))
    return 2 * np.random.default_rng(seed).normal(size=32)


def test_kinds_that_all_languages_write_alike_are_told_in_each():
    right, findings = told(lambda _, kind, rng: direction(kind) + rng.normal(size=32))
    for language in ("en", "de", "fr"):
        assert right[language, 1.0][0] > 0.95
        assert right[language, 0.0][0] < 0.5  # draws, of which a quarter is right by chance
    assert findings["selectivity at depth 1"] > 0.4
    assert abs(findings["selectivity at depth 0"]) < 0.25


def test_kinds_that_each_language_writes_otherwise_are_told_only_by_its_own_probe():
    right, findings = told(lambda one, kind, rng: direction(one, kind) + rng.normal(size=32))
    assert right["de", 1.0][1] > 0.95
    assert right["de", 1.0][0] < 0.6
    assert findings["gap of de"] > 0.2


def test_items_of_kinds_are_as_many_of_each_and_a_third_is_held_out():
    items = [item for item in KINDS.items() if item.conditions["language"] == "de"]
    counts = Counter((item.conditions["kind"], item.conditions["part"]) for item in items)
    assert len({kind for kind, _ in counts}) == 4
    assert set(counts.values()) == {counts["scripts", "held"], counts["scripts", "learn"]}
    assert counts["scripts", "held"] == -(-sum(counts.values()) // 12)
    names = [item.conditions["name"] for item in items]
    assert len(set(names)) == len(names)


def test_too_few_kinds_to_learn_from_are_refused():
    items = KINDS.items()[:6]
    with pytest.raises(UsageError, match="1 kinds of names to learn from in en"):
        KINDS.measure(items, [Response(1, states=((1.0,), (2.0,)))] * 6)


@pytest.mark.slow
def test_claim_kinds_of_names_are_told_best_before_the_last_layer(smollm2):
    probe = MultilingualLM(task="kinds", languages=("de", "ru"), count=60, depths=(0.25, 1.0))
    found = tokenry.probe(smollm2, probe, bos=True, batch_size=32)
    right = {tuple(group.conditions.values()): group.score.value for group in found.summary()}
    findings = found.measurement.findings
    assert right["en", 0.25] > right["en", 1.0] + 0.1
    assert findings["selectivity at depth 0.25"] > findings["selectivity at depth 1"] + 0.1
    assert right["en", 0.25] > right["de", 0.25] > right["ru", 0.25]


@pytest.mark.slow
def test_claim_related_languages_align(smollm2):
    probe = MultilingualLM(languages=("de", "fr", "ru", "zh_CN"), count=60, depths=(1.0,))
    found = tokenry.probe(smollm2, probe, bos=True, batch_size=16).measurement
    margins = {}
    for score in found.scores:
        if score.conditions["language"] == "en":
            margins.setdefault(score.conditions["other"], []).append(score.value)
    german, french, russian, chinese = (np.mean(margins[one]) for one in probe.languages)
    assert min(german, french) > russian + 0.1
    assert min(german, french) > chinese + 0.1
    assert min(russian, chinese) > found.findings["margin of shuffled translations"] + 0.02
    assert found.findings["rank correlation of tokens and margin"] < 0
