"""Pre-train three small BERTs on manual pages: as a masked language model, RetroMAE, DupMAE.

All three begin with the same weights, read the same texts in the same order for as many steps, and
are then asked, without any tuning, for the page that a description was taken out of. Layers begin
at random, words with the 128 strongest directions of MiniLM's word vectors (`--scratch`: at random
too; 1,200 steps are too few then). What they find before any training is said first.

Run from the repository root (about two minutes on one core):

    apt-get download manpages-dev && dpkg-deb -x manpages-dev_*.deb pages
    python recipes/dupmae_pages.py pages/usr/share/man
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast
from xtr_minilm import pages

import tokenry.zoo
from tokenry.plugs.duplex import DuplexModel, pretrain
from tokenry.retrieval import DupMAE

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH = 48


def word_pieces(texts: list[str], size: int) -> Any:
    """A tokenizer of lower-case word pieces, learned from texts."""
    inner = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL)
    )
    return usable(inner)


def usable(inner: Tokenizer) -> Any:
    """A tokenizer of transformers that lowers case and puts [CLS] in front."""
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(
        ("[SEP]", inner.token_to_id("[SEP]")), ("[CLS]", inner.token_to_id("[CLS]"))
    )
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    loads: Any = PreTrainedTokenizerFast
    return loads(
        tokenizer_object=inner, **{f"{role}_token": token for role, token in roles.items()}
    )


def windows(texts: list[str], words: int) -> list[str]:
    """Texts in runs of so many words."""
    found = []
    for text in texts:
        split = text.split()
        found += [" ".join(split[i : i + words]) for i in range(0, len(split) - 5, words)]
    return found


def known_pieces(texts: list[str], size: int) -> tuple[Any, Tensor]:
    """MiniLM's tokenizer with the pieces that texts need most, and their vectors in 128."""
    loaded: Any = tokenry.zoo.load("zoo:minilm-l6")
    vocab, seen = loaded.processor.get_vocab(), Counter()
    for text in texts:
        seen.update(loaded.processor.tokenize(text))
    letters = [piece for piece in vocab if len(piece.removeprefix("##")) == 1 and piece.isascii()]
    kept = [*dict.fromkeys([*SPECIAL, *letters, *(p for p, _ in seen.most_common(size))])][:size]
    rows = loaded.model.embeddings.word_embeddings.weight.detach()[[vocab[p] for p in kept]]
    left, scale, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    vectors = left[:, :128] * scale[:128]
    inner = Tokenizer(models.WordPiece({p: i for i, p in enumerate(kept)}, unk_token=SPECIAL[1]))
    return usable(inner), vectors * (0.04 / vectors.std())


def small_bert(tokenizer: Any, seed: int, words: Tensor | None) -> Any:
    """A BERT of two layers with random weights, but for the vectors of words if they are given."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=LENGTH,
    )
    model: Any = BertForMaskedLM(config)
    if words is not None:
        model.bert.embeddings.word_embeddings.weight.data.copy_(words)
    return model


def embed(model: DuplexModel, tokenizer: Any, texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """The vectors of texts, in two parts."""
    found = []
    for start in range(0, len(texts), 64):
        given = tokenizer(
            texts[start : start + 64], truncation=True, max_length=LENGTH, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        found.append(model.embed(given))
    first, values, words = (torch.cat(part) for part in zip(*found, strict=True))
    return first - first.mean(0), values - values.amin(1, keepdim=True), words


def gains(scores: Tensor) -> np.ndarray:
    """nDCG@10 of each query, whose answer is the document of its number; ties count as lost."""
    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
    return (1 / (ranks + 1.0).log2()).where(ranks <= 10, torch.tensor(0.0)).numpy()


def say(name: str, found: np.ndarray, against: np.ndarray | None = None) -> None:
    """Write a mean, and how far it is from another with its 95 % interval."""
    text = f"{name}: nDCG@10 {found.mean():.3f}"
    if against is not None:
        difference = found - against
        drawn = np.random.default_rng(0).choice(difference, (2000, len(difference))).mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        text += f", {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def found(
    name: str,
    model: DuplexModel,
    tokenizer: Any,
    pairs: list[tuple[str, str]],
    before: np.ndarray | None,
) -> np.ndarray:
    """Write what a model finds by either part and by both; the gains of [CLS]."""
    q, d = (embed(model, tokenizer, [pair[side] for pair in pairs]) for side in (0, 1))
    empty = (torch.zeros(len(pairs), 1),)
    similarity = DupMAE.similarity
    bag = gains(similarity((*empty, *q[1:]), (*empty, *d[1:]), cosine=True))
    first = gains(torch.nn.functional.normalize(q[0]) @ torch.nn.functional.normalize(d[0]).T)
    both = gains(similarity(q, d, cosine=True))
    say(f"{name}, [CLS]", first, before)
    say(f"{name}, bag of words", bag, first)
    say(f"{name}, both, against [CLS]", both, first)
    say(f"{name}, both, against the bag", both, bag)
    return first


def main() -> None:
    """Pre-train three ways and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of manual pages (.gz)")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pieces", type=int, default=2500)
    parser.add_argument("--scratch", action="store_true", help="words begin at random, too")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pairs = pages(args.folder, 10**6, seed=0)
    texts = windows([page for _, page in pairs], 25)
    random.Random(args.seed).shuffle(texts)
    words: Tensor | None = None
    if args.scratch:
        tokenizer = word_pieces(texts, args.pieces)
    else:
        tokenizer, words = known_pieces(texts, args.pieces)
    sys.stdout.write(f"{len(pairs)} pages, {len(texts)} texts, {len(tokenizer)} pieces\n")
    before = None
    for name, method in (
        ("before", None),
        ("masked language model", DupMAE(decode=0, bag=0)),
        ("RetroMAE", DupMAE(bag=0)),
        ("DupMAE", DupMAE()),
    ):
        method, steps = (DupMAE(), 0) if method is None else (method, args.steps)
        model = DuplexModel(small_bert(tokenizer, args.seed, words), method)
        if steps:
            done = pretrain(
                model, tokenizer, texts, steps=steps, batch_size=args.batch, rate=1e-3,
                longest=LENGTH, seed=args.seed,
            )  # fmt: skip
            sys.stdout.write(f"{name}: {done}\n")
        model.eval()
        before = found(name, model, tokenizer, pairs, before)


if __name__ == "__main__":
    main()
