"""What XTR's scoring and training are worth on MiniLM's token vectors and manual pages.

Each page of a folder is a document, its one-line description, taken out of it, is the query. First
the vectors of `zoo:minilm-l6` as they are: mean of the tokens, exact MaxSim, XTR scoring. Then two
linear projections to 64 channels are trained on other pages, one with XTR's objective and one with
MaxSim's (every token of the batch is retrieved), and both are measured by exact MaxSim and by XTR
scoring at small `top_k`.

Run from the repository root (about two minutes on one core):

    apt-get download manpages-dev && dpkg-deb -x manpages-dev_*.deb pages
    python recipes/xtr_minilm.py pages/usr/share/man
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import sys
from pathlib import Path

import torch
from manpage_texts import plain
from torch import Tensor

import tokenry.zoo
from tokenry.method import Batch
from tokenry.ops.late import mean_maxsim
from tokenry.ops.ragged import Ragged
from tokenry.retrieval import XTR

NAME = re.compile(r"NAME\n(.*?) [-\u2013\u2014] (.*?)\n(?=[A-Z ]+\n)", re.DOTALL)
LENGTH, WIDTH = 64, 64


def pages(folder: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """Descriptions and the pages without them; no two descriptions or pages alike."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.rglob("*.gz")):
        text = plain(gzip.decompress(path.read_bytes()).decode(errors="ignore"))
        match = NAME.search(text)
        if match and not path.is_symlink() and len(text) > 800:
            about = " ".join(match[2].split())
            found.setdefault(about, (about, f"{match[1]}\n{text[match.end() :]}"))
    chosen = random.Random(seed).sample(sorted(found), min(count, len(found)))
    return [found[about] for about in chosen]


@torch.no_grad()
def read(texts: list[str], length: int) -> Ragged:
    """The token states of texts, scaled to length one."""
    loaded, rows = tokenry.zoo.load("zoo:minilm-l6"), []
    for start in range(0, len(texts), 32):
        part = loaded.processor(
            texts[start : start + 32], truncation=True, max_length=length, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        states = loaded.model(**part).last_hidden_state
        rows += [s[m.bool()] for s, m in zip(states, part["attention_mask"], strict=True)]
    flat = Ragged.of(rows)
    return flat.map(torch.nn.functional.normalize(flat.values, dim=-1))


def ndcg(scores: Tensor) -> float:
    """The mean nDCG@10 where document i answers query i; ties count as lost."""
    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
    return float((1 / (ranks + 1.0).log2()).where(ranks <= 10, torch.tensor(0.0)).mean())


def first_hit(q: Ragged, d: Ragged) -> float:
    """How often the nearest token of a query token belongs to the document that answers."""
    nearest = (q.values @ d.values.mT).argmax(1)
    return float((d.owners[nearest] == q.owners).float().mean())


def train(q: Ragged, d: Ragged, method: XTR, steps: int, batch: int, seed: int) -> Tensor:
    """A projection from the width of the states to `WIDTH`, trained on pairs."""
    torch.manual_seed(seed)
    weight = torch.nn.init.orthogonal_(torch.empty(WIDTH, q.values.shape[1])).requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=3e-3, weight_decay=0.0)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    draw = random.Random(seed)
    for _ in range(steps):
        chosen = draw.sample(range(len(q)), batch)
        vectors, real = {}, {}
        for side, sets in (("left", q), ("right", d)):
            states, real[side] = sets.take(chosen).padded()
            vectors[side] = torch.nn.functional.normalize(states @ weight.T, dim=-1)
        loss = method.loss(Batch(vectors=vectors, real=real)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plan.step()
    return weight.detach()


def project(sets: Ragged, weight: Tensor) -> Ragged:
    """The vectors after a projection, scaled to length one."""
    return sets.map(torch.nn.functional.normalize(sets.values @ weight.T, dim=-1))


def pooled(sets: Ragged) -> Tensor:
    """The mean of each list, scaled to length one."""
    return torch.nn.functional.normalize(torch.stack([x.mean(0) for x in sets]), dim=-1)


def report(name: str, q: Ragged, d: Ragged, ks: tuple[int, ...]) -> None:
    """Write how well documents are found, in several ways."""
    found = {"maxsim": ndcg(mean_maxsim(q, d))}
    for k in ks:
        found[f"xtr {k}"] = ndcg(XTR(top_k=k).score(q, d))
        found[f"zero {k}"] = ndcg(XTR(top_k=k, impute="zero").score(q, d))
    found["first hit"] = first_hit(q, d)
    sys.stdout.write(f"{name}: " + ", ".join(f"{n} {v:.3f}" for n, v in found.items()) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure scoring on the states as they are, then both trainings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of manual pages (.gz)")
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--train-k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    pairs = pages(args.folder, args.pages, seed=0)
    half = len(pairs) // 2
    q, d = read([about for about, _ in pairs], 32), read([page for _, page in pairs], LENGTH)
    sys.stdout.write(f"{len(pairs)} pages, {len(d.values):,} tokens\n")
    test_q, test_d = (sets.take(range(half, len(pairs))) for sets in (q, d))
    sys.stdout.write(f"mean pooling: {ndcg(pooled(test_q) @ pooled(test_d).mT):.3f}\n")
    report("as it is", test_q, test_d, (50, 100, 500, 2000))
    q, d = (sets.take(range(half)) for sets in (q, d))
    for seed in range(args.seeds):
        for name, k in (("maxsim", 10**6), ("xtr", args.train_k)):
            method = XTR(train_k=k, temperature=args.temperature)
            weight = train(q, d, method, args.steps, args.batch, seed)
            report(f"trained with {name}, seed {seed}", project(test_q, weight),
                   project(test_d, weight), (5, 20, 50, 500))  # fmt: skip


if __name__ == "__main__":
    main()
