"""Train a small model with landmarks, one without, and look for a pass key in longer texts.

A text is filler, in which the word KEY and four letters stand somewhere; at its end KEY asks for
the letters. Letters occur in the filler too, so that only what follows KEY is the answer. Both
models are Llamas of the same size, made from the same seed and trained on the same texts of 120
tokens (127 slots with landmarks). Both are kept in half precision, where the tests read them.

Run from the repository root (about seven minutes on one core):

    python recipes/landmark_toy.py
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import tokenry
from tokenry.cache import Landmark
from tokenry.plugs.landmarks import add_landmark

LETTERS, FILLER = 16, 48
KEY = LETTERS + FILLER
ANSWER, BLOCK, LENGTH = 4, 16, 120
PASS = 8  # texts that are read at once: more at once take longer each
OUT = Path(__file__).parents[1] / "tests" / "cache" / "tiny_landmark"


def texts(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Texts with one pass key each, and where its KEY stands."""
    ids = torch.randint(0, KEY, (count, length), generator=generator)
    place = torch.randint(0, length - 2 * ANSWER - 2, (count,), generator=generator)
    letters = torch.randint(0, LETTERS, (count, ANSWER), generator=generator)
    fact = torch.cat([torch.full((count, 1), KEY), letters], 1)
    ids.scatter_(1, place.unsqueeze(1) + torch.arange(ANSWER + 1), fact)
    ids[:, -ANSWER - 1 :] = fact
    return ids, place


def made(landmarks: bool, seed: int = 0, layers: int = 3) -> LlamaForCausalLM:
    """A model before training."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=KEY + 1,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=LENGTH + 8,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    if landmarks:
        add_landmark(model, BLOCK)
    return model


def loss_of(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Mean loss of the answers."""
    labels = ids.clone()
    labels[:, :-ANSWER] = -100
    loss: Tensor = model(ids, labels=labels, use_cache=False).loss
    return loss


def train(
    model: LlamaForCausalLM, landmarks: bool, steps: int = 800, seed: int = 0
) -> LlamaForCausalLM:
    """The model when it finds the pass key in texts of its training length."""
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    start = time.perf_counter()
    with tokenry.attach(model, Landmark(block=BLOCK)) if landmarks else nullcontext():
        for step in range(steps):
            # Short texts first: what follows KEY is found sooner among less.
            length = min(LENGTH, 24 + 2 * LENGTH * step // steps)
            ids, _ = texts(32, length, draw)
            loss = loss_of(model, ids)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            plan.step()
            if step % 100 == 99:
                seconds = time.perf_counter() - start
                sys.stdout.write(f"step {step + 1}: loss {loss:.3f}, {seconds:.0f} s\n")
                sys.stdout.flush()
    return model.eval()


@torch.no_grad()
def found(model: LlamaForCausalLM, length: int, policy: Any = None, count: int = 200) -> float:
    """Share of pass keys of which every letter is the model's first choice."""
    ids, _ = texts(count, length, torch.Generator().manual_seed(99))
    with nullcontext() if policy is None else tokenry.attach(model, policy):
        logits = [model(some).logits[:, -ANSWER - 1 : -1, : KEY + 1] for some in ids.split(PASS)]
    return (torch.cat(logits).argmax(-1) == ids[:, -ANSWER:]).all(1).float().mean().item()


@torch.no_grad()
def first_block(model: LlamaForCausalLM, length: int, count: int = 200) -> list[list[float]]:
    """Share of texts whose KEY stands in the one block retrieved, for each layer and head."""
    ids, place = texts(count, length, torch.Generator().manual_seed(98))
    first = []
    with tokenry.attach(model, Landmark(block=BLOCK, blocks=1)) as attachment:
        for some in ids.split(PASS):
            cache = model(some[:, : -ANSWER - 1]).past_key_values
            model(some[:, -ANSWER - 1 : -ANSWER], past_key_values=cache)
            first.append(torch.stack([read[:, :, 0] for read in attachment.trace.tokens]))
    right = torch.cat(first, 1) // (BLOCK + 1) == (place // BLOCK).unsqueeze(1)
    found: list[list[float]] = right.float().mean(1).tolist()
    return found


def shipped(name: str, out: Path = OUT) -> LlamaForCausalLM:
    """A model as it was written: `marked` has landmarks, `plain` has none."""
    return LlamaForCausalLM.from_pretrained(out / name, dtype=torch.float32).eval()


def main() -> None:
    """Train both models, write them, and print what they find."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    say = sys.stdout.write
    for name, landmarks in (("marked", True), ("plain", False)):
        model = train(made(landmarks, args.seed), landmarks, args.steps, args.seed)
        model.half().save_pretrained(args.out / name)
    marked, plain = shipped("marked", args.out), shipped("plain", args.out)
    for length in (LENGTH, 2 * LENGTH, 4 * LENGTH, 8 * LENGTH):
        two = found(marked, length, Landmark(block=BLOCK, blocks=2, chunk=64))
        every = found(marked, length, Landmark(block=BLOCK))
        say(f"{length} tokens: two blocks {two:.3f}, all blocks {every:.3f}, ")
        say(f"without landmarks {found(plain, length):.3f}\n")
    for layer, heads in enumerate(first_block(marked, 4 * LENGTH)):
        say(f"layer {layer}, right block first: {[round(x, 3) for x in heads]}\n")


if __name__ == "__main__":
    main()
