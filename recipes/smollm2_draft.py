"""Distil the draft model of ``zoo:smollm2-135m``: two layers of width 96 over the same vocabulary.

The embedding begins as the 96 directions in which SmolLM2's own embedding varies most among the
tokens that the texts use. The draft then reads manual pages, Python's library and its language
reference, and last learns SmolLM2's distribution: on the same kinds of text, and on what SmolLM2
itself writes after their beginnings and in answer to questions. Of the texts every tenth is held
out; on them the recipe says how many greedy draft tokens in a row SmolLM2 would have accepted.

Run from the repository root (about twelve minutes on one core, most of it SmolLM2's passes):

    python recipes/smollm2_draft.py

It writes the folder that ships, ``src/tokenry/zoo/draft``, but for its SOURCES.md.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tokenry import zoo
from tokenry.data.manpages import FOLDER

OUT = Path(__file__).parents[1] / "src" / "tokenry" / "zoo" / "draft"
TEACHER = "zoo:smollm2-135m"
WIDTH, LAYERS = 96, 2
WINDOW, TOP = 512, 16
FREQUENT, OTHERS = 4096, 2048

SUBJECTS = (
    "the water cycle", "a list in Python", "the French Revolution", "how to boil an egg",
    "photosynthesis", "the difference between TCP and UDP", "a dragon who is afraid of fire",
    "saving money", "how vaccines work", "sorting a list of numbers", "the planets", "recursion",
    "learning to play the guitar", "a lighthouse keeper", "how a bicycle works", "healthy sleep",
    "regular expressions", "the history of coffee", "climate change", "reading a file in Python",
)  # fmt: skip
REQUESTS = (
    "Explain {} to a child.", "Write a short story or text about {}.",
    "Give me five tips or facts about {}.", "What should I know about {}? Answer step by step.",
)  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """Texts of one length, and for each token what comes next: likely tokens, and how likely."""

    ids: Tensor  # n t
    next_ids: Tensor  # n t k
    next_probs: Tensor  # n t k


def sources() -> dict[str, list[str]]:
    """The texts by kind."""
    pages = (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [
        path
        for path in sorted(library.rglob("*.py"))
        if not {"site-packages", "test", "tests", "encodings", "pydoc_data"} & set(path.parts)
        and 2_000 < path.stat().st_size < 200_000
    ]
    from pydoc_data.topics import topics

    return {
        "manual pages": [json.loads(page)["text"] for page in pages],
        "code": [path.read_text("utf-8", "ignore") for path in files],
        "reference": [topics[name] for name in sorted(topics)],
    }


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """Nine texts of ten to learn from, and the tenth to be asked about."""
    return [t for i, t in enumerate(texts) if i % 10], texts[::10]


def windows(texts: list[str], tokenizer: Any, length: int) -> Tensor:
    """All texts one after the other, cut into pieces."""
    end = tokenizer.eos_token_id
    ids = torch.tensor([i for ids in tokenizer(texts)["input_ids"] for i in (*ids, end)])
    return ids[: len(ids) // length * length].view(-1, length)


def read(ids: Tensor) -> Lesson:
    """A lesson of what the texts themselves say."""
    following = torch.cat([ids[:, 1:], ids[:, :1]], 1).unsqueeze(-1)
    sure = torch.ones_like(following, dtype=torch.float16)
    sure[:, -1] = 0
    return Lesson(ids, following, sure)


@torch.inference_mode()
def asked(teacher: LlamaForCausalLM, ids: Tensor, seconds: float) -> Lesson:
    """A lesson of what the teacher says after each token, as far as the time allows."""
    start, found = time.perf_counter(), []
    for some in ids.split(4):
        probs = teacher(some).logits.float().softmax(-1).topk(TOP)
        found.append((some, probs.indices.int(), probs.values.half()))
        if time.perf_counter() - start > seconds:
            break
    return Lesson(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@torch.inference_mode()
def written(teacher: LlamaForCausalLM, prompts: list[list[int]], count: int, **how: Any) -> Tensor:
    """What the teacher writes, prompts included, padded on the left."""
    longest, end = max(map(len, prompts)), teacher.config.eos_token_id
    ids = torch.tensor([[end] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    return teacher.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, **how
    )


def questions(tokenizer: Any) -> list[list[int]]:
    """Requests as the chat model gets them."""
    chats = [[{"role": "user", "content": r.format(s)}] for s in SUBJECTS for r in REQUESTS]
    return [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        for chat in chats
    ]


def blank(teacher: LlamaForCausalLM, counts: Tensor) -> LlamaForCausalLM:
    """A draft that knows the teacher's embedding from its main directions."""
    table = teacher.get_input_embeddings().weight.float()
    weight = (counts + 1).sqrt().unsqueeze(1)
    mean = (table * weight**2).sum(0) / (weight**2).sum()
    directions = torch.linalg.eigh(
        ((table - mean) * weight).T @ ((table - mean) * weight)
    ).eigenvectors[:, -WIDTH:]
    draft = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(table),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            max_position_embeddings=teacher.config.max_position_embeddings,
            bos_token_id=teacher.config.bos_token_id,
            eos_token_id=teacher.config.eos_token_id,
            pad_token_id=teacher.config.pad_token_id,
            tie_word_embeddings=True,
            initializer_range=0.06,
        )
    )
    rows = (table - mean) @ directions
    with torch.no_grad():
        draft.get_input_embeddings().weight.copy_(rows / rows.std() * 0.1)
    return draft


class Choice:
    """The tokens that a step's softmax runs over: frequent ones, those it needs, some others.

    The others stand for all that are left out: each counts as often as it should have come.
    """

    def __init__(self, counts: Tensor) -> None:
        self._order = counts.argsort(descending=True)
        self._draw = torch.Generator().manual_seed(1)

    def __call__(self, needed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens, what is added to the score of each, and where each token stands."""
        every = len(self._order)
        place = torch.full((every,), -1)
        sure = torch.cat([self._order[:FREQUENT], needed.unique().long()]).unique()
        place[sure] = 0
        left = (place < 0).nonzero().flatten()
        some = left[torch.randperm(len(left), generator=self._draw)[:OTHERS]]
        tokens = torch.cat([sure, some])
        extra = torch.zeros(len(tokens))
        extra[len(sure) :] = math.log(len(left) / len(some))
        place[tokens] = torch.arange(len(tokens))
        return tokens, extra, place


def loss_of(draft: LlamaForCausalLM, lesson: Lesson, rows: Tensor, choice: Choice) -> Tensor:
    """Cross entropy to what comes next."""
    following, probs = lesson.next_ids[rows].long(), lesson.next_probs[rows].float()
    tokens, extra, place = choice(following)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = draft.model(lesson.ids[rows], use_cache=False).last_hidden_state
        scores = hidden @ draft.get_input_embeddings()(tokens).T
    said = (scores.float() + extra).log_softmax(-1).gather(-1, place[following])
    return -(said * probs).sum() / probs.sum()


def train(
    draft: LlamaForCausalLM, lessons: list[Lesson], choice: Choice, rate: float, seconds: float
) -> None:
    """Learn from lessons in turn, by their size, for so long; the rate falls to nothing."""
    optimizer = torch.optim.AdamW(draft.parameters(), rate, (0.9, 0.98), fused=True)
    start, step, seen = time.perf_counter(), 0, 0.0
    for lesson, rows in _turns(lessons):
        spent = (time.perf_counter() - start) / seconds
        if spent >= 1:
            return
        factor = min((step + 1) / 50, math.cos(spent * math.pi / 2) ** 2 + 0.02)
        optimizer.param_groups[0]["lr"] = rate * factor
        loss = loss_of(draft, lesson, rows, choice)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(draft.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, 0.98 * seen + 0.02 * loss.item()
        if step % 100 == 0:
            say(f"  step {step}: loss {seen / (1 - 0.98**step):.3f}, {spent:.0%} of the time")


def _turns(lessons: list[Lesson]) -> Iterator[tuple[Lesson, Tensor]]:
    draw = random.Random(0)
    while True:
        steps = [
            (lesson, rows)
            for lesson in lessons
            for rows in torch.randperm(len(lesson.ids)).split(2048 // lesson.ids.shape[1])
        ]
        draw.shuffle(steps)
        yield from steps


@torch.inference_mode()
def accepted(
    teacher: LlamaForCausalLM, draft: LlamaForCausalLM, prompts: list[list[int]], depth: int = 4
) -> list[float]:
    """Share of places where the first 1, 2 ... tokens of a greedy draft are the teacher's own."""
    text = written(teacher, prompts, 64 + depth, do_sample=False)
    first = text.shape[1] - 64 - depth
    right = torch.ones(len(text), 64, dtype=torch.bool)
    hits = torch.zeros(depth)
    for at in range(64):
        ids = text[:, : first + at]
        for d in range(depth):
            guess = draft(ids, logits_to_keep=1).logits[:, -1].argmax(-1)
            right[:, at] &= guess == text[:, first + at + d]
            hits[d] += right[:, at].float().mean() / 64
            ids = torch.cat([ids, guess.unsqueeze(1)], 1)
    return [round(h, 3) for h in hits.tolist()]


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def lessons(teacher: Any, tokenizer: Any, texts: list[str], scale: float) -> list[Lesson]:
    """What the teacher says: after each token of the texts, and of what it writes itself."""
    ids = windows(texts, tokenizer, WINDOW)
    ids = ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(2))]
    prompts = [one[:64].tolist() for one in ids[:80]]
    own = []
    for begun, how in (
        (questions(tokenizer), {"do_sample": False}),
        (questions(tokenizer), {"do_sample": True, "temperature": 0.8}),
        (prompts, {"do_sample": False}),
    ):
        made = written(teacher, begun, int(128 * scale) + 1, **how)
        own.append(asked(teacher, made, 25 * scale))
        say(f"  the teacher wrote {made.numel()} tokens")
    told = asked(teacher, ids, 150 * scale)
    say(f"  the teacher read {told.ids.numel()} tokens")
    return [told, *own]


def main() -> None:
    """Train the draft, say what it is worth, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of all times; 0.02 for a trial")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.manual_seed(0)
    loaded = zoo.load(TEACHER)
    tokenizer, parts = loaded.processor, {k: split(v) for k, v in sources().items()}
    texts = [text for kept, _ in parts.values() for text in kept]
    ids = windows(texts, tokenizer, 2 * WINDOW)
    counts = torch.bincount(ids.flatten(), minlength=loaded.model.config.vocab_size).float()
    say(f"{ids.numel()} tokens of text")
    draft, choice = blank(loaded.model, counts), Choice(counts)
    train(draft, [read(ids)], choice, 3e-3, 150 * args.scale)
    told = lessons(loaded.model.bfloat16(), tokenizer, texts, args.scale)
    train(draft, told, choice, 2e-3, 170 * args.scale)
    draft.half().save_pretrained(args.out)
    draft.float()
    for kind, (_, held) in parts.items():
        some = [i for i in tokenizer(held)["input_ids"] if len(i) >= 200][:16]
        say(f"{kind}: {accepted(loaded.model.float(), draft, [i[:200] for i in some])}")


if __name__ == "__main__":
    main()
