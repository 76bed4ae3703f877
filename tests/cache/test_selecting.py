"""What holds of every policy that selects, on a tiny model."""

import copy

import pytest
import torch

from tokenry.cache import ActQKV, TokenSelect
from tokenry.plugs.attach import attach

BLOCKS = {"sinks": 4, "local": 8, "block": 4, "members": 2, "chunk": 8}
POLICIES = [
    TokenSelect(keep=0.3, chunk=50, reuse=0.6),
    ActQKV(**BLOCKS, keep=0.4, history=4, sharpness=30.0),  # its layers share out unevenly
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.card.slug)
@torch.no_grad()
def test_texts_of_a_batch_do_not_see_each_other(tiny_llama, policy):
    """Each alone gives what it gives beside the other, in a prompt of chunks and token by token."""
    model = copy.deepcopy(tiny_llama).double()  # in single precision near ties go either way
    ids = torch.randint(3, 61, (2, 112), generator=torch.Generator().manual_seed(4))

    def run(rows):
        with attach(model, policy):
            out = model(rows[:, :100])
            logits = [out.logits]
            for i in range(100, 112):
                step = model(rows[:, i : i + 1], past_key_values=out.past_key_values)
                logits.append(step.logits)
        return torch.cat(logits, 1)

    both = run(ids)
    for row in range(2):
        torch.testing.assert_close(run(ids[row : row + 1])[0], both[row], atol=1e-5, rtol=1e-4)
