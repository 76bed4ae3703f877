"""Train a small model that copies letters with edits, and one that drafts for it in blocks.

A source is 12 to 28 letters; of ten letters about one is deleted or replaced by another, and which
one that is says the letter itself. The first model is a BART of two layers that writes the edited
source letter by letter; the second begins as its copy and learns to fill in a whole block of what
the first one writes. Both are kept in half precision, where the tests read them, and both ways of
drafting are then counted in passes of the first model.

Run from the repository root (about two minutes on one core):

    python recipes/aggressive_toy.py
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

import tokenry
from tokenry.decoding import GAD, AggressiveDecoding
from tokenry.plugs.filling import block_loss

PAD, START, END, MASK, DELETED, OLD, NEW = range(7)
FIRST, VOCAB = 7, 31
LONGEST, BLOCK = 28, 25
OUT = Path(__file__).parents[1] / "tests" / "decoding" / "tiny_seq2seq"


def pairs(count: int, draw: random.Random, shortest: int, longest: int) -> tuple[Tensor, Tensor]:
    """Sources and what they become, padded; labels end where their padding, -100, begins."""
    sources, targets = [], []
    for _ in range(count):
        letters = range(draw.randint(shortest, longest))
        source = [
            draw.choice((DELETED, OLD)) if draw.random() < 0.1 else draw.randrange(FIRST, VOCAB)
            for _ in letters
        ]
        targets.append([*(NEW if x == OLD else x for x in source if x != DELETED), END])
        sources.append([*source, END])
    return _padded(sources, PAD), _padded(targets, -100)


def _padded(rows: list[list[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def made(seed: int = 0) -> BartForConditionalGeneration:
    """The model before training."""
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=VOCAB,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=64,
        dropout=0.0,
        init_std=0.05,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
        decoder_start_token_id=START,
        forced_eos_token_id=None,
    )
    return BartForConditionalGeneration(config)


def writing_loss(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of what sources become."""
    found: Tensor = model(input_ids=ids, attention_mask=(ids != PAD).long(), labels=labels).loss
    return found


def train(steps: int = 900, seed: int = 0) -> BartForConditionalGeneration:
    """A model that copies with edits."""
    model, draw = made(seed), random.Random(seed)

    def loss(step: int) -> Tensor:
        # Short sources first: where to copy from is found sooner among less.
        longest = min(LONGEST, 8 + 2 * LONGEST * step // steps)
        return writing_loss(model, *pairs(48, draw, max(4, longest - 16), longest))

    return _trained(model, loss, steps, 2e-3)


def drafter(model: BartForConditionalGeneration, steps: int = 500, seed: int = 0) -> Any:
    """A model that fills in blocks of what `model` writes."""
    filler, draw = copy.deepcopy(model), random.Random(seed + 1)
    filler.config.mask_token_id = MASK
    torch.manual_seed(seed)
    ids, _ = pairs(2000, draw, 12, LONGEST)
    written = model.generate(ids, attention_mask=(ids != PAD).long(), **LIMIT)[:, 1:]
    labels = written.masked_fill(written == PAD, -100)

    def loss(step: int) -> Tensor:
        some = torch.randint(0, len(ids), (48,))
        return block_loss(filler, ids[some], ids[some] != PAD, labels[some], BLOCK)

    return _trained(filler, loss, steps, 1e-3)


LIMIT: dict[str, Any] = {"max_new_tokens": LONGEST + 4, "do_sample": False}


def _trained(model: Any, loss: Any, steps: int, rate: float) -> Any:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    start = time.perf_counter()
    model.train()
    for step in range(steps):
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plan.step()
        if step % 100 == 99:
            seconds = time.perf_counter() - start
            sys.stdout.write(f"step {step + 1}: loss {value.item():.3f}, {seconds:.0f} s\n")
            sys.stdout.flush()
    return model.eval()


def right(model: Any, count: int = 200) -> float:
    """Share of new sources that are copied with every edit right."""
    ids, labels = pairs(count, random.Random(99), 12, LONGEST)
    written = model.generate(ids, attention_mask=(ids != PAD).long(), **LIMIT)[:, 1:]
    wanted = labels.masked_fill(labels == -100, PAD)
    width = max(written.shape[1], wanted.shape[1])
    full = [torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in (written, wanted)]
    return float((full[0] == full[1]).all(1).float().mean())


def passes(model: Any, method: Any, count: int = 100) -> tuple[int, int, float, bool]:
    """Passes with and without drafts, mean accepted length, and whether all texts are the same."""
    ids, _ = pairs(count, random.Random(98), 12, LONGEST)
    plain = drafted = 0
    accepted, same = [], True
    for row in ids:
        source = row[row != PAD][None]
        expected = model.generate(source, **LIMIT)
        with tokenry.attach(model, method) as attachment:
            found = model.generate(source, **LIMIT)
            trace = attachment.trace
        same = same and torch.equal(found, expected)
        plain, drafted = plain + expected.shape[1] - 1, drafted + trace.passes
        accepted.append(trace.accepted_length)
    return plain, drafted, sum(accepted) / count, same


def shipped(name: str, out: Path = OUT) -> BartForConditionalGeneration:
    """A model as it was written: the `writer`, or its `filler`."""
    model = BartForConditionalGeneration.from_pretrained(out / name, dtype=torch.float32)
    return model.eval()


def main() -> None:
    """Train both models, write them, and print what they save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--filler-steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    say = sys.stdout.write
    model = train(args.steps, args.seed)
    filler = drafter(model, args.filler_steps, args.seed)
    for name, one in (("writer", model), ("filler", filler)):
        one.half().save_pretrained(args.out / name)
    model, filler = shipped("writer", args.out), shipped("filler", args.out)
    say(f"copied with every edit right: {right(model):.3f}\n")
    for name, method in {
        "IAD": AggressiveDecoding(budget=64),
        "GAD": GAD(filler=filler, budget=64),
        "GAD++": GAD(filler=filler, budget=64, top=3, gap=2.0),
    }.items():
        plain, drafted, accepted, same = passes(model, method)
        say(f"{name}: {drafted} passes for {plain}, {accepted:.1f} accepted, same: {same}\n")


if __name__ == "__main__":
    main()
