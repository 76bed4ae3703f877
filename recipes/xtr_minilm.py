"""What XTR's scoring and training are worth on MiniLM's token vectors and manual pages.

Each page is a document, its one-line description, taken out of it, is the query. First the vectors
of `zoo:minilm-l6` as they are: mean of the tokens, exact MaxSim, XTR scoring. Then two linear
projections to 64 channels are trained on other pages, one with XTR's objective and one with
MaxSim's (every token of the batch is retrieved), and both are measured by exact MaxSim and by XTR
scoring at small `top_k`: what each loses, and by how much more the one does, with its 95 % interval
over queries.

Run from the repository root, on a collection (about six minutes on one core) or on a folder of
pages (`--pages 400 --test 200`, two minutes):

    python recipes/manpage_collection.py manpages-huge --pages 20000 --packages many
    python recipes/xtr_minilm.py manpages-huge
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from manpage_texts import plain
from safetensors.torch import save_file
from torch import Tensor

import tokenry.zoo
from tokenry.data import load_collection
from tokenry.method import Batch
from tokenry.ops.late import mean_maxsim
from tokenry.ops.ragged import Ragged
from tokenry.retrieval import XTR

NAME = re.compile(r"NAME\n(.*?) [-\u2013\u2014] (.*?)\n(?=[A-Z ]+\n)", re.DOTALL)
LENGTH, WIDTH = 64, 64
LOOKS = (5, 20)  # tokens that each query token retrieves


def pages(source: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """Descriptions and the pages without them; no two descriptions or pages alike."""
    collected = (source / "corpus.jsonl").is_file()
    found = of_collection(source) if collected else of_folder(source)
    chosen = random.Random(seed).sample(sorted(found), min(count, len(found)))
    return [found[about] for about in chosen]


def of_collection(source: Path) -> dict[str, tuple[str, str]]:
    """The long pages of a collection by their descriptions, without those that ship."""
    data, shipped = load_collection(source), {query.text for query in load_collection("manpages")}
    texts = {document.id: document.text for document in data.documents}
    answers = ((query.text, texts[next(iter(query.relevance))]) for query in data)
    return {
        about: (about, page) for about, page in answers if len(page) > 800 and about not in shipped
    }


def of_folder(folder: Path) -> dict[str, tuple[str, str]]:
    """The long pages of a folder by their descriptions."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.rglob("*.gz")):
        text = plain(gzip.decompress(path.read_bytes()).decode(errors="ignore"))
        match = NAME.search(text)
        if match and not path.is_symlink() and len(text) > 800:
            about = " ".join(match[2].split())
            found.setdefault(about, (about, f"{match[1]}\n{text[match.end() :]}"))
    return found


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


def gains(scores: Tensor) -> Tensor:
    """nDCG@10 of each query where document i answers query i; ties count as lost."""
    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
    return (1 / (ranks + 1.0).log2()).where(ranks <= 10, torch.tensor(0.0))


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


def interval(values: Tensor) -> str:
    """A mean with its 95 % interval over queries."""
    drawn = np.random.default_rng(0).choice(values.numpy(), (2000, len(values))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{float(values.mean()):+.3f} [{low:+.3f}, {high:+.3f}]"


def report(name: str, q: Ragged, d: Ragged) -> dict[int, Tensor]:
    """Write how well documents are found; what XTR's scoring loses of each query, by `top_k`."""
    exact, lost = gains(mean_maxsim(q, d)), {}
    said = f"{name}: maxsim {float(exact.mean()):.3f}"
    for k in LOOKS:
        found = gains(XTR(top_k=k).score(q, d))
        lost[k] = exact - found
        said += f", xtr {k} {float(found.mean()):.3f}"
    say(f"{said}, first hit {first_hit(q, d):.3f}")
    return lost


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def trained(
    name: str, seed: int, known: tuple[Ragged, Ragged], asked: tuple[Ragged, Ragged], args: Any
) -> dict[int, Tensor]:
    """Train a projection on pages that are known, and report on others."""
    method = XTR(train_k=args.train_k if name == "xtr" else 10**6, temperature=args.temperature)
    weight = train(*known, method, args.steps, args.batch, seed)
    if args.out and not seed:
        args.out.mkdir(parents=True, exist_ok=True)
        save_file({"weight": weight.half()}, args.out / f"{name}.safetensors")
    q, d = (project(sets, weight) for sets in asked)
    return report(f"trained with {name}, seed {seed}", q, d)


def main() -> None:
    """Measure scoring on the states as they are, then both trainings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="a collection, or a folder of pages (.gz)")
    parser.add_argument("--pages", type=int, default=1600)
    parser.add_argument("--test", type=int, default=500, help="of these, to measure with")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--train-k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a folder for the projections of the first seed")
    args = parser.parse_args()
    pairs = pages(args.source, args.pages, seed=0)
    q, d = read([about for about, _ in pairs], 32), read([page for _, page in pairs], LENGTH)
    say(f"{len(pairs)} pages, {len(d.values):,} tokens, {args.test} to test")
    first, rest = range(args.test), range(args.test, len(pairs))
    asked, known = ((q.take(part), d.take(part)) for part in (first, rest))
    near = pooled(asked[0]) @ pooled(asked[1]).mT
    say(f"mean pooling: {float(gains(near).mean()):.3f}")
    report("as it is", *asked)
    apart = {k: torch.zeros(args.test) for k in LOOKS}
    for seed in range(args.seeds):
        lost = {name: trained(name, seed, known, asked, args) for name in ("maxsim", "xtr")}
        for k in LOOKS:
            apart[k] += (lost["maxsim"][k] - lost["xtr"][k]) / args.seeds
    for k in LOOKS:
        say(f"top_k {k}: trained with maxsim loses {interval(apart[k])} more")


if __name__ == "__main__":
    main()
