"""Dynamic tokenization: each batch of texts goes on merging the pairs that are frequent in it."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.method import BatchMerger, In, MergedBatch, Vocab
from tokenry.ops.merges import Replay

Boundary = Literal["pretokens", "word", "word-hyphen", "sentence"]

_SPACES = b" \n\t"
_PUNCTUATION = frozenset(string.punctuation.encode())
_DIGITS = frozenset(b"0123456789")


@final
@dataclass(frozen=True, kw_only=True)
class DynamicTokenization(BatchMerger):
    r"""Merge the most frequent pair of neighbouring tokens in the batch, again and again.

    A pair counts wherever it stands, so `aaa` holds `(a, a)` twice; of pairs that are equally
    frequent the one that comes first in the batch is merged, from left to right. A merged token
    that the vocabulary has is that token, any other is a new one. Special tokens, and others that
    were added to the vocabulary by hand, stay as they are.

    Args:
        boundary: Where merging stops. "pretokens": at the borders that the tokenizer itself never
            crosses; "word": at spaces; "word-hyphen": at spaces, and before punctuation that
            follows a word, but for a hyphen; "sentence": nowhere in a text but at special tokens.
            Whatever it is, no space stands inside a token, unless it is all spaces.
        merges: Most merges of a batch (paper: m); `tokenry.ops.reductions.merges_for` finds the
            number for a target length.

    Raises:
        UsageError: If a setting is out of range.

    >>> DynamicTokenization(merges=50).describe()
    'DynamicTokenization(merges=50)'

    Source: Feher et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="dynamic-tokenization",
        name="Dynamic Tokenization",
        title="Retrofitting (Large) Language Models with Dynamic Tokenization",
        summary="Merges what is frequent in a batch into new tokens, whose rows are predicted.",
        family="vocab",
        have="a model, and batches of texts in a language or a field that its tokenizer cuts small",
        want="shorter inputs without another tokenizer",
        dial="none: merges sets how many pairs become one token; merges_for finds the number for "
        "a share of the gap between the length in tokens and that in words",
        year=2024,
        arxiv="2411.18553",
        venue="ACL 2025",
        code="https://github.com/DariusFeher/dynamic-tokenization",
        claims=(
            Claim(
                paper="XLM-R on XNLI in 14 languages: over 20% shorter at under 2% accuracy lost, "
                "after adaptation.",
                effect="A fifth shorter loses less accuracy than whole words, without adaptation.",
                test="tests/vocab/test_dynamic_claims.py::"
                "test_claim_a_fifth_shorter_costs_less_than_whole_words",
                measured="Of 424 paragraphs 317 right with the tokenizer's own tokens, 262 at 0.80 "
                "of the length, 221 in whole words, 0.39 of the length (one-layer BERT that tells "
                "packages by paragraphs of English manual pages, FVT rows). The loss at 20% is 13 "
                "points, not 2: nothing was adapted to the merges.",
            ),
            Claim(
                paper="Adapted to merges drawn anew for each batch, it loses little.",
                effect="Adaptation wins back much of what whole words lose.",
                test="tests/vocab/test_dynamic_claims.py::"
                "test_claim_adaptation_wins_back_what_whole_words_lose",
                measured="After 150 batches of 24 paragraphs with 0 to 1,116 merges 276 of 424 "
                "are right in whole words (221 before) and 319 unmerged (317 before): still 10 "
                "points behind.",
            ),
            Claim(
                paper="A vocabulary of a million tokens is written with through an index.",
                effect="The best of 7,023 tokens is among the 20 that are looked up.",
                test="tests/vocab/test_dynamic_claims.py::"
                "test_claim_neighbours_hold_the_best_token",
                measured="At 1,535 of 1,600 places (96%) with rows of a hypernetwork. Of 924,763 "
                "tokens with FVT's rows at 95.4% by score, in a fifth of the processor time of all "
                "scores, and at 10% by angle: means are shorter than what they are made of; with a "
                "hypernetwork's at 94.6 and 76.5%. Of 36,829 at 97 and 30%, and 100 and 93% "
                "(recipes/neighbour_vocabulary.py, 12 MB of manual pages, 0.4M parameters). With "
                "all tokens as candidates it writes what the full head writes.",
            ),
            Claim(
                paper="Mistral-7B reads prompts 40% shorter at almost no loss.",
                effect="The continuation of a prompt stays as likely.",
                not_shown="zoo:smollm2-135m with FVT's rows: 2.16 nats per token after 288 tokens "
                "of a manual page, 2.72 after the same in 0.88 of the tokens; 2.25 if as many "
                "are cut off instead (5 prompts, the next 32 tokens). Without a hypernetwork, "
                "leave prompts as they are.",
            ),
        ),
        differs=(
            "Old tokens keep the model's rows and new ones get predicted rows; the paper predicts "
            "both where it has a hypernetwork.",
            "Merges never take special or added tokens, at any boundary.",
            "Punctuation is what ASCII has, # too, in old and in merged tokens; released code "
            "leaves # out and looks at old tokens only.",
            "A merged token that the vocabulary has is that token, whatever it was merged from.",
            "Neighbours are found in leaves, as the paper's ScaNN finds them, but scored exactly "
            "there; by angle, as in the paper, or by score.",
        ),
    )

    boundary: Annotated[Boundary, "where merging stops"] = "pretokens"
    merges: Annotated[int, In(0, 10_000_000), "most merges of a batch"] = 200

    def merge(
        self, batch: Sequence[Sequence[int]], vocab: Vocab, merges: int | None = None
    ) -> MergedBatch:
        """The batch after at most `merges` merges; fewer if no pair is left that may be merged."""
        texts = [list(text) for text in batch]
        growth = _Growth(self, vocab, texts)
        lengths = [sum(map(len, texts))]
        for _ in range(self.merges if merges is None else merges):
            taken = growth.step()
            if not taken:
                break
            lengths.append(lengths[-1] - taken)
        sequences = growth.replay.symbols()
        return MergedBatch(
            sequences=sequences,
            tokens=tuple(growth.made),
            merges=tuple(growth.merges),
            starts=[growth.starts(*both) for both in zip(sequences, texts, strict=True)],
            lengths=lengths,
        )

    def joins(self, left: bytes, right: bytes, vocab: Vocab) -> bool:
        """Whether two neighbours that stand for these bytes may become one token."""
        both = left + right
        spaced = any(byte in _SPACES for byte in both[1:])
        if spaced and (both == b"\n\n" or not all(byte in _SPACES for byte in both)):
            return False
        try:
            text = both.decode()
        except UnicodeDecodeError:  # part of a character: no border can be in it
            return True
        if self.boundary == "sentence":
            return True
        if self.boundary == "pretokens":
            return len(vocab.scribe.words(text)) == 1
        if len(text.split()) != 1:
            return False
        ends = self.boundary == "word-hyphen" and _punctuates(right) and not _punctuates(left)
        return not ends or right == b"-"


def _punctuates(token: bytes) -> bool:
    letters = set(token)
    return bool(letters & _PUNCTUATION) and not letters & _DIGITS


@lru_cache(maxsize=4)
def _by_spelling(vocab: Vocab) -> dict[bytes, int]:
    """The token that stands for bytes; the first where there are several."""
    tokens = reversed(list(enumerate(vocab.spelled)))
    return {text: token for token, text in tokens if text and token not in vocab.added}


@dataclass(eq=False)
class _Growth:
    """A batch while it is merged."""

    method: DynamicTokenization
    vocab: Vocab
    texts: Sequence[Sequence[int]]
    made: list[bytes] = field(default_factory=list)
    merges: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replay = Replay(self.texts)
        self._rows: dict[tuple[int, int], int] = {}
        self._free = np.zeros(0, bool)  # whether a pair may be merged
        self._first = np.zeros(0, np.int64)  # where it stands first
        self._new: dict[bytes, int] = {}
        self._notice(range(len(self.replay.pairs)))

    def spelled(self, token: int) -> bytes | None:
        """The bytes of an old or a new token."""
        known = len(self.vocab)
        return self.made[token - known] if token >= known else self.vocab.spelled[token]

    def step(self) -> int:
        """Merge the next pair; how many tokens that saves, 0 if there is none."""
        counts = np.where(self._free, self.replay.counts[:, 0], 0)
        most = counts.max(initial=0)
        if most < 1:
            return 0
        tied = np.flatnonzero(counts == most)
        left, right = self.replay.pairs[int(tied[self._first[tied].argmin()])]
        made = self._token(left, right)
        before = self.replay.counts.sum()
        changed = self.replay.merge(left, right, made)
        # Where the made token stood already, these may have moved at an equal count.
        moved = [self._rows[p] for p in ((made, left), (right, made)) if p in self._rows]
        self._notice([*changed.tolist(), *moved])
        self.merges.append((left, right, made))
        return int(before - self.replay.counts.sum())

    def _token(self, left: int, right: int) -> int:
        """The token that a pair becomes."""
        both = (self.spelled(left) or b"") + (self.spelled(right) or b"")
        known = _by_spelling(self.vocab).get(both)
        if known is not None:
            return known
        if both not in self._new:
            self._new[both] = len(self.vocab) + len(self.made)
            self.made.append(both)
        return self._new[both]

    def _notice(self, rows: Iterable[int]) -> None:
        """See where pairs stand now, and whether new ones may be merged."""
        start, pairs = len(self._free), self.replay.pairs
        new = range(start, len(pairs))
        self._rows |= {pairs[row]: row for row in new}
        self._free = np.append(self._free, [self._may(*pairs[row]) for row in new]).astype(bool)
        self._first = np.append(self._first, np.zeros(len(new), np.int64))
        for row in rows:
            if self._free[row] and self.replay.counts[row, 0] > 0:
                self._first[row] = self.replay.places(row)[0]

    def _may(self, left: int, right: int) -> bool:
        if {left, right} & self.vocab.added:
            return False
        first, second = self.spelled(left), self.spelled(right)
        if not first or not second:
            return False
        return self.method.joins(first, second, self.vocab)

    def starts(self, merged: Sequence[int], text: Sequence[int]) -> list[int]:
        """The place in a text where each of its merged tokens begins."""
        begins = np.cumsum([0, *(len(self.spelled(token) or b"_") for token in text)])
        places = np.cumsum([0, *(len(self.spelled(token) or b"_") for token in merged[:-1])])
        found: list[int] = np.searchsorted(begins, places[: len(merged)]).tolist()
        return found
