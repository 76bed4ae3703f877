"""The multilingual probe: planted states, the items, the reader, and a real model."""

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
    with pytest.raises(UsageError, match="at least one"):
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


@pytest.mark.slow
def test_claim_related_languages_align():
    probe = MultilingualLM(languages=("de", "fr", "ru", "zh_CN"), count=60, depths=(1.0,))
    found = tokenry.probe("zoo:smollm2-135m", probe, bos=True, batch_size=16).measurement
    margins = {}
    for score in found.scores:
        if score.conditions["language"] == "en":
            margins.setdefault(score.conditions["other"], []).append(score.value)
    german, french, russian, chinese = (np.mean(margins[one]) for one in probe.languages)
    assert min(german, french) > russian + 0.1
    assert min(german, french) > chinese + 0.1
    assert min(russian, chinese) > found.findings["margin of shuffled translations"] + 0.02
    assert found.findings["rank correlation of tokens and margin"] < 0
