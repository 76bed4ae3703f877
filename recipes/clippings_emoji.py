"""Link the emoji of one vendor with those of another by drawings and misread names.

The two sources are two vendors' drawings of the same 600 concepts. Each record has its name as if
it had been read from a bad print: 10 to 50 % of the characters wrong, in each source anew. Drawings
are seen by `zoo:dinov2-small-saliency`, names by `zoo:minilm-l6` beside hashed runs of letters;
both stay as they are, and a linear head on each learns from 400 concepts, first without labels
(each drawing and its name told from others), then with them. The other 200 are looked for among all
600 of the other vendor.

Run from the repository root (about three minutes on one core); `--out` keeps the heads:

    python recipes/clippings_emoji.py
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clippings_names import Record, classical, misread, save
from PIL import Image, ImageOps
from torch import nn
from transformers import BatchEncoding

from tokenry import zoo
from tokenry.data.drawings import VENDORS, emoji
from tokenry.linking import Clippings
from tokenry.ops.class_batches import class_batches
from tokenry.plugs.dual_encoder import DualEncoder
from tokenry.plugs.dual_tuning import tune_dual
from tokenry.plugs.text_encoder import text_encoder

SEEN, SIZE, LETTERS, WIDTH = 400, 112, 1024, 64
SHOWN, READ = 2 * 384, 384 + LETTERS
NOISES = (0.1, 0.3, 0.5)
OUT = Path(__file__).parents[1] / "tests" / "linking" / "tiny_emoji"


@functools.cache
def order() -> list[int]:
    """The concepts, those that are learned from first."""
    return random.Random(0).sample(range(600), 600)


def source(vendor: str, noise: float, seed: int) -> list[Record]:
    """A vendor's record of each concept."""
    draw, examples = random.Random(f"{vendor} {seed}"), emoji(vendor).examples
    return [
        Record(examples[at].image(), misread(examples[at].label, noise, draw), i)
        for i, at in enumerate(order())
    ]


class Drawings:
    """The image processor: the states that the frozen encoder has of a drawing, each seen once."""

    def __init__(self) -> None:
        loaded = zoo.load("zoo:dinov2-small-saliency")
        self.model, processor = loaded.model.eval(), loaded.processor
        self.mean, self.std = (
            torch.tensor(one)[:, None, None] for one in (processor.image_mean, processor.image_std)
        )
        self.known: dict[bytes, torch.Tensor] = {}

    def __call__(self, images: Sequence[Image.Image], return_tensors: str = "pt") -> dict[str, Any]:
        """Their states."""
        keys = [image.tobytes() for image in images]
        fresh = {key: one for key, one in zip(keys, images, strict=True) if key not in self.known}
        for some in _parts(list(fresh.items()), 64):
            wide = [image.resize((SIZE, SIZE), Image.Resampling.BICUBIC) for _, image in some]
            x = torch.from_numpy(np.stack([np.asarray(one, np.float32) / 255 for one in wide]))
            with torch.no_grad():
                states = self.model((x.permute(0, 3, 1, 2) - self.mean) / self.std)[0]
            states = torch.cat([states[:, 0], states[:, 1:].mean(1)], 1)
            self.known |= {key: one for (key, _), one in zip(some, states, strict=True)}
        return {"pixel_values": torch.stack([self.known[key] for key in keys])}


class Names:
    """The tokenizer: what the frozen encoder makes of a name, beside runs of its letters."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self.model = text_encoder("zoo:minilm-l6", longest=32)
        self.known: dict[str, torch.Tensor] = {}
        self.runs = HashingVectorizer(
            analyzer="char_wb", ngram_range=(1, 3), n_features=LETTERS, alternate_sign=False
        )

    def __call__(self, texts: Sequence[str], **_: Any) -> BatchEncoding:
        """Their vectors."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self.known]
        if fresh:
            meant = self.model.encode(fresh, show_progress_bar=False)
            runs = self.runs.transform(fresh).toarray()
            both = torch.from_numpy(np.concatenate([meant, runs], 1).astype(np.float32))
            self.known |= dict(zip(fresh, both, strict=True))
        return BatchEncoding({"vectors": torch.stack([self.known[text] for text in texts])})


class Heads(nn.Module):
    """A linear map of each."""

    def __init__(self) -> None:
        super().__init__()
        self.visual_projection = nn.Sequential(
            nn.BatchNorm1d(SHOWN, affine=False), nn.Dropout(0.2), nn.Linear(SHOWN, WIDTH)
        )
        self.text_projection = nn.Sequential(nn.Dropout(0.2), nn.Linear(READ, WIDTH))

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Vectors of drawings."""
        return self.visual_projection(pixel_values)

    def get_text_features(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of names."""
        return self.text_projection(vectors)


class Apart(nn.Module):
    """No heads: drawings and names in dimensions of their own, so that pooling adds up cosines."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(SHOWN, momentum=1.0)

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Vectors of drawings."""
        return nn.functional.pad(self.scale(pixel_values), (0, READ))

    def get_text_features(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors of names."""
        return nn.functional.pad(vectors, (SHOWN, 0))


def encoder() -> DualEncoder:
    """Both frozen encoders, with heads that are drawn."""
    torch.manual_seed(0)
    return DualEncoder(Heads().eval(), Names(), Drawings())


def _parts(things: list[Any], size: int) -> list[list[Any]]:
    return [things[at : at + size] for at in range(0, len(things), size)]


def training(copies: int = 2) -> tuple[list[list[Record]], np.ndarray]:
    """Each drawing of the concepts to learn from as it is and changed, with names misread anew."""
    draw, turn, rows, labels = random.Random(1), random.Random(2), [], []
    for vendor in VENDORS:
        for record in source(vendor, 0.0, 0)[:SEEN]:
            for copy in range(copies):
                picture = changed(record.picture, turn) if copy else record.picture
                texts = [misread(record.text, draw.uniform(0.1, 0.5), draw) for _ in range(4)]
                rows.append([Record(picture, text, record.name) for text in texts])
                labels.append(record.name)
    return rows, np.array(labels)


def changed(picture: Image.Image, draw: random.Random) -> Image.Image:
    """A drawing smaller, turned a little, and mirrored at times."""
    found = ImageOps.mirror(picture) if draw.random() < 0.5 else picture
    inside = draw.randint(48, 64)
    room = Image.new("RGB", (64, 64), "white")
    room.paste(found.resize((inside, inside)), (draw.randint(0, 64 - inside),) * 2)
    return room.rotate(draw.uniform(-10, 10), fillcolor="white")


def train(model: DualEncoder, rule: Clippings, rows: Any, labels: np.ndarray, steps: int,
          rate: float) -> None:  # fmt: skip
    """Train the heads, without labels when the stage is "pairs"."""
    draw = random.Random(0)
    alone = rule.stage == "pairs"
    batches = class_batches(np.arange(len(rows)) if alone else labels, 1 if alone else 4, 128, draw)
    found = tune_dual(
        model, lambda i, draw: draw.choice(rows[i])[:2], rule, batches,
        steps=steps, labels=None if alone else labels, rate=rate,
    )  # fmt: skip
    sys.stdout.write(f"{found}\n")


def halves(model: DualEncoder, rows: Sequence[Record]) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of drawings and of names."""
    v = model.picture([row.picture for row in rows])
    return torch.from_numpy(v), torch.from_numpy(model.embed([row.text for row in rows]))


def accuracy(model: DualEncoder, asked: Sequence[Record], known: Sequence[Record]
             ) -> dict[float, float]:  # fmt: skip
    """How often the nearest record of the other vendor is the right one, by weight."""
    one, other = halves(model, asked), halves(model, known)
    gold = torch.tensor([row.name for row in asked])
    found = {}
    for weight in (0.5, 1.0, 0.0):
        pool = Clippings(weight=weight).pool
        near = (pool(*one) @ pool(*other).T).argmax(1)
        found[weight] = float((near == gold).float().mean())
    return found


def searches(noise: float, seed: int = 2) -> tuple[list[Record], list[Record]]:
    """Records of the concepts that training never saw, and all of the other vendor."""
    return source("google", noise, seed)[SEEN:], source("twitter", noise, seed)


def report(name: str, model: DualEncoder) -> None:
    """Accuracies at each noise."""
    for noise in NOISES:
        found = accuracy(model, *searches(noise))
        said = "both {:.3f}, drawing {:.3f}, name {:.3f}".format(*found.values())
        sys.stdout.write(f"{name}, noise {noise:.0%}: {said}\n")
        sys.stdout.flush()


def main() -> None:
    """Measure untrained, without labels, and with them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300, help="of each stage")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--out", action="store_true", help=f"write heads to {OUT.name}")
    args = parser.parse_args()
    for noise in NOISES:
        said = ", ".join(f"{key} {value:.3f}" for key, value in classical(*searches(noise)).items())
        sys.stdout.write(f"noise {noise:.0%}: {said}\n")
    model = encoder()
    apart = replace(model, model=Apart().eval())
    apart.model.scale.train()
    apart.of_pictures([row.picture for v in VENDORS for row in source(v, 0, 0)[:SEEN]])
    apart.model.scale.eval()
    report("untrained", apart)
    rows, labels = training()
    stages = {"pairs": Clippings(stage="pairs", temperature=0.07), "classes": Clippings()}
    for name, rule in stages.items():
        train(model, rule, rows, labels, args.steps, args.rate)
        report(name, model)
    if args.out:
        save(model, OUT / "classes.safetensors")


if __name__ == "__main__":
    main()
