"""What DySpec claims, with SmolLM2 and its shipped draft on texts that the draft never saw."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from tokenry import zoo
from tokenry.data.manpages import manpages
from tokenry.decoding import DySpec
from tokenry.errors import UsageError
from tokenry.method import DraftView
from tokenry.plugs.attach import attach
from tokenry.plugs.guide import Guide

pytestmark = pytest.mark.slow

NODES, WRITTEN = 15, 48
QUESTIONS = (
    "Why is the sky blue?",
    "Write a short letter to a friend who moved to another city.",
    "What is the difference between a lion and a tiger?",
    "Write a Python function that counts the vowels in a word.",
    "How do I keep tomatoes fresh?",
    "Who was Marie Curie?",
)


@lru_cache(maxsize=1)
def pair():
    """Both models, and what SmolLM2 writes, greedily, for pages held out and for questions."""
    loaded, draft = zoo.load("zoo:smollm2-135m"), zoo.load("zoo:smollm2-draft").model
    tokenizer = loaded.processor
    pages = list(dict.fromkeys(example.text for example in manpages().examples))[::10]
    prompts = [tokenizer(page)["input_ids"][:120] for page in pages]
    for question in QUESTIONS:
        chat = [{"role": "user", "content": question}]
        prompts.append(
            tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        )
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    with torch.no_grad():
        written = loaded.model.generate(
            **batch, max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False
        )
    texts = [(len(p), t[-len(p) - WRITTEN :]) for p, t in zip(prompts, written, strict=True)]
    return loaded.model, draft, texts


def test_the_shipped_draft_is_refused_by_name_where_it_does_not_fit(language):
    model = language().model
    with pytest.raises(UsageError, match=r"zoo:smollm2-draft does not share.* 49152 tokens"):
        attach(model, "dyspec")
    assert "generate" not in vars(model)


def depth_of(tree, following):
    """How many nodes in a row are what follows."""
    steps = list(zip(tree.parents.tolist(), tree.tokens.tolist(), strict=True))
    node = -1
    for depth, token in enumerate(following):
        if (node, token) not in steps:
            return depth
        node = steps.index((node, token))
    return len(following)


def value_of(tree, asked, probs):
    """The sum of the probabilities of all nodes, each with those on its way."""

    def paths(tree):
        found = []
        for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
            found.append((*(found[parent] if parent >= 0 else ()), token))
        return found

    row = {path: i for i, path in enumerate([(), *paths(asked)])}
    worth = {(): 1.0}
    for path in paths(tree):
        worth[path] = worth[path[:-1]] * float(probs[row[path[:-1]], path[-1]])
    return sum(worth.values()) - 1


@lru_cache(maxsize=1)
def measured():
    """Accepted tokens at each place of each text: dynamic, chain, two and four branches; value."""
    target, draft, texts = pair()
    guide, found = Guide("DySpec", draft, target), []
    for start, text in texts:
        with torch.no_grad():
            scores = draft(text[None, :-1]).logits[0]
        right = scores.gather(1, text[1:, None])
        ranks = [0, *(scores > right).sum(1).tolist()]  # of each token, after those before it
        rows = []
        for at in range(start, len(text) - 6, 2):
            last = []
            ask = guide.under(0, text[:at], NODES, [])

            def noted(tree, ask=ask, last=last):
                last[:] = tree, ask(tree)
                return last[1]

            view = DraftView(text[:at], text[:start], NODES, False, {}, {}, noted)
            tree = DySpec().draft(view)
            assert len(tree.tokens) == NODES
            rows.append(
                (
                    depth_of(tree, text[at:].tolist()),
                    *(fixed(ranks[at:], branches) for branches in (1, 2, 4)),
                    value_of(tree, *last),
                )
            )
        found.append(np.array(rows))
    return found


def fixed(ranks, k):
    """Tokens accepted from the tree of the first NODES nodes, breadth first, with k branches."""
    before, place = 0, 0
    for depth, rank in enumerate(ranks):
        place = place * k + rank
        if rank >= k or before + place >= NODES:
            return depth
        before += k ** (depth + 1)
    return len(ranks)


def test_a_dynamic_tree_has_more_accepted_than_fixed_trees_of_its_size():
    every = np.concatenate(measured())
    dynamic, *others = every[:, :4].mean(0)
    assert all(dynamic >= other for other in others)
    assert dynamic > 0.3


def test_the_value_of_a_tree_foretells_what_is_accepted():
    every = np.concatenate(measured())
    assert np.corrcoef(every[:, 4], every[:, 0])[0, 1] > 0.3
