"""What lexinvariant models find out about symbols that mean nothing, beside ordinary models.

Small Llamas over 27 symbols, each as it is and with rows that are drawn for every text. Two tasks,
each trained on and then measured:

- `lookups`: texts of six pairs of symbols, drawn anew for each text, then the same pairs in another
  order. Right is the second symbol of a pair that stands there for the second time.
- `text`: letters of Python's reference. On the part that was held out: nats per letter by how much
  was read, the same after the letters were renamed, look-ups (without any training on them), and a
  probe that names the letters of a text from the states of the lexinvariant model.

A minute or two of a core each; the last two are longer trainings for a GPU:

    python recipes/lexinvariant_toy.py lookups --steps 3000
    python recipes/lexinvariant_toy.py text --steps 300 --plain-steps 100 --length 96
    python recipes/lexinvariant_toy.py lookups --device cuda --steps 20000 --layers 4 --width 128
    python recipes/lexinvariant_toy.py text --device cuda --steps 8000 --layers 4 --width 256 \
        --length 512 --size 64 --plain-steps 1000 --rate 1e-3
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pydoc_data.topics import topics

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

import tokenry
from tokenry.vocab import Lexinvariant

LETTERS = "abcdefghijklmnopqrstuvwxyz "
PAIRS, HELD_OUT = 6, 60_000

Draw = Callable[[int, Generator], Tensor]


def lookups(count: int, source: Generator) -> Tensor:
    """Pairs of different symbols, and the same pairs again in another order."""
    order = torch.rand(count, len(LETTERS), generator=source).argsort(1)
    a, b = order[:, :PAIRS], order[:, PAIRS : 2 * PAIRS]
    again = torch.rand(count, PAIRS, generator=source).argsort(1)
    first, second = torch.stack([a, b], 2), torch.stack([a.gather(1, again), b.gather(1, again)], 2)
    return torch.cat([first, second], 1).flatten(1)


def letters() -> tuple[Tensor, Tensor]:
    """Python's reference, a part to learn from and one that is held out."""
    text = re.sub(r"[^a-z]+", " ", " ".join(topics[name] for name in sorted(topics)).lower())
    ids = torch.tensor([LETTERS.index(letter) for letter in text])
    return ids[:-HELD_OUT], ids[-HELD_OUT:]


def pieces(ids: Tensor, length: int) -> Draw:
    """Draws pieces of a text."""

    def draw(count: int, source: Generator) -> Tensor:
        starts = torch.randint(0, len(ids) - length, (count, 1), generator=source)
        return ids[starts + torch.arange(length)]

    return draw


def small(given: argparse.Namespace) -> LlamaForCausalLM:
    """A model that was not trained yet."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(LETTERS),
            hidden_size=given.width,
            intermediate_size=2 * given.width,
            num_hidden_layers=given.layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            tie_word_embeddings=True,
            initializer_range=0.08,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    return model.to(given.device)


@contextmanager
def as_meant(model: LlamaForCausalLM, drawn: bool, seed: int = 0) -> Iterator[None]:
    """The model with rows of its own, or with drawn ones."""
    if not drawn:
        yield
        return
    with tokenry.attach(model, Lexinvariant(seed=seed)):
        yield


def losses(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Nats of each symbol but the first."""
    ids = ids.to(model.device)
    logits = model(ids).logits[:, :-1]
    return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


def train(
    model: LlamaForCausalLM, draw: Draw, steps: int, size: int, drawn: bool, rate: float
) -> None:
    """Train on what is drawn."""
    source, start = Generator().manual_seed(1), time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
    model.train()
    with as_meant(model, drawn, 1):
        for step in range(1, steps + 1):
            loss = losses(model, draw(size, source)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            plan.step()
            if step % 100 == 0:
                spent = time.process_time() - start
                say(f"    step {step}: {loss.item():.3f} nats, {spent:.0f} processor s")
    model.eval()


@torch.no_grad()
def found(model: LlamaForCausalLM, drawn: bool) -> float:
    """Share of look-ups that are right."""
    ids = lookups(512, Generator().manual_seed(9))
    with as_meant(model, drawn, 77):
        logits = model(ids.to(model.device)).logits.cpu()
    asked = torch.arange(2 * PAIRS, 4 * PAIRS, 2)
    return float((logits[:, asked].argmax(-1) == ids[:, asked + 1]).float().mean())


@torch.no_grad()
def by_place(model: LlamaForCausalLM, draw: Draw, drawn: bool, renamed: bool) -> Tensor:
    """Mean nats at each place of held-out texts."""
    source, parts = Generator().manual_seed(2), []
    other = torch.randperm(len(LETTERS), generator=Generator().manual_seed(3))
    for seed in range(8):
        ids = draw(64, source)
        with as_meant(model, drawn, 100 + seed):
            parts.append(losses(model, other[ids] if renamed else ids).cpu())
    return torch.cat(parts).mean(0)


@torch.no_grad()
def states(model: LlamaForCausalLM, ids: Tensor, seed: int) -> Tensor:
    """The states of each symbol behind all layers, side by side."""
    parts = []
    with as_meant(model, True, seed):
        for some in ids.split(64):
            hidden = model(some.to(model.device), output_hidden_states=True).hidden_states
            parts.append(torch.cat(hidden[1:], -1))
    return torch.cat(parts)


def probe(model: LlamaForCausalLM, train_draw: Draw, test_draw: Draw) -> tuple[Tensor, Tensor]:
    """Which letters of held-out texts a probe names right, and the letters."""
    source = Generator().manual_seed(5)
    ids, tests = train_draw(512, source), test_draw(256, source)
    x, y = states(model, ids, 6).flatten(0, 1), ids.flatten().to(model.device)
    torch.manual_seed(0)
    head = nn.Sequential(nn.LayerNorm(x.shape[1]), nn.Linear(x.shape[1], 128), nn.GELU())
    head.append(nn.Linear(128, len(LETTERS))).to(model.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    for _ in range(600):
        some = torch.randint(len(x), (1024,), generator=source)
        optimizer.zero_grad()
        cross_entropy(head(x[some]), y[some]).backward()
        optimizer.step()
    with torch.no_grad():
        return head(states(model, tests, 7)).argmax(-1).cpu() == tests, tests


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def of_lookups(given: argparse.Namespace) -> None:
    """Look-ups right after training on them."""
    for drawn in (True, False):
        model = small(given)
        train(model, lookups, given.steps, 64, drawn, given.rate or 3e-3)
        name = "drawn rows" if drawn else "learned rows"
        say(f"{name}, {given.steps} steps: {found(model, drawn):.1%} of look-ups right")


def of_text(given: argparse.Namespace) -> None:
    """What both models make of letters, and what the probe reads off the one."""
    known, held = (pieces(part, given.length) for part in letters())
    edges = [edge for edge in (0, 12, 48, 96, 192, 384) if edge < given.length - 1]
    for drawn, steps in ((True, given.steps), (False, given.plain_steps)):
        model = small(given)
        train(model, known, steps, given.size, drawn, given.rate or 4e-3)
        name = "drawn rows" if drawn else "learned rows"
        for renamed in (False, True):
            nats = by_place(model, held, drawn, renamed)
            parts = zip(edges, [*edges[1:], given.length - 1], strict=True)
            shown = ", ".join(f"{a} to {b}: {nats[a:b].mean():.3f}" for a, b in parts)
            say(f"{name}{', renamed' if renamed else ''}: {nats.mean():.3f} nats; {shown}")
        say(f"{name}: {found(model, drawn):.1%} of look-ups right; chance {1 / len(LETTERS):.1%}")
        if drawn:
            right, tests = probe(model, known, held)
            for edge, end in zip(edges, [*edges[1:], given.length], strict=True):
                part, ids = right[:, edge:end], tests[:, edge:end]
                often = ids.flatten().bincount(minlength=len(LETTERS)).topk(6).indices.tolist()
                shares = {LETTERS[i]: part[ids == i].float().mean() for i in often}
                each = ", ".join(f"{letter!r} {share:.0%}" for letter, share in shares.items())
                say(f"    probe at {edge} to {end}: {part.float().mean():.1%} right; {each}")


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=("lookups", "text"))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--plain-steps", type=int, default=300, help="of the ordinary model")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, help="texts at once")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rate", type=float, help="of learning, at its highest")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.task == "lookups":
        of_lookups(given)
    else:
        of_text(given)


if __name__ == "__main__":
    main()
