"""KRISS: what is read of an ontology and of texts, its score and its loss by brute force."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from tokenry import checks
from tokenry.errors import UsageError
from tokenry.linking import Kriss
from tokenry.linking.ontology import SEPARATOR, Ontology, names_of, prototypes
from tokenry.linking.prototypes import Prototypes
from tokenry.method import Aids, Batch, Scored, Side
from tokenry.ops.similarity import unit

pytest.importorskip("ahocorasick")

ONTOLOGY = Side(
    columns={
        "title": ["Springfield", "Springfield", "Chicago", None],
        "aliases": [["Home of Lincoln"], "The City of Homes|Hampden", None, []],
        "about": ["In Illinois.", "In Massachusetts.", None, None],
    },
    keys=("title",),
    count=4,
)
TEXTS = [
    "From Chicago to Springfield, the Home of Lincoln.",
    "Hampden is not Hampdenshire, and The City of Homes is near.",
    "Chicago again, and Chicago.",
]
RULE = Kriss(aliases="aliases", description="about", words=2)


def random_vectors(texts, width=16):
    """Vectors of length one, the same for the same text."""
    seeds = [random.Random(text).getrandbits(32) for text in texts]
    rows = np.stack([np.random.default_rng(seed).normal(size=width) for seed in seeds])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_what_the_ontology_says():
    known = RULE.ontology(ONTOLOGY)
    assert known.told == [
        "<ENT> Springfield </ENT> (Home of Lincoln) ; In Illinois.",
        "<ENT> Springfield </ENT> (The City of Homes; Hampden) ; In Massachusetts.",
        "<ENT> Chicago </ENT>",
        None,
    ]
    assert known.names[1:] == [("Springfield", "The City of Homes", "Hampden"), ("Chicago",), ()]


def test_shared_names_are_no_training_mentions_and_stay_candidates():
    found = RULE.ontology(ONTOLOGY).mentions(TEXTS, 2)
    assert {entity: len(own) for entity, own in found.items()} == {0: 1, 1: 2, 2: 3}
    assert all("Springfield" not in names_of(one)[0] for own in found.values() for one in own)
    asked = Side(columns={"text": TEXTS[:1], "start": [16], "end": [27]}, keys=(), count=1)
    every = RULE.prepare(asked, ONTOLOGY, Aids(embed=random_vectors)).nearest(9)
    assert sorted(every.right.tolist()) == [0, 1, 2]


def test_pairs_are_of_one_entity_and_each_mention_meets_its_reference():
    pairs, entities = RULE.training_pairs(ONTOLOGY, TEXTS)
    told = RULE.ontology(ONTOLOGY).told
    assert sorted(entities) == [0, 1, 1, 1, 2, 2, 2, 2]
    references = [
        (e, right) for (_, right), e in zip(pairs, entities, strict=True) if right in told
    ]
    assert [told.index(right) for _, right in references] == [e for e, _ in references]
    assert len(references) == 6


def test_mentions_are_hidden_and_replaced_as_often_as_said():
    rule, draw = Kriss(mask=0.2, replace=0.3), random.Random(0)
    text = f"to <ENT> Rome{SEPARATOR}Roma{SEPARATOR}Urbs{SEPARATOR} </ENT> now"
    read = [rule.pair(text, "plain", draw) for _ in range(4000)]
    assert {right for _, right in read} == {"plain"}
    names = [left.split("<ENT> ")[1].split(" </ENT>")[0] for left, _ in read]
    assert {left.replace(n, "") for (left, _), n in zip(read, names, strict=True)} == {
        "to <ENT>  </ENT> now"
    }
    shares = {name: names.count(name) / 4000 for name in set(names)}
    wanted = {"[MASK]": 0.2, "Roma": 0.15, "Urbs": 0.15, "Rome": 0.5}
    assert shares == pytest.approx(wanted, abs=0.03)


def test_prototypes_cover_every_name_before_any_comes_twice():
    own = Ontology([("a", "b", "c")], [None])
    found = own.mentions(["a x", "a y", "a z", "b x", "c x"], 3)
    owners, shown = prototypes(found, 3, seed=1)
    assert owners.tolist() == [0, 0, 0]
    assert sorted(one.split()[1] for one in shown) == ["a", "b", "c"]
    assert len(prototypes(found, 9, seed=1)[1]) == 5
    assert len(prototypes({}, 3, seed=0)[0]) == 0


def test_the_loss_by_brute_force_and_no_gradient_between_mentions_of_one_entity():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([0, 0, 1, 2])
    rule = Kriss(temperature=0.5)
    loss = rule.loss(Batch(vectors={"left": x, "right": y}, groups=groups)).total
    scores = (unit(x) @ unit(y).T / 0.5).tolist()
    total = 0.0
    for table in (scores, [list(column) for column in zip(*scores, strict=True)]):
        for i in range(4):
            others = [j for j in range(4) if j == i or groups[j] != groups[i]]
            total -= table[i][i] - math.log(sum(math.exp(table[i][j]) for j in others))
    assert float(loss.detach()) == pytest.approx(total / 8, rel=1e-5)
    two = Batch(vectors={"left": x[:2], "right": y[:2]}, groups=groups[:2])
    rule.loss(two).total.backward()
    assert x.grad is None or float(x.grad.abs().max()) < 1e-7


@pytest.mark.parametrize("zeros", [False, True])
def test_the_score_is_both_inner_products_of_the_best_prototype(zeros):
    """The same as one inner product of [q; q] with [reference; prototype], the best of each."""
    draw = np.random.default_rng(0)
    q, r, p = (draw.normal(size=(n, 7)) for n in (5, 6, 8))
    q[2] = r[5] = np.nan
    owner = np.sort(draw.integers(0, 4, 8))
    matcher = Prototypes(q, r, p, owner, zeros=zeros)
    table = np.full((5, 6), np.nan)
    for i in range(5):
        for e in range(5):
            halves = p[owner == e] if (owner == e).any() else [np.zeros(7) if zeros else r[e]]
            table[i, e] = max(np.r_[q[i], q[i]] @ np.r_[r[e], half] for half in halves)
    rows, columns = (some.ravel() for some in np.indices((5, 6)))
    assert np.allclose(matcher.score(rows, columns).reshape(5, 6), table, equal_nan=True)
    parts = matcher.parts(rows, columns)
    assert np.allclose(sum(parts.values()), matcher.score(rows, columns), equal_nan=True)
    found = matcher.nearest(3)
    for i in (0, 1, 3, 4):
        assert found.right[found.left == i].tolist() == np.argsort(-table[i, :5])[:3].tolist()
    assert 2 not in found.left


def test_many_prototypes_of_one_entity_crowd_nobody_out():
    q = np.array([[1.0, 0.0]])
    matcher = Prototypes(q, np.zeros((3, 2)), np.tile(q, (50, 1)), np.zeros(50, np.int64))
    assert matcher.nearest(3).right.tolist() == [0, 1, 2]


def test_a_labelled_mention_is_one_more_prototype():
    text = "Take Springfield road"
    columns = {"text": [text, None], "start": [5, None], "end": [16, None]}
    asked = Side(columns=columns, keys=(), count=2)
    known = Scored(np.array([0, 0, 1]), np.array([1, 0, 2]), np.array([1.0, 0.0, 1.0]))
    plain = RULE.prepare(asked, ONTOLOGY, Aids(embed=random_vectors))
    matcher = RULE.prepare(asked, ONTOLOGY, Aids(embed=random_vectors, known=known))
    one = np.array([0])
    assert matcher.parts(one, np.array([1]))["mention"] == pytest.approx(1)
    assert matcher.score(one, one) == plain.score(one, one)
    assert matcher.threshold == plain.score(one, np.array([1]))


def test_a_referee_has_the_last_word_on_the_best():
    class Referee:
        def yes(self, prompts):
            seen.extend(prompts)
            return np.array([0.9 if "Massachusetts" in one else 0.1 for one in prompts])

        def options(self, prompts, count):
            raise AssertionError

        def write(self, prompts, tokens):
            raise AssertionError

    seen = []
    asked = Side(columns={"text": ["Springfield"], "start": [0], "end": [11]}, keys=(), count=1)
    aids = Aids(embed=random_vectors, referee=Referee())
    matcher = Kriss(description="about", rerank=3).prepare(asked, ONTOLOGY, aids)
    found = matcher.nearest(2)
    assert (found.right[0], found.score[0], len(found.right)) == (1, 0.9, 2)
    assert len(seen) == 3
    assert seen[0].split("\n")[0] == "<ENT> Springfield </ENT>"
    assert matcher.threshold == 0.5


def test_names_alone_are_read_without_a_text():
    asked = Side(columns={"name": ["Springfield", None]}, keys=("name",), count=2)
    rule = Kriss(text=None)
    assert rule.windows(asked) == ["<ENT> Springfield </ENT>", None]
    found = rule.prepare(asked, ONTOLOGY, Aids(embed=random_vectors)).nearest(1)
    assert found.right.tolist() == [0]  # its namesake scores the same
    assert found.score.tolist() == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Kriss(mask=0.7, replace=0.7), "more than 1 together"),
        (lambda: Kriss(aliases="further").ontology(ONTOLOGY), "needs a column 'further'"),
        (lambda: Kriss().prepare(ONTOLOGY, ONTOLOGY, Aids()), "needs embed"),
        (lambda: Kriss().windows(ONTOLOGY), "needs a column 'text'"),
    ],
)
def test_wrong_input_is_refused_in_words(build, message):
    with pytest.raises(UsageError, match=message):
        build()


@pytest.mark.parametrize("name", sorted(checks.LINKER))
def test_common_checks(name):
    assert checks.LINKER[name](Kriss) == ""
