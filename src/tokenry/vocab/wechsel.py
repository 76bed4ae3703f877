"""WECHSEL: a new token is a mix of the old tokens that mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import orthogonal_procrustes
from torch import Tensor
from torch.nn.functional import normalize

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import EmbeddingRows, In, Move, Vocab, VocabMap, WordVectors
from tokenry.method.blends import Blend, blended

_AT_ONCE = 1024  # tokens whose similarities to all source tokens exist at once
_WORD = re.compile(r"\w+|[^\w\s]")


@final
@dataclass(frozen=True, kw_only=True)
class Wechsel(VocabMap):
    r"""Mix the rows of source tokens whose static vectors lie near, across languages.

    Both languages have word vectors. The source's are turned by the orthogonal matrix
    $R = \operatorname{argmin}_R \lVert A R - B \rVert_F$ over pairs of words from a dictionary.
    A token's vector u comes from its text, or from the words that it is part of. Then
    $e_x = \sum_{y \in N_k(x)} w_y e_y$ with $w = \operatorname{softmax}(\cos(u_x, u_y)/\tau)$
    over the k nearest source tokens. A token without a vector is drawn at random.

    Args:
        k: Source tokens that make a row (paper: neighbors).
        temperature: How evenly they do (paper: τ).
        by: Where a token's vector comes from: "n-grams", its own text (vectors that know n-grams
            have one for any text), or "words", the mean of the words that it is part of, weighted
            by how often they occur.
        align: Whether the vectors of the two languages must be aligned first.
        identical: Whether words of both languages that are spelled alike count as translations.
        width: Numbers in a word vector, where they are learned from the texts of the move.
        epochs: How often the texts are read then.
        least: How often a word occurs at least to get one then.

    Source: Minixhofer et al. 2022, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="wechsel",
        name="WECHSEL",
        title="WECHSEL: Effective initialization of subword embeddings for cross-lingual transfer "
        "of monolingual language models",
        summary="Mixes source tokens that mean the same, found by word vectors of both languages "
        "and a dictionary.",
        family="vocab",
        have="a model of one language, word vectors or text of two, and a dictionary",
        want="to train a model of the other language from there",
        dial="none",
        year=2022,
        arxiv="2112.06598",
        venue="NAACL 2022",
        code="https://github.com/CPJKU/wechsel",
        code_license="MIT",
        claims=(
            Claim(
                paper="Models of French, German, Chinese and Swahili that start from WECHSEL do "
                "better than models from scratch and than earlier transfers, with up to 64 times "
                "less training.",
                effect="Lower loss than random rows at every checkpoint of further training; a "
                "shuffled dictionary takes the lead away.",
                test="tests/vocab/test_move_claims.py::test_wechsel_leads_and_needs_its_dictionary",
                measured="6.39, 6.00, 5.83, 5.76 nats a token over the first four times 20 steps "
                "against 7.10, 6.55, 6.36, 6.30; before any 3.20 bits per byte, 3.57 with a "
                "shuffled dictionary, 3.58 random. Two-layer model of English manual pages, moved "
                "to the same language in other letters.",
            ),
            Claim(
                paper="Better from the start than simpler ways.",
                effect="Fewer bits per byte than the mean row before training, in a real model.",
                not_shown="zoo:smollm2-135m moved to German manual pages has 4.04 bits per byte, "
                "with mean rows 3.18, random ones 6.61: vectors learned from 8 MB of text each "
                "are no fastText of whole crawls. A two-layer model that has read English alone "
                "has 3.58 (3.45 with identical=True), mean rows 3.54, FOCUS 3.24, random ones "
                "4.00 (bench/transplant.py).",
            ),
        ),
        differs=(
            "Source tokens without a vector never become parents; the official code lets them, at "
            "a cosine of 0.",
            "A token whose bytes are no text by themselves has no vector; the official code looks "
            "up the replacement character.",
            "Vectors of different widths are refused; the official code reduces the wider.",
            "Without given vectors they are learned here, from the texts of the move; the paper "
            "takes fastText's published ones.",
            "identical=True takes words spelled alike for translations, too; off by default.",
        ),
    )

    k: Annotated[int, In(1, 10_000), "source tokens that make a row"] = 10
    temperature: Annotated[float, In(0, 100, open="left"), "how evenly they do"] = 0.1
    by: Annotated[
        Literal["n-grams", "words"], "whether a token's vector comes from its text or its words"
    ] = "n-grams"
    align: Annotated[bool, "whether the two languages' vectors must be aligned first"] = True
    identical: Annotated[bool, "whether words spelled alike count as translations"] = False
    width: Annotated[int, In(1, 10_000), "numbers in a word vector that is learned"] = 100
    epochs: Annotated[int, In(1, 10_000), "how often the texts are read to learn it"] = 5
    least: Annotated[int, In(1, 1_000_000), "how often a word occurs at least to get one"] = 5

    def rows(self, move: Move) -> EmbeddingRows:
        """Mixes of the nearest source tokens, and random rows where a token has no vector."""
        old = move.source_words or self._learned(move, move.source_texts, "source")
        new = move.target_words or self._learned(move, move.target_texts, "target")
        ours, theirs = self._tokens(move.source, old), self._tokens(move.target, new)
        if ours.shape[1] != theirs.shape[1]:
            raise UsageError(
                f"Wechsel: the source's word vectors hold {ours.shape[1]} numbers, the target's "
                f"{theirs.shape[1]}; give vectors of one width."
            )
        if self.align:
            ours = ours @ torch.tensor(self._rotation(move, old, new), dtype=torch.float32)
        places = ours.any(-1).nonzero()[:, 0]
        if not len(places):
            raise UsageError("Wechsel: no source token has a word vector; give other vectors.")
        return blended(move, self._nearest(normalize(ours[places], dim=-1), theirs, places))

    def _nearest(
        self, ours: Float[Tensor, "m e"], theirs: Float[Tensor, "n e"], places: Tensor
    ) -> list[Blend]:
        k, blends = min(self.k, len(ours)), list[Blend]()
        for some in torch.split(normalize(theirs, dim=-1), _AT_ONCE):
            near, order = (some @ ours.T).topk(k)
            weights = (near / self.temperature).softmax(-1)
            for vector, tokens, row in zip(some, places[order], weights, strict=True):
                pairs = zip(tokens.tolist(), row.tolist(), strict=True)
                blends.append(list(pairs) if vector.any() else [])
        return blends

    def _rotation(self, move: Move, old: WordVectors, new: WordVectors) -> Float[np.ndarray, "e e"]:
        """Turns vectors of the source's language into those of the target's."""
        given = [*move.dictionary, *((w, w) for w in old.counts if self.identical)]
        pairs = {
            pair: None
            for one in given
            for pair in _forms(*one)
            if pair[0] in old.counts and pair[1] in new.counts
        }
        if not pairs:
            raise UsageError(
                f"Wechsel: none of {len(given)} translations has vectors for both words, so that "
                "the two languages cannot be aligned; give a dictionary of words that the texts "
                "hold, or identical=True."
            )
        ours = old.vectors([source for source, _ in pairs])
        theirs = new.vectors([target for _, target in pairs])
        rotation, _ = orthogonal_procrustes(ours, theirs)
        found: Float[np.ndarray, "e e"] = rotation
        return found

    def _tokens(self, vocab: Vocab, words: WordVectors) -> Float[Tensor, "v e"]:
        """A vector per token; zero where nothing is known."""
        if self.by == "words":
            return _by_words(vocab, words)
        return torch.tensor(words.vectors([_text(one) for one in vocab.spelled])).float()

    def _learned(self, move: Move, texts: Sequence[str], side: str) -> WordVectors:
        if not texts:
            raise UsageError(
                f"Wechsel: {side}_texts and {side}_words are both empty; give texts of the "
                f"{side} tokenizer's language to learn word vectors from, or such vectors."
            )
        sentences = [_WORD.findall(text) for text in texts]
        learning = {"width": self.width, "epochs": self.epochs, "least": self.least}
        return move.learned("Wechsel", sentences, **learning)


def _text(spelled: bytes | None) -> str:
    """What a token spells without the spaces around it; nothing where that is no text."""
    try:
        return (spelled or b"").decode().strip()
    except UnicodeDecodeError:
        return ""


def _forms(source: str, target: str) -> Iterator[tuple[str, str]]:
    """A pair as it is, in small letters, and with a capital, each with each."""
    for one in (source, source.lower(), source.title()):
        for other in (target, target.lower(), target.title()):
            yield one, other


def _by_words(vocab: Vocab, words: WordVectors) -> Float[Tensor, "v e"]:
    """The sum of the words that a token is part of, each as often as it occurs."""
    names = list(words.counts)
    table = torch.tensor(words.vectors(names)).float()
    sums = torch.zeros(len(vocab), table.shape[1])
    for before in ("", " "):
        written = vocab.scribe.encode([before + name for name in names])
        for name, vector, ids in zip(names, table, written, strict=True):
            sums[list(set(ids))] += words.counts[name] * vector
    return sums
