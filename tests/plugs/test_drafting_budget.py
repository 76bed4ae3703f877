"""The budget that is chosen: what it may lose, what it finds, and what it is chosen by."""

import json
import random
from functools import partial

import pytest
import torch

from tokenry.checks.models import tiny_decoder, words
from tokenry.decoding import PromptLookup
from tokenry.ops.tree import children
from tokenry.plugs import drafting, drafting_curve
from tokenry.plugs.attach import attach
from tokenry.plugs.drafting_budget import Chosen, Fixed
from tokenry.plugs.drafting_curve import Curve
from tokenry.plugs.drafting_texts import Row, parted, reached
from tokenry.plugs.drafting_trials import Trials

CORES = Curve({1: 1.0, 2: 1.5, 4: 1.7, 8: 1.9, 16: 2.2, 32: 3.5, 64: 7.0})
FLAT = Curve({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.02, 16: 1.05, 32: 1.1, 64: 1.2})


def simulate(curve, chance, passes=400, size=10**6, drafting=0.0, seed=0, real=None, chosen=None):
    """Chains of which each next token passes with the same chance; cost, tokens and budgets."""
    chosen, source = chosen or Chosen(curve), random.Random(seed)
    cost = tokens = 0.0
    budgets = []
    for _ in range(passes):
        k = chosen.budget() - 1
        n = min(k, size)
        accepted = 0
        while accepted < n and source.random() < chance:
            accepted += 1
        thought = 0 if k else chosen.trial()
        told = min(thought, size)
        for node in range(thought):
            chosen.saw(node, node < told, node < told and source.random() < chance ** (node + 1))
        seconds = drafting if k or thought else 0.0
        reading = (real or curve).cost(n + 1)
        chosen.note(n, [list(range(accepted))], accepted + 1.0, seconds, reading)
        cost += reading + seconds
        tokens += accepted + 1
        budgets.append(k)
    return cost, tokens, budgets, chosen


@pytest.mark.parametrize("curve", [CORES, FLAT], ids=["cores", "flat"])
@pytest.mark.parametrize("chance", [0.0, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("drafting", [0.0, 0.5, 3.0])
def test_it_loses_at_most_a_small_share_and_a_pass(curve, chance, drafting):
    for seed, passes in enumerate((20, 150, 150)):
        cost, tokens, _, _ = simulate(curve, chance, passes, drafting=drafting, seed=seed)
        assert cost <= 1.01 * tokens + (4 if curve is FLAT else 1) + drafting


@pytest.mark.parametrize("curve", [CORES, FLAT], ids=["cores", "flat"])
@pytest.mark.parametrize("chance", [0.6, 0.7, 0.9, 0.97])
def test_it_finds_a_budget_near_the_best(curve, chance):
    def rate(k):
        return sum(chance**j for j in range(k + 1)) / curve.cost(k + 1)

    best = max(rate(k) for k in range(curve.most))
    cost, tokens, _, chosen = simulate(curve, chance, passes=500)
    assert tokens / cost > 0.9 * max(best, 1.0)
    assert ("tokens per pass" in chosen.verdict()) == (best > 1.0)


def test_a_curve_that_is_wrong_is_set_right():
    """Timed while the machine was busy, passes over several tokens looked cheap."""
    steep = Curve({1: 0.5, 2: 2.0, 4: 3.0, 8: 4.0, 16: 6.0, 32: 9.0, 64: 14.0})
    cost, tokens, budgets, chosen = simulate(CORES, 0.5, passes=300, real=steep)
    assert cost <= 1.05 * tokens * steep.cost(1) + 10
    assert sum(k > 0 for k in budgets[150:]) < 20
    assert "no drafts" in chosen.verdict()


def test_what_one_call_gained_is_not_lost_in_the_next():
    _, _, _, chosen = simulate(CORES, 0.9, passes=60)
    chosen.begin(100)
    cost = tokens = 0.0
    for _ in range(100):
        k = chosen.budget() - 1
        chosen.note(k, [[]], 1.0, 0.0, CORES.cost(k + 1))
        cost, tokens = cost + CORES.cost(k + 1), tokens + 1
    assert cost <= 1.01 * tokens + 1


def test_what_does_not_pay_is_not_verified_and_found_out_when_it_does():
    _, _, budgets, chosen = simulate(CORES, 0.05, passes=1000)
    assert sum(budgets) == 0
    assert "no drafts" in chosen.verdict()
    _, _, budgets, chosen = simulate(CORES, 0.9, passes=60, chosen=chosen)
    assert sum(k > 0 for k in budgets[10:]) > 40
    assert "tokens per pass" in chosen.verdict()


def test_what_pays_is_verified_after_few_passes():
    _, _, budgets, _ = simulate(CORES, 0.95, passes=20)
    assert sum(k > 0 for k in budgets) >= 16


def test_a_drafter_with_nothing_to_say_is_asked_every_time():
    _, _, budgets, chosen = simulate(CORES, 0.0, size=0)
    assert max(budgets) == 0
    assert chosen.trial() > 0


def test_the_first_draft_of_a_model_is_one_node():
    """What a node costs is known after it, and only then is more than one tried."""
    unknown, known = Chosen(CORES, 0.01), Chosen(CORES)
    assert unknown.budget() == known.budget() == 1
    assert unknown.trial() == 1 < known.trial()
    unknown.note(0, [[]], 1.0, 0.01, 1.0)
    assert unknown.budget() == 1
    assert unknown.trial() > 1
    dear = Chosen(CORES, 2.0)
    assert dear.budget() == 1
    assert dear.trial() == 0


def test_dear_thoughts_are_seldom():
    chosen = Chosen(CORES)
    thoughts = 0
    for _ in range(500):
        assert chosen.budget() == 1
        thoughts += (thought := chosen.trial()) > 0
        for node in range(thought):
            chosen.saw(node, there=True, passed=False)
        chosen.note(0, [[]], 1.0, 0.5 * (thought > 0), 1.0)
    assert 10 < thoughts < 25


@pytest.mark.parametrize("passes", [20, 40, 64, 200])
def test_whatever_the_length_it_loses_at_most_two_per_cent(passes):
    for seed in range(10):
        chosen = Chosen(CORES)
        chosen.begin(passes)
        cost, tokens, _, _ = simulate(CORES, 0.3, passes, seed=seed, chosen=chosen)
        assert cost <= 1.02 * tokens


def test_where_passes_cost_the_same_drafts_are_verified_until_they_teach():
    """A drafter that learns from what is verified would say nothing of use in thought."""
    chosen = Chosen(FLAT)
    chosen.begin(160)
    cost = tokens = 0.0
    for step in range(160):
        k = chosen.budget() - 1
        accepted = [0] if k and step > 12 else []
        chosen.note(k, [accepted], 1.0 + len(accepted), 0.02, FLAT.cost(k + 1))
        cost, tokens = cost + FLAT.cost(k + 1) + 0.02, tokens + 1 + len(accepted)
    assert tokens / cost > 1.4
    lost = []
    for _ in range(600):
        budget = chosen.budget()
        lost.append(FLAT.cost(budget) - 1 + 0.02 * (budget > 1))
        chosen.note(budget - 1, [[]], 1.0, 0.02 * (budget > 1), FLAT.cost(budget))
    assert sum(lost[-100:]) < 1.3


@pytest.mark.parametrize("before", [0.4, 3.0])
def test_what_is_to_be_read_first_is_paid_from_the_credit(before):
    """Drafts that would pay wait until the credit covers it, and go on as usual afterwards."""
    _, _, _, chosen = simulate(FLAT, 0.9, passes=30)
    chosen.begin(100)
    waited = 0
    while chosen.budget(before) == 1:
        chosen.note(0, [[]], 1.0, 0.0, 1.0)
        waited += 1
    assert waited == pytest.approx(max(0, before - 2) / 0.01, abs=10)
    chosen.note(4, [[0, 1]], 3.0, before + 0.1, FLAT.cost(5), before)
    assert chosen.budget() > 1, "what was read once is not held against the next drafts"


def note(seen, node, there, passed):
    seen[node] = (there, passed)


def test_drafts_in_thought_are_decided_as_a_pass_would():
    """Whatever the tree and the text: the nodes that pass are those a walk from the root meets."""
    source = random.Random(0)
    for _ in range(600):
        n = source.randrange(1, 12)
        tokens = [source.randrange(3) for _ in range(n)]
        parents = [source.randrange(-1, node) for node in range(n)]
        written = [source.randrange(3) for _ in range(n + 1)]
        seen = {}
        trials = Trials(partial(note, seen))
        trials.begin(0, tokens, children(parents), n + 2)
        trials.follow(0, written[:2])
        trials.follow(0, written[2:])
        path, node = [], -1
        for token in written:
            below = [k for k in range(n) if parents[k] == node and tokens[k] == token]
            if not below:
                break
            path.append(node := below[0])
        assert seen == {
            **{k: (True, k in path) for k in range(n)},
            n: (False, False),
            n + 1: (False, False),
        }
        assert 0 not in trials


def test_a_curve_between_and_beyond_its_sizes():
    assert CORES.cost(1) == 1.0
    assert CORES.cost(12) == pytest.approx(2.05)
    assert CORES.cost(64) == 7.0


def test_passes_are_timed_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENRY_CACHE", str(tmp_path))
    timed = []

    def measure(model, batch):
        timed.append(batch)
        return Curve({1: 0.5, 2: 0.75})

    monkeypatch.setattr(drafting_curve, "measure", measure)
    model = tiny_decoder("llama")
    for batch in (1, 1, 4, 1):
        assert drafting_curve.curve(model, batch) == Curve({1: 0.5, 2: 0.75})
    assert timed == [1, 4]
    drafting_curve.curve(tiny_decoder("llama").double(), 1)
    drafting_curve.curve(tiny_decoder("llama", num_hidden_layers=2), 1)
    drafting_curve.curve(tiny_decoder("llama", seed=1), 1)
    assert timed == [1, 4, 1, 1]
    for path in tmp_path.rglob("*.json"):
        assert json.loads(path.read_text())["of"]["model"] == "LlamaForCausalLM"
        path.write_text("{")
    drafting_curve.curve(model, 1)
    assert len(timed) == 5


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOKENRY_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(drafting_curve, "measure", lambda model, batch: Curve({1: 1.0, 2: 2.0}))
    assert drafting_curve.curve(tiny_decoder("llama"), 1).most == 2
    assert "cannot be" in caplog.text


def test_a_model_is_timed_up_to_its_positions():
    found = drafting_curve.measure(tiny_decoder("gpt2", max_position_embeddings=20), 2)
    sizes = list(found.seconds)
    assert len(sizes) >= 2
    assert sizes == [1, 2, 4, 8, 16][: len(sizes)]
    assert all(seconds > 0 for seconds in found.seconds.values())


def test_without_a_budget_the_trace_says_what_was_chosen(monkeypatch):
    monkeypatch.setattr(drafting, "curve", lambda model, batch: FLAT)
    model, ids = tiny_decoder("llama"), words(1, 5).repeat(2, 3)
    plain = model.generate(ids, max_new_tokens=60, pad_token_id=0)
    with attach(model, PromptLookup()) as attachment:
        drafted = model.generate(ids, max_new_tokens=60, pad_token_id=0)
        trace = attachment.trace
    assert torch.equal(plain, drafted)
    assert trace.curve is FLAT
    assert "tokens per pass" in trace.verdict or "no drafts" in trace.verdict
    sizes = (1 + trace.offered.amax(1)).tolist()
    spent = sum(FLAT.cost(size) for size in sizes)
    assert trace.limit == pytest.approx(59 / spent)


def test_a_given_budget_stays(monkeypatch):
    assert Fixed(7).budget() == 7
    model = tiny_decoder("llama")
    with attach(model, PromptLookup(budget=3)) as attachment:
        model.generate(words(1, 5).repeat(1, 3), max_new_tokens=9, pad_token_id=0)
    assert attachment.trace.curve is None
    assert attachment.trace.limit is None
    assert "3 tokens per pass" in attachment.trace.verdict


def test_what_is_far_ahead_of_the_slowest_text_does_not_count():
    slow, fast, near = Row(0, 0, 9, 19), Row(1, 0, 9, 59), Row(2, 0, 9, 20)
    assert parted([slow, fast, near]) == ([slow, near], [fast])
    assert reached([slow, fast, near]) == 10
    assert parted([slow]) == ([slow], [])
    assert reached([slow]) == 10
    slow.end = 19
    assert reached([slow, fast, near]) == 11
    fast.end = near.end = 20
    assert reached([slow, fast, near]) == 50
