"""Train encoders of drawings, texts and both, with two vendors of emoji as two suppliers.

One vendor's drawing comes with the concept's name, the other's with its keywords. The encoder of
drawings is a small convolutional network from scratch; that of texts is a linear map on top of
`zoo:minilm-l6`, which stays as it is; a small network makes the joint vector of both. Two thirds of
the concepts are trained on, the rest is searched: which of the other vendor's entries is the same?

Run from the repository root (about a minute on one core):

    python recipes/same_style_emoji.py
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tokenry.data.drawings import emoji
from tokenry.method import Batch
from tokenry.plugs.text_encoder import text_encoder
from tokenry.retrieval import SameStyle

WIDTH, TEXT = 64, 384
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white"]
Entries = tuple[Tensor, Tensor]


class Encoders(nn.Module):
    """Image, text and joint vectors in one space."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (3, 16, 32, 64)
        layers: list[nn.Module] = []
        for first, second in pairwise(sizes):
            layers += [
                nn.Conv2d(first, second, 3, 2, 1),
                nn.GroupNorm(4, second),
                nn.ReLU(),
            ]
        self.image = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * 16, WIDTH)
        )
        self.text = nn.Sequential(nn.Dropout(0.2), nn.Linear(TEXT, WIDTH))
        self.joint = nn.Sequential(nn.Linear(2 * WIDTH, 128), nn.GELU(), nn.Linear(128, WIDTH))

    def forward(self, images: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """The three views of each entry."""
        image, text = self.image(images), self.text(texts)
        both = torch.cat([nn.functional.normalize(x, dim=-1) for x in (image, text)], 1)
        # What both say stands in the joint vector from the start.
        joint = both[:, :WIDTH] + both[:, WIDTH:] + self.joint(both)
        return {"image": image, "text": text, "joint": joint}


def entries(reader: Any, vendor: str) -> tuple[Entries, list[str]]:
    """Drawings and vectors of texts of a vendor, and the names of the concepts."""
    examples = emoji(vendor).examples
    pixels = [np.asarray(e.image().resize((32, 32))) for e in examples]
    texts = [e.label if vendor == "google" else e.meta["keywords"] for e in examples]
    images = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    vectors = reader.encode(texts, batch_size=64, convert_to_tensor=True)
    return (images, vectors.clone()), [e.label for e in examples]


def moved(images: Tensor, source: torch.Generator) -> Tensor:
    """Drawings shifted by up to two pixels, and mirrored at times."""
    dy, dx, flip = (int(torch.randint(n, (), generator=source)) for n in (5, 5, 2))
    images = images.roll((dy - 2, dx - 2), (2, 3))
    return images.flip(3) if flip else images


def train(
    data: Sequence[Entries], rows: list[int], method: SameStyle, epochs: int, seed: int
) -> Encoders:
    """Encoders trained on the concepts `rows`."""
    torch.manual_seed(seed)
    source, draw = torch.Generator().manual_seed(seed), random.Random(seed)
    model = Encoders().train()
    steps = epochs * (len(rows) // 80)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        chosen, vectors = draw.sample(rows, 80), {}
        for side, (images, texts) in zip("ab", data, strict=True):
            made = model(moved(images[chosen], source), texts[chosen])
            vectors |= {f"{side}.{view}": x for view, x in made.items()}
        loss = method.loss(Batch(vectors=vectors)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plan.step()
    return model.eval()


@torch.no_grad()
def views(model: Encoders, part: Entries, rows: list[int]) -> dict[str, Tensor]:
    """The views of some concepts, of length one."""
    made = model(part[0][rows], part[1][rows])
    return {view: nn.functional.normalize(x, dim=-1) for view, x in made.items()}


def recall(query: Tensor, shelf: Tensor, k: int = 1) -> float:
    """How often entry i is among the k nearest of query i."""
    near = query @ shelf.mT
    return float(((near >= near.diagonal()[:, None]).sum(1) <= k).float().mean())


def measure(model: Encoders, data: Sequence[Entries], rows: list[int]) -> dict[str, float]:
    """Recall at 1 of each view from each, and how far views disagree on neighbours."""
    a, b = (views(model, part, rows) for part in data)
    found = {}
    for one, two in (("image", "image"), ("text", "text"), ("joint", "joint"),
                     ("image", "joint"), ("text", "joint")):  # fmt: skip
        found[f"{one[0]}-{two[0]}".replace("j", "m")] = recall(a[one], b[two])
    found["own image from text"] = recall(a["text"], a["image"])
    joint = a["joint"] @ b["joint"].mT
    near = joint.topk(10, 1).indices
    gaps = [
        (joint - a[v] @ b["joint"].mT).gather(1, near).square().mean() for v in ("image", "text")
    ]
    found["gap of views"] = float(sum(gaps)) / 2
    return found


def swaps(names: list[str]) -> list[tuple[int, int]]:
    """Pairs of concepts that differ in the colour that their names begin with."""
    index = {name: i for i, name in enumerate(names)}
    return [
        (i, index[f"{other}{name[len(own) :]}"])
        for name, i in index.items()
        for own in COLOURS
        if name.startswith(f"{own} ")
        for other in COLOURS
        if other != own and f"{other}{name[len(own) :]}" in index
    ]


@torch.no_grad()
def restyled(
    model: Encoders, data: Sequence[Entries], pairs: list[tuple[int, int]]
) -> dict[str, float]:
    """How often a picture with the name of another colour finds that one, of all concepts."""
    shelf = views(model, data[1], list(range(len(data[1][0]))))["joint"]
    left, right = ([pair[side] for pair in pairs] for side in (0, 1))
    made = model(data[0][0][left], data[0][1][right])
    found = {}
    for name, query in (("with words", made["joint"]), ("image alone", made["image"]),
                        ("words alone", made["text"])):  # fmt: skip
        found[name] = float(((query @ shelf.mT).argmax(1) == torch.tensor(right)).float().mean())
    return found


@torch.no_grad()
def recoloured(
    model: Encoders, data: Sequence[Entries], pairs: list[tuple[int, int]], colours: Tensor
) -> dict[str, float]:
    """Mean reciprocal rank, of all concepts, of a picture in a colour that one word asks for.

    Args:
        model: The encoders.
        data: Entries of both vendors.
        pairs: A concept, and the same in another colour.
        colours: The vector of that colour's bare name, for each pair.
    """
    shelf = views(model, data[1], list(range(len(data[1][0]))))["joint"]
    left, right = ([pair[side] for pair in pairs] for side in (0, 1))
    made, found = model(data[0][0][left], colours), {}
    for name, view in (("joint", "joint"), ("picture", "image"), ("colour", "text")):
        near = made[view] @ shelf.mT
        rank = (near >= near[range(len(pairs)), right][:, None]).sum(1)
        found[f"{name} finds the colour"] = float((1 / rank).mean())
    return found


def asked_colours(reader: Any, names: list[str], pairs: list[tuple[int, int]]) -> Tensor:
    """The vectors of the colours that are asked for."""
    words = [names[right].split()[0] for _, right in pairs]
    return reader.encode(words, convert_to_tensor=True).clone()


def main() -> None:
    """Train with all losses and without one each, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    reader = text_encoder("zoo:minilm-l6", longest=32)
    (first, names), (second, _) = (entries(reader, vendor) for vendor in ("google", "twitter"))
    data, order = (first, second), random.Random(0).sample(range(len(names)), len(names))
    train_rows, test_rows = order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]
    pairs = swaps(names)
    colours = asked_colours(reader, names, pairs)
    sys.stdout.write(f"{len(train_rows)} concepts to learn from, {len(test_rows)} to find, "
                     f"{len(pairs)} changes of colour\n")  # fmt: skip
    for seed in range(args.seeds):
        for name, method in (
            ("all", SameStyle()),
            ("no consistency", SameStyle(consistent=0)),
            ("no distinctness", SameStyle(distinct=0)),
        ):
            model = train(data, train_rows, method, args.epochs, seed)
            found = measure(model, data, test_rows) | restyled(model, data, pairs)
            found |= recoloured(model, data, pairs, colours)
            said = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
            sys.stdout.write(f"seed {seed}, {name}: {said}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
