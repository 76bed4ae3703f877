"""What KRISS promises, on a small world whose encoder starts from scratch.

Twenty names are shared by two entities each. An entity has a name of its own as well, and lies
near three of twenty-four landmarks. Texts mention entities by their own names; the test asks for
the shared ones. The real encoder and real places are in recipes/kriss_places.py.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tokenry.linking import Kriss
from tokenry.method import Aids, Scored, Side
from tokenry.plugs.marked_spans import embed, span_encoder
from tokenry.plugs.tuning import tune

pytest.importorskip("ahocorasick")
pytest.importorskip("sentence_transformers")

MARKS = [f"landmark{i}" for i in range(24)]
RULE = Kriss(aliases="aliases", description="about", temperature=0.1)
UNSEEN = 8  # entities that no text mentions


def sentence(name, near, draw, forms):
    first, second = draw.sample(near, 2)
    text = draw.choice(forms).format(name=name, first=first, second=second)
    start = text.index(name)
    return text, start, start + len(name)


class World:
    """An ontology, texts, and what is asked."""

    def __init__(self):
        draw = random.Random(0)
        self.near = [draw.sample(MARKS, 3) for _ in range(40)]
        self.titles = [f"shared{i // 2}" for i in range(40)]
        own = [[f"own{i}"] for i in range(40)]
        about = [f"near {' and '.join(near)}" for near in self.near]
        columns = {"title": self.titles, "aliases": own, "about": about}
        self.ontology = Side(columns=columns, keys=("title",), count=40)
        seen = ("from {first} we came to {name} by night", "{name} has {first} and {second}")
        self.texts = [
            sentence(own[i][0], self.near[i], draw, seen)[0]
            for i in range(40 - UNSEEN)
            for _ in range(12)
        ]
        asked = ("we came from {first} and {second} to {name}", "by night {first} has {name}")
        self.asked = self.mentions(draw, (asked[0],) * 2)
        self.labelled = self.mentions(draw, seen[1:])

    def mentions(self, draw, forms):
        rows = [
            sentence(self.titles[i], self.near[i], draw, [form])
            for i in range(40)
            for form in forms
        ]
        columns = dict(zip(("text", "start", "end"), zip(*rows, strict=True), strict=True))
        columns["name"] = [text[start:end] for text, start, end in rows]
        return Side(columns=columns, keys=("name",), count=len(rows))

    def right(self, rule, vectors, known=None, asked=None):
        """Whether the best entity of each mention is the one that is meant: ids, never names."""
        tables = {"corpus": Side(columns={"text": self.texts}, keys=(), count=len(self.texts))}
        side = self.asked if asked is None else asked
        aids = Aids(embed=vectors, tables=tables, known=known)
        found = rule.prepare(side, self.ontology, aids).nearest(1)
        gold = np.repeat(np.arange(40), 2)
        labelled = np.arange(side.count - len(gold))  # one of each entity comes first
        return found.right == np.r_[labelled, gold]


def encoder(words):
    """A BERT of one layer over whole words, from scratch."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *sorted(words)])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=48,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=96,
            max_position_embeddings=64,
            initializer_range=0.1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        return span_encoder((BertModel(config), tokenizer), pooling="mean", longest=40)


@pytest.fixture(scope="module")
def trained():
    """The world, and the vectors of an encoder that read its texts."""
    world = World()
    told = [one for one in RULE.ontology(world.ontology).told if one]
    every = " ".join([*told, *world.texts, *world.asked.columns["text"]])
    plain = "".join(letter if letter.isalnum() else " " for letter in every)
    model = encoder(set(plain.split()) | {"ENT"})
    pairs, groups = RULE.training_pairs(world.ontology, world.texts)
    tune(model, pairs, RULE, steps=200, batch_size=32, rate=3e-3, groups=groups, progress=False)
    return world, embed(model)


@pytest.mark.slow
def test_claim_context_tells_namesakes_apart(trained):
    """A dictionary, and a prior where both are as likely, are right for half of the mentions."""
    world, vectors = trained
    whole = world.right(RULE, vectors)[: -2 * UNSEEN]
    bare = world.right(replace(RULE, text=None), vectors)[: -2 * UNSEEN]
    assert whole.mean() > 0.5 + 0.1
    assert bare.mean() < 0.5 + 0.1


@pytest.mark.slow
def test_claim_entities_without_mentions_are_found_by_what_is_said_of_them(trained):
    """One of 40 is right by chance; none is found where what is missing counts as zeros."""
    world, vectors = trained
    unseen = world.right(RULE, vectors)[-2 * UNSEEN :]
    zeros = world.right(replace(RULE, released=True), vectors)[-2 * UNSEEN :]
    assert unseen.mean() > 5 / 40
    assert zeros.mean() < unseen.mean()


@pytest.mark.slow
def test_claim_a_labelled_mention_does_no_harm(trained):
    world, vectors = trained
    rows = np.arange(40)
    known = Scored(rows, rows, np.ones(40))
    names = world.asked.columns
    both = {name: [*world.labelled.columns[name], *names[name]] for name in names}
    side = Side(columns=both, keys=("name",), count=120)
    found = world.right(replace(RULE, threshold=1.0), vectors, known, side)
    assert found[40:].mean() >= world.right(RULE, vectors).mean()
