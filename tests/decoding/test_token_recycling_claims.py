"""What the paper says of Token Recycling, on SmolLM2-135M."""

import pytest
import torch

from tokenry.decoding import TokenRecycling
from tokenry.plugs.attach import attach

NEW = 40
BUDGET = 81  # the paper's


def logs():
    """The beginnings of three logs, alike in their words and not in their numbers."""
    for day, worker, job in ((3, 2, 1841), (7, 5, 2210), (12, 1, 3377)):
        yield "".join(
            f"2024-05-{day:02} 10:00:{i:02} INFO worker-{worker + i % 2} finished job "
            f"{job + i} in {12 + 3 * i % 7} ms\n"
            for i in range(4)
        )


@pytest.mark.slow
def test_a_table_kept_from_request_to_request_drafts_better(smollm2):
    model, tokenizer = smollm2.model, smollm2.processor
    prompts = [tokenizer(text, return_tensors="pt") for text in logs()]
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    hot, cold = [], []
    with attach(model, TokenRecycling(budget=BUDGET)) as kept:
        for prompt in prompts:
            written = model.generate(**prompt, **settings)
            assert kept.trace.passes < kept.trace.tokens
            hot.append((kept.trace.accepted_length, written))
    for prompt in prompts[1:]:
        with attach(model, TokenRecycling(budget=BUDGET)) as fresh:
            written = model.generate(**prompt, **settings)
            cold.append((fresh.trace.accepted_length, written))
    for (_, one), (_, other) in zip(hot[1:], cold, strict=True):
        assert torch.equal(one, other)
    first, *later = (mean for mean, _ in hot)
    assert sum(later) / 2 > max(1.0, first)
    assert sum(later) > 1.5 * sum(mean for mean, _ in cold)
