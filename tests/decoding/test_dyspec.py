"""DySpec's tree against a heap, against all prefixes, and through all that chance can do."""

from __future__ import annotations

import copy
import heapq
from itertools import count as numbers
from itertools import permutations, product
from math import prod

import pytest
import torch

from tokenry.decoding import DySpec
from tokenry.errors import UsageError
from tokenry.method import DraftView, TokenTree
from tokenry.ops import growth, verify
from tokenry.plugs.attach import attach


class Toy:
    """A draft model that is one distribution for every text."""

    def __init__(self, v, seed, sharp=1.5):
        self.v, self.seed, self.sharp, self.asked = v, seed, sharp, []

    def at(self, prefix):
        number = hash((self.seed, *prefix)) % (1 << 31)
        draw = torch.Generator().manual_seed(number)
        scores = torch.randn(self.v, generator=draw, dtype=torch.float64)
        return (self.sharp * scores).softmax(-1)

    def __call__(self, tree):
        self.asked.append(len(tree.tokens))
        return torch.stack([self.at(()), *(self.at(path) for path in paths(tree))])


def paths(tree):
    """The tokens on the way to each node."""
    found = []
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        found.append((*(found[parent] if parent >= 0 else ()), token))
    return found


def view(guide, count, sampling=False):
    text = torch.tensor([0])
    return DraftView(text, text, count, sampling, {}, {}, guide)


def worth(guide, path):
    return prod(float(guide.at(path[:i])[token]) for i, token in enumerate(path))


def by_heap(guide, count, key, order):
    """The paper's heap of open places, one place popped for each node."""
    tick = numbers()

    def place(prefix, worth, taken):
        left = guide.at(prefix).clone()
        left[list(taken)] = 0
        value = worth * float(left.sum() if key == "reach" else left.max())
        return -value, len(prefix), next(tick), prefix, worth, taken

    heap, found = [place((), 1.0, ())], []
    while len(found) < count:
        value, _, _, prefix, mine, taken = heapq.heappop(heap)
        if value == 0:
            break
        token = order(guide.at(prefix))[len(taken)]
        found.append((*prefix, token))
        if len(taken) + 1 < guide.v:
            heapq.heappush(heap, place(prefix, mine, (*taken, token)))
        below = mine * float(guide.at(prefix)[token])
        heapq.heappush(heap, place((*prefix, token), below, ()))
    return found


def likeliest(probs):
    return probs.argsort(descending=True).tolist()


@pytest.mark.parametrize("key", ["reach", "gain"])
@pytest.mark.parametrize(("v", "count"), [(2, 9), (3, 7), (5, 16), (40, 30), (7, 1)])
def test_chosen_tokens_are_those_of_the_heap(key, v, count):
    for seed in range(8):
        guide = Toy(v, seed)
        tree = DySpec(key=key).draft(view(guide, count))
        expected = by_heap(guide, count, key, likeliest)
        assert paths(tree) == expected
        assert tree.probs is None


@pytest.mark.parametrize("key", ["reach", "gain"])
@pytest.mark.parametrize(("v", "count"), [(2, 9), (4, 7), (9, 12)])
def test_drawn_tokens_are_those_of_the_heap(key, v, count, monkeypatch):
    """The order in which tokens are drawn under a node is fixed for both by its distribution."""

    def order(probs):
        draw = torch.Generator().manual_seed(int(probs.sum() * 0 + probs[0] * 1e9))
        return torch.randperm(len(probs), generator=draw).tolist()

    monkeypatch.setattr(
        growth, "race", lambda probs, k: torch.tensor([order(row)[:k] for row in probs])
    )
    for seed in range(8):
        guide = Toy(v, seed)
        tree = DySpec(key=key).draft(view(guide, count, sampling=True))
        assert paths(tree) == by_heap(guide, count, key, order)
        above = {-1, *tree.parents.tolist()}
        for node, path in enumerate([(), *paths(tree)], start=-1):
            if node in above:
                torch.testing.assert_close(tree.probs[node + 1], guide.at(path), rtol=0, atol=0)


def test_gain_finds_the_most_probable_prefixes_and_reach_no_better_ones():
    worse = 0
    for seed, count in product(range(10), range(1, 8)):
        guide = Toy(3, seed)
        every = [p for depth in range(1, count + 1) for p in product(range(3), repeat=depth)]
        best = sum(sorted((worth(guide, p) for p in every), reverse=True)[:count])
        total = {
            key: sum(worth(guide, p) for p in paths(DySpec(key=key).draft(view(guide, count))))
            for key in ("gain", "reach")
        }
        assert total["gain"] == pytest.approx(best, abs=1e-12)
        assert total["reach"] <= best + 1e-12
        worse += total["reach"] < best - 1e-6
    assert worse > 10


class Pick:
    """Chooses as a script says, where it ends the first option, and notes the others."""

    def __init__(self, script, scripts):
        self.script, self.scripts, self.at, self.weight = script, scripts, 0, 1.0

    def __call__(self, options):
        if self.at == len(self.script):
            self.scripts += [[*self.script, i] for i in range(1, len(options))]
            self.script.append(0)
        value, chance = options[self.script[self.at]]
        self.at, self.weight = self.at + 1, self.weight * chance
        return value


def outcomes(run):
    """Every way that `run(pick)` can go, with its probability."""
    scripts = [[]]
    while scripts:
        pick = Pick(scripts.pop(), scripts)
        yield run(pick), pick.weight


class Coin:
    """A number from [0, 1) of which only the outcome of a comparison is ever known."""

    def __init__(self, pick):
        self.pick = pick

    def __lt__(self, chance):
        return self.pick([(True, chance), (False, 1 - chance)])


def every_order(pick):
    """A race with all its outcomes, each as probable as drawing without putting back makes it."""

    def race(probs, k):
        rows = []
        for row in probs.tolist():
            options = []
            for order in permutations(range(len(row)), k):
                left, chance = 1.0, 1.0
                for token in order:
                    chance *= row[token] / left
                    left -= row[token]
                options.append((order, chance))
            rows.append(pick(options))
        return torch.tensor(rows)

    return race


@pytest.mark.parametrize("key", ["reach", "gain"])
@pytest.mark.parametrize(("v", "count"), [(2, 3), (3, 2), (4, 2)])
def test_what_is_written_has_the_models_distribution(key, v, count, monkeypatch):
    """All draws of tree and verification are gone through: no chance is left in this test."""
    guide, target = Toy(v, 1), Toy(v, 2)
    found = torch.zeros(v, v, dtype=torch.float64)
    expected = torch.stack([target.at(())[a] * target.at((a,)) for a in range(v)])

    def run(pick):
        monkeypatch.setattr(growth, "race", every_order(pick))
        tree = DySpec(key=key).draft(view(guide, count, sampling=True))
        tokens, parents = tree.tokens.tolist(), tree.parents.tolist()
        node, text = -1, ()
        while True:
            under = [i for i, parent in enumerate(parents) if parent == node]
            candidates = [tokens[i] for i in under]
            passed, p = verify.choose(
                target.at(text), candidates, tree.probs[node + 1], lambda: Coin(pick)
            )
            if passed is None:
                return text, p
            node, text = under[passed], (*text, candidates[passed])

    total = 0.0
    for (text, last), weight in outcomes(run):
        total += weight
        if len(text) >= 2:
            found[text[:2]] += weight
        elif text:
            found[text[0]] += weight * last
        else:
            found += weight * last[:, None] * torch.stack([target.at((a,)) for a in range(v)])
    assert total == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_race_draws_without_putting_back():
    torch.manual_seed(0)
    probs = torch.tensor([0.6, 0.3, 0.1, 0.0])
    drawn = growth.race(probs.expand(20_000, 4), 3)
    seen = {
        order: float((drawn == torch.tensor(order)).all(1).float().mean())
        for order in permutations(range(3))
    }
    assert sum(seen.values()) == pytest.approx(1)
    for (a, b, _), share in seen.items():
        assert share == pytest.approx(float(probs[a] * probs[b] / (1 - probs[a])), abs=0.015)


@pytest.mark.parametrize("sampling", [False, True])
def test_the_draft_runs_once_for_each_level(sampling):
    guide = Toy(50, 3, sharp=3)
    tree = DySpec().draft(view(guide, 24, sampling))
    depth = max(map(len, paths(tree)))
    assert depth > 2
    assert len(guide.asked) <= depth + 1
    assert guide.asked == sorted(set(guide.asked))


def test_a_threshold_leaves_out_what_the_whole_tree_has_below_it():
    guide = Toy(12, 5)
    whole = paths(DySpec().draft(view(guide, 40)))
    short, calls = Toy(12, 5), len(guide.asked)
    for least in (0.02, 0.1, 0.3):
        kept = paths(DySpec(threshold=least).draft(view(short, 40)))
        assert kept == [path for path in whole if worth(guide, path) >= least]
    assert calls > 1
    assert not paths(DySpec(threshold=1.0).draft(view(short, 40)))


def test_where_the_draft_is_sure_the_tree_is_a_chain_and_nothing_impossible_is_drawn():
    def sure(tree):
        rows = torch.zeros(len(tree.tokens) + 1, 6)
        rows[:, 4] = 1
        return rows

    for sampling in (False, True):
        tree = DySpec().draft(view(sure, 5, sampling))
        assert tree.tokens.tolist() == [4] * 5
        assert tree.parents.tolist() == [-1, 0, 1, 2, 3]


def test_without_a_draft_model_or_room_nothing_is_drafted():
    guide = Toy(4, 0)
    assert not len(DySpec().draft(view(guide, 0)).tokens)
    assert not len(DySpec().draft(view(None, 5)).tokens)
    assert not guide.asked


def test_a_model_that_was_given_is_named_by_its_class():
    given = DySpec(model=torch.nn.Linear(1, 1), budget=8)
    assert given.describe() == "DySpec(budget=8, model='Linear')"
    with pytest.raises(UsageError, match="DySpec: model=3 is not str or Module"):
        DySpec(model=3)
    with pytest.raises(UsageError, match="DySpec: key='both'"):
        DySpec(key="both")


def test_a_tree_has_no_two_nodes_for_one_text():
    torch.manual_seed(0)
    for seed in range(20):
        tree = DySpec().draft(view(Toy(4, seed), 20, sampling=True))
        assert isinstance(tree, TokenTree)
        assert len(set(paths(tree))) == len(tree.tokens) == 20


@pytest.fixture
def pair(language):
    """A tiny model in float64, and a draft that often agrees with it."""
    target = language(eos_token_id=None).model.double()
    draft = copy.deepcopy(target)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for weight in draft.parameters():
            weight += 0.05 * weight.std() * torch.randn_like(weight)
    return target, draft


@pytest.mark.parametrize("budget", [2, 9, 30])
def test_greedy_text_is_the_models_own_in_fewer_passes(pair, budget):
    target, draft = pair
    ids = torch.tensor([[0, 0, 9, 8, 7], [5, 4, 3, 2, 1], [0, 30, 31, 32, 33]])
    real = (ids > 0).long()
    asked = {"attention_mask": real, "max_new_tokens": 24, "do_sample": False, "pad_token_id": 0}
    expected = target.generate(ids, **asked)
    with attach(target, DySpec(model=draft, budget=budget)) as attachment:
        assert torch.equal(target.generate(ids, **asked), expected)
        again = target.generate(expected[1:, :20], max_new_tokens=9, do_sample=False)
    trace = attachment.trace
    assert trace.accepted_length > 0.3
    assert trace.passes < 9
    assert torch.equal(again, target.generate(expected[1:, :20], max_new_tokens=9, do_sample=False))


def test_sampling_with_filters_draws_what_the_filters_leave(pair):
    """The draft goes through the same filters, or nothing that it draws would pass."""
    target, draft = pair
    ids = torch.tensor([[5, 4, 3, 2, 1]]).repeat(4, 1)
    asked = {"max_new_tokens": 24, "do_sample": True, "top_k": 2, "temperature": 0.7}
    with attach(target, DySpec(model=draft, budget=9)) as attachment:
        torch.manual_seed(0)
        text = target.generate(ids, **asked)
    assert attachment.trace.accepted_length > 0.5
    with torch.no_grad():
        best = target(text).logits[:, 4:-1].topk(2).indices
    assert (best == text[:, 5:, None]).any(-1).all()


def test_a_draft_of_another_vocabulary_leaves_the_model_alone(pair, language):
    target, _ = pair
    with pytest.raises(UsageError, match="byte-exact"):
        attach(target, DySpec(model=language(vocab_size=99, eos_token_id=None).model))
    assert "generate" not in vars(target)
