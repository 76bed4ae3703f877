"""What the paper says of Token Recycling, on SmolLM2-135M."""

import pytest
import torch

from tokenry import zoo
from tokenry.decoding import TokenRecycling
from tokenry.plugs.attach import attach

NEW = 48
BUDGET = 24


def logs():
    """The beginnings of four logs, alike in their words and not in their numbers."""
    for day, worker, job in ((3, 2, 1841), (7, 5, 2210), (12, 1, 3377), (21, 4, 4102)):
        yield "".join(
            f"2024-05-{day:02} 10:00:{i:02} INFO worker-{worker + i % 2} finished job "
            f"{job + i} in {12 + 3 * i % 7} ms\n"
            for i in range(4)
        )


@pytest.mark.slow
def test_a_table_kept_from_request_to_request_drafts_better():
    loaded = zoo.load("zoo:smollm2-135m")
    model, tokenizer = loaded.model, loaded.processor
    prompts = [tokenizer(text, return_tensors="pt") for text in logs()]
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    accepted = {"hot": [], "cold": []}
    hot = attach(model, TokenRecycling(budget=BUDGET))
    with hot:
        for prompt in prompts:
            written = model.generate(**prompt, **settings)
            assert hot.trace.passes < hot.trace.tokens
            accepted["hot"].append((hot.trace.accepted_length, written))
    for prompt in prompts:
        with attach(model, TokenRecycling(budget=BUDGET)) as cold:
            written = model.generate(**prompt, **settings)
            accepted["cold"].append((cold.trace.accepted_length, written))
    for (_, one), (_, other) in zip(*accepted.values(), strict=True):
        assert torch.equal(one, other)
    later = {kind: sum(mean for mean, _ in told[1:]) / 3 for kind, told in accepted.items()}
    assert later["hot"] > 1.0
    assert later["hot"] > later["cold"]
