"""Threads under an induction model that is trained here: it writes a thread step by step."""

import re
from itertools import pairwise
from random import Random

import pytest
import torch
from torch import nn

from tokenry.method import Response
from tokenry.probes import NeedleThreading

pytestmark = pytest.mark.slow

STRINGS, ASK, PAIRS = 64, 64, 10
CHAINS = [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9, 10], [11, 12], [13, 14]]
STEPS, BATCH, RATE = 500, 64, 3e-3


def batch(source):
    """Ten pairs in random order, then each chain of them from its first key to its end."""
    names = torch.rand(BATCH, STRINGS, generator=source).argsort(1)
    links = torch.tensor([pair for chain in CHAINS for pair in pairwise(chain)])
    order = torch.rand(BATCH, PAIRS, generator=source).argsort(1)[..., None].expand(-1, -1, 2)
    body = names[:, links].gather(1, order).flatten(1)
    asked = [CHAINS[i] for i in torch.randperm(len(CHAINS), generator=source).tolist()]
    walks = [torch.cat([names.new_full((BATCH, 1), ASK), names[:, chain]], 1) for chain in asked]
    targets = [torch.cat([walk.new_full((BATCH, 2), -100), walk[:, 2:]], 1) for walk in walks]
    ignored = torch.full_like(body, -100)
    return torch.cat([body, *walks], 1), torch.cat([ignored, *targets], 1)


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=STRINGS + 1,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        rope_theta=1000.0,
    )
    found, source = LlamaForCausalLM(config), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(found.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, pct_start=0.1)
    for _ in range(STEPS):
        ids, targets = batch(source)
        logits = found(ids).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(found.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return found.eval()


@torch.no_grad()
def accuracy(model, probe, count):
    """The probe's accuracy when the model writes one value after the other."""
    items, source = probe.items(), Random(0)
    prompts, strings = [], []
    for item in items:
        written = re.findall(r"\"(\w+)\"", item.context)
        distinct = sorted(set(written))
        names = dict(zip(distinct, source.sample(range(STRINGS), len(distinct)), strict=True))
        asked = re.findall(r"\"(\w+)\"", item.rest)[0]
        prompts.append([*(names[one] for one in written), ASK, names[asked]])
        strings.append({name: one for one, name in names.items()})
    ids = torch.tensor(prompts)
    for _ in range(count):
        ids = torch.cat([ids, model(ids).logits[:, -1:, :STRINGS].argmax(-1)], 1)
    last = ids[:, -1].tolist()
    told = [
        Response(len(ids[0]), one.get(token, "")) for one, token in zip(strings, last, strict=True)
    ]
    return probe.measure(items, told).scores


def test_claim_long_threads_get_lost(model):
    def share(written, **settings):
        probe = NeedleThreading(digits=4, lengths=(16 * PAIRS,), **settings)
        scores = accuracy(model, probe, written)
        return sum(score.value for score in scores) / len(scores)

    needle = share(1, repeats=30)
    short = share(2, task="thread", steps=2, repeats=300)
    long = share(5, task="thread", steps=5, repeats=300)
    backward = share(5, task="thread", steps=5, repeats=300, direction="backward")
    print(f"needle {needle:.2f}, thread of 2 {short:.2f}, of 5 {long:.2f}, backward {backward:.2f}")
    assert needle > short > long + 0.05
