"""Through the real loop, drafts leave the distribution of sampled texts as it is."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from tokenry.checks.models import tiny_decoder
from tokenry.method import Drafter, TokenTree
from tokenry.plugs.attach import attach

V, NEW, DRAWS = 5, 3, 6000
PROMPT = torch.tensor([[1, 4, 2, 3]])


@dataclass(frozen=True, kw_only=True)
class Chooses(Drafter):
    """Always the same tree of chosen tokens, two of them equal."""

    def draft(self, view):
        if view.count < 5:
            return TokenTree(torch.tensor([3])[: view.count], torch.tensor([-1])[: view.count])
        return TokenTree(torch.tensor([2, 4, 4, 1, 0]), torch.tensor([-1, -1, -1, 0, 1]))


@dataclass(frozen=True, kw_only=True)
class Draws(Drafter):
    """Two tokens drawn without putting back, and one under the first; not like the model at all."""

    def draft(self, view):
        n = min(view.count, 3)
        weights = torch.tensor([0.4, 0.1, 0.0, 0.3, 0.2])
        probs = torch.stack([weights, weights.flip(0), weights, weights])[: n + 1]
        first = torch.multinomial(probs[0], 2)
        under = torch.multinomial(probs[1], 1) if n else first[:0]
        return TokenTree(torch.cat([first, under])[:n], torch.tensor([-1, -1, 0])[:n], probs)


def toy(seed=0):
    return tiny_decoder("llama", seed, vocab_size=V, num_hidden_layers=2).double()


@torch.no_grad()
def exact(model, temperature=1.0, top_k=V):
    """The probability of each text of three tokens, from the model's own scores."""
    texts = list(itertools.product(range(V), repeat=NEW))
    ids = torch.cat([PROMPT.expand(len(texts), -1), torch.tensor(texts)], 1)
    scores = model(ids).logits[:, PROMPT.shape[1] - 1 : -1] / temperature
    least = scores.topk(top_k, -1).values[..., -1:]
    p = scores.masked_fill(scores < least, -torch.inf).softmax(-1)
    return p.gather(2, torch.tensor(texts)[..., None]).prod(1).flatten().numpy()


def counted(model, method, rows, draws=DRAWS, **settings):
    """How often each text is written."""
    torch.manual_seed(1)
    counts = np.zeros(V**NEW)
    with attach(model, method) as attachment:
        for _ in range(draws // rows):
            ids = PROMPT.repeat(rows, 1)
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=NEW,
                pad_token_id=0, **settings,
            )  # fmt: skip
            places = out[:, PROMPT.shape[1] :] @ torch.tensor([V * V, V, 1])
            counts += np.bincount(places.numpy(), minlength=V**NEW)
        return counts, attachment.trace


def assert_fits(counts, expected):
    """Pearson's test, texts of few expected draws put together."""
    assert counts[expected == 0].sum() == 0
    rare = expected * counts.sum() < 5
    seen = [*counts[~rare], counts[rare].sum()]
    due = [*(expected[~rare] * counts.sum()), expected[rare].sum() * counts.sum()]
    if due[-1] == 0:
        seen, due = seen[:-1], due[:-1]
    assert chisquare(seen, due).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("method", [Chooses(budget=8), Draws(budget=8)], ids=lambda m: type(m))
def test_drafts_leave_the_distribution_as_it_is(method):
    model = toy()
    counts, trace = counted(model, method, rows=60)
    assert trace.accepted.max() > 0
    assert_fits(counts, exact(model))


@pytest.mark.slow
def test_filters_act_before_drafts_are_verified():
    model, settings = toy(), {"temperature": 1.7, "top_k": 3}
    counts, _ = counted(model, Draws(budget=8), rows=60, **settings)
    assert_fits(counts, exact(model, **settings))


def test_a_wrong_rule_is_found(monkeypatch):
    """Were each drafted token simply taken, the test would see it."""
    from tokenry.plugs import drafting_loop

    monkeypatch.setattr(
        drafting_loop, "choose", lambda p, tokens, r, uniform: (0 if tokens else None, p)
    )
    model = toy()
    counts, _ = counted(model, Chooses(budget=8), rows=60, draws=600)
    with pytest.raises(AssertionError):
        assert_fits(counts, exact(model))


def test_without_drafts_a_seed_draws_what_it_draws_in_transformers():
    model, written = toy(), []
    for method in (None, Chooses(budget=1)):
        attachment = attach(model, method) if method else None
        torch.manual_seed(3)
        written.append(model.generate(PROMPT, do_sample=True, max_new_tokens=40, pad_token_id=0))
        if attachment:
            attachment.detach()
    assert torch.equal(*written)
