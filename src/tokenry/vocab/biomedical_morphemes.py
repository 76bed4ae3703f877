"""Biomedical morphemes: whether a tokenizer cuts medical words where their parts meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, Judge, Usage, Vocab
from tokenry.ops.agreement import agreement
from tokenry.vocab.medical_words import WORDS

_SHOWN = 60


@final
@dataclass(frozen=True, kw_only=True)
class BiomedicalMorphemes(Judge):
    r"""Compares the tokens of medical words with the morphemes that the words are made of.

    Of each word the longest common subsequence $c$ of written and true pieces is taken:
    $P = \sum c / \sum |written|$, $R = \sum c / \sum |true|$, $F = 2PR/(P+R)$, beside the edit
    distance of the pieces joined by "|".

    Args:
        gold: Words with their morphemes, as "cardi o logy", or "therapies: therapy s" where the
            morphemes joined are not the word; none, 300 medical words of English.

    Raises:
        UsageError: If a setting is out of range.

    Source: Gutiérrez et al. 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="biomedical-morphemes",
        name="Biomedical morphemes",
        title="Biomedical Language Models are Robust to Sub-optimal Tokenization",
        summary="Says how well tokens follow the morphemes of medical words.",
        family="vocab",
        have="a tokenizer and words of a field",
        want="to know whether it cuts them where their parts meet",
        dial="keep does not apply: a judge changes nothing",
        year=2023,
        arxiv="2306.17649",
        venue="BioNLP 2023",
        code="https://github.com/OSU-NLP-Group/Bio-Tokenization",
        claims=(
            Claim(
                paper="Standard tokenizers, biomedical ones too, cut biomedical terms poorly.",
                effect="A vocabulary of the morphemes has an F more than 20 points above a BPE "
                "vocabulary learned from text.",
                test="tests/vocab/test_biomedical_morphemes.py::"
                "test_claim_a_vocabulary_of_morphemes_is_far_better_than_bpe",
                measured="94.7 % against 3.3 % of 8,000 tokens learned from manual pages, on 320 "
                "words.",
            ),
            Claim(
                paper="Nevertheless models pre-trained with better cuts are no better downstream.",
                effect="Two small models that differ in the tokenizer alone are equivalent.",
                not_shown="no better, but not equivalent either. With 10 % and 76 % of the "
                "morphemes (F) three pairs have 2.06 and 2.18 bits per byte of unseen passages "
                "(90 % interval of the difference -3.1 to +13.9 %), 1.75 and 1.89 of their medical "
                "words (+4.1 to +12.4 %), and a probe names the article of 38 and 31 % of the "
                "passages (-19.5 to +4.3 points): recipes/biomedical_twins.py --steps 200 --seeds "
                "3, causal models of two layers, 15 articles of PubMed. So short a training is "
                "not the paper's, and more seeds are needed.",
            ),
        ),
        differs=(
            "The words are our own, cut by hand; those of SIGMORPHON 2022 and UMLS are not free.",
            "Middle morphemes are looked for from left to right, each behind the one before it; "
            "the official code replaces them wherever they stand.",
            "The supervised segmenter and the vocabulary made with it are left out.",
        ),
    )

    gold: Annotated[tuple[str, ...], "words with their morphemes, as 'cardi o logy'"] = ()

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Precision, recall and F of the pieces of all words; reads no text.

        Raises:
            UsageError: If a line of `gold` holds no morpheme.
        """
        rows = [_row(word, true, written(vocab, word)) for word, true in self.words()]
        common, found, true = (sum(row[name] for row in rows) for name in ("c", "found", "true"))
        precision, recall, f1 = (100 * one for one in agreement(common, found, true))
        whole = sum(row["found"] == 1 for row in rows)
        shown = sorted(rows, key=lambda row: -row["distance"])[:_SHOWN]
        columns = ("word", "morphemes", "written", "distance")
        return Findings(
            figures={
                "F": Figure(value=f1, unit="%", better="high"),
                "precision": Figure(value=precision, unit="% of written pieces", better="high"),
                "recall": Figure(value=recall, unit="% of morphemes", better="high"),
                "distance": Figure(
                    value=sum(row["distance"] for row in rows) / len(rows),
                    unit="edits per word",
                    better="low",
                ),
                "pieces": Figure(value=found / len(rows), unit="pieces per word"),
                "whole": Figure(value=100 * whole / len(rows), unit="% of words in one piece"),
            },
            tables={"words": [{name: row[name] for name in columns} for row in shown]},
        )

    def words(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each word with the pieces that its letters fall into."""
        found = [("".join(pieces), pieces) for pieces in WORDS]
        if self.gold:
            lines = [line.rpartition(":") for line in self.gold]
            found = [
                (word.strip() or "".join(right.split()), tuple(right.split()))
                for word, _, right in lines
            ]
        for line in self.gold:
            if not line.rpartition(":")[2].split():
                raise UsageError(f"BiomedicalMorphemes: gold holds {line!r}, which names none.")
        return [(word, surface(word, pieces)) for word, pieces in found]


def surface(word: str, pieces: tuple[str, ...]) -> tuple[str, ...]:
    """The letters of a word cut as its canonical morphemes say.

    Morphemes that spell the word are its pieces; y before a final s is ie. Else the last is looked
    for at the end, the first at the start, the others between; letters left over are a piece.

    >>> surface("therapies", ("therapy", "s"))
    ('therapie', 's')
    >>> surface("running", ("run", "ing"))
    ('run', 'n', 'ing')
    """
    if len(pieces) > 1 and pieces[-1] == "s" and pieces[-2].endswith("y"):
        spelled = (*pieces[:-2], f"{pieces[-2][:-1]}ie", "s")
        pieces = spelled if "".join(spelled) == word else pieces
    if "".join(pieces) == word:
        return pieces
    start, end, cuts = 0, len(word), {0, len(word)}
    if len(pieces) > 1 and word.endswith(pieces[-1]):
        end -= len(pieces[-1])
        cuts.add(end)
    if word.startswith(pieces[0], start, end):
        start = len(pieces[0])
        cuts.add(start)
    for piece in pieces[1:-1]:
        at = word.find(piece, start, end)
        if at >= 0:
            start = at + len(piece)
            cuts |= {at, start}
    ordered = sorted(cuts)
    return tuple(word[a:b] for a, b in pairwise(ordered))


def written(vocab: Vocab, word: str) -> tuple[str, ...]:
    """The pieces that a tokenizer writes a word with, after a blank where it can."""
    ids = vocab.scribe.write(f" {word}".encode()) or vocab.scribe.encode([word])[0]
    spelled = (vocab.spelled[token] or b"?" for token in ids)
    return tuple(filter(None, (one.decode(errors="replace").strip() for one in spelled)))


def common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    >>> common("abcbd", "acd")
    3
    """
    best = [0] * (len(right) + 1)
    for one in left:
        before = best[:]
        for i, other in enumerate(right):
            best[i + 1] = before[i] + 1 if one == other else max(best[i], before[i + 1])
    return best[-1]


def edits(left: str, right: str) -> int:
    """Levenshtein's distance.

    >>> edits("kitten", "sitting")
    3
    """
    row = np.arange(len(right) + 1)
    other = np.array(list(right), dtype="<U1")
    steps = np.arange(len(right) + 1)
    for i, letter in enumerate(left, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (other != letter))
        best = np.concatenate(([i], best))
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def _row(word: str, true: tuple[str, ...], found: tuple[str, ...]) -> dict[str, Any]:
    return {
        "word": word,
        "morphemes": "|".join(true),
        "written": "|".join(found),
        "distance": edits("|".join(found), "|".join(true)),
        "c": common(found, true),
        "found": len(found),
        "true": len(true),
    }
