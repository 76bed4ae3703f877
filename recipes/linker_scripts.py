"""Train an encoder of letters from scratch to link names across scripts, and test it on countries.

Names of languages and of parts of countries, in English and as they are written in other scripts,
are those of `pycountry`; each English name is a thing. What the encoder learns is how letters
sound. It then looks for countries, whose names it has not seen: a name in another script among all
English names. Edit similarity does the same.

Run from the repository root (about five minutes on a core):

    python recipes/linker_scripts.py
"""

from __future__ import annotations

import argparse
import gettext
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pycountry
import torch
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import tokenry
from tokenry.linking import LinkTransformer
from tokenry.method import Aids, Side
from tokenry.plugs.text_encoder import text_encoder
from tokenry.tables.normalise import normalised

LOCALES = ("bg", "el", "hi", "hy", "ja", "ka", "ko", "ru", "sr", "ta", "uk")
Names = dict[tuple[str, str], str]


def translations(domain: str, english: Iterable[str]) -> Names:
    """How a list of names writes them: by the English name and the locale."""
    found: Names = {}
    wanted = sorted(set(english))
    for locale in LOCALES:
        path = Path(pycountry.LOCALES_DIR) / locale / "LC_MESSAGES" / f"{domain}.mo"
        if path.is_file():
            with path.open("rb") as file:
                there = gettext.GNUTranslations(file)
            written = {one: there.gettext(one) for one in wanted}
            found |= {(one, locale): name for one, name in written.items() if name != one}
    return found


def plain(names: Names) -> Names:
    """The same, normalised, without what stands behind a comma or in brackets."""
    found: Names = {}
    for (english, locale), there in names.items():
        cut = [normalised(one.split(",")[0].split("(")[0]) for one in (english, there)]
        if cut[0] and cut[1] and not cut[1].isascii():
            found[cut[0], locale] = cut[1]
    return found


def countries() -> Names:
    """Countries in other scripts, by their common English names."""
    common = (getattr(one, "common_name", one.name) for one in pycountry.countries)
    return plain(translations("iso3166-1", common))


def to_learn(test: Names) -> dict[str, list[str]]:
    """Texts with the thing that they name, none of which is in the test."""
    known = {english for english, _ in test} | {*test.values()}
    texts: dict[str, str] = {}
    for domain, every in (("iso639-3", pycountry.languages), ("iso3166-2", pycountry.subdivisions)):
        names = (one.name for one in every)
        for (english, _), there in plain(translations(domain, names)).items():
            if english not in known and there not in known:
                texts.setdefault(english, english)
                texts.setdefault(there, english)
    return {"text": list(texts), "thing": list(texts.values())}


def encoder(texts: list[str], width: int = 96, seed: int = 0) -> Any:
    """Two layers over letters, from random weights."""
    counts = Counter(letter for text in texts for letter in text)
    letters = [letter for letter, count in counts.items() if count > 4]
    roles = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "sep")}
    vocab = {one: i for i, one in enumerate([*roles.values(), *sorted(letters)])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token=roles["unk_token"]))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words = PreTrainedTokenizerFast(tokenizer_object=inner, **roles)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=width, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=2 * width, max_position_embeddings=48, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return text_encoder((BertModel(config), words), longest=48)


def hits(model: Any, test: Names) -> dict[str, np.ndarray]:
    """Whether the nearest English name is the right one, by the encoder and by edit similarity."""
    names = sorted({english for english, _ in test})
    asked, gold = list(test.values()), [english for english, _ in test]
    left = Side(columns={"n": asked}, keys=("n",), count=len(asked))
    right = Side(columns={"n": names}, keys=("n",), count=len(names))
    embed = lambda texts: model.encode(texts, batch_size=128)  # noqa: E731 - a function to hand on
    near = LinkTransformer().prepare(left, right, Aids(embed=embed)).nearest(1)
    edits = cdist(asked, names, scorer=Levenshtein.normalized_similarity).argmax(1)
    return {
        "edit similarity": np.array([names[j] == one for j, one in zip(edits, gold, strict=True)]),
        "encoder": np.array([names[j] == one for j, one in zip(near.right, gold, strict=True)]),
    }


def train(
    table: dict[str, list[str]], steps: int, batch: int, rate: float, seed: int, held_out: float
) -> Any:
    """An encoder from scratch, tuned on names of languages and of parts of countries."""
    model = encoder(table["text"], seed=seed)
    done = tokenry.tune(
        table, model, text="text", cluster="thing", steps=steps, batch_size=batch, rate=rate,
        held_out=held_out, seed=seed,
    )  # fmt: skip
    sys.stdout.write(f"{done}\n")
    return model


def main() -> None:
    """Train, and test on countries."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    test = countries()
    table = to_learn(test)
    sys.stdout.write(f"{len(table['text'])} names of {len(set(table['thing']))} things to learn\n")
    model = train(table, args.steps, args.batch, args.rate, args.seed, 0.05)
    weights = sum(one.numel() for one in model.parameters())
    sys.stdout.write(f"{weights} weights; {len(test)} names of countries\n")
    for name, found in hits(model, test).items():
        by = {at: found[[key[1] == at for key in test]].mean() for at in LOCALES}
        rest = ", ".join(f"{at} {value:.2f}" for at, value in by.items())
        sys.stdout.write(f"{name}: accuracy@1 {found.mean():.3f} ({rest})\n")


if __name__ == "__main__":
    main()
