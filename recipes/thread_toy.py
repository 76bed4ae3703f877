"""Train the small model that the tests follow threads with: it writes a thread step by step.

A text is ten pairs of strings in random order, then each chain of them from its first key to its
end. The model is a Llama of two layers, kept in half precision.

Run from the repository root (about one minute on one core):

    python recipes/thread_toy.py
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

STRINGS, ASK, PAIRS = 64, 64, 10
CHAINS = [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9, 10], [11, 12], [13, 14]]
STEPS, BATCH, RATE = 500, 64, 3e-3
OUT = Path(__file__).parents[1] / "tests" / "probes" / "tiny_thread"


def batch(source: torch.Generator) -> tuple[Tensor, Tensor]:
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


def made() -> LlamaForCausalLM:
    """The model before training."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=STRINGS + 1,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            rope_theta=1000.0,
        )
    )


def loss_of(model: LlamaForCausalLM, ids: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of what follows in the chains."""
    logits = model(ids).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())


def train(model: LlamaForCausalLM, steps: int = STEPS) -> LlamaForCausalLM:
    """The model after so many batches."""
    source = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    for step in range(steps):
        loss = loss_of(model, *batch(source))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            sys.stdout.write(f"step {step + 1}: loss {loss.item():.3f}\n")
            sys.stdout.flush()
    return model.eval()


def shipped(out: Path = OUT) -> LlamaForCausalLM:
    """The model as it was written."""
    return LlamaForCausalLM.from_pretrained(out, dtype=torch.float32).eval()


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    train(made(), args.steps).half().save_pretrained(args.out)


if __name__ == "__main__":
    main()
