"""The ways to read a tag, and what is known of each way in the light of a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tokenry.errors import UsageError
from tokenry.ops.entities import Entities, Meant, Spot
from tokenry.ops.listwise import list_shares, listwise_weights
from tokenry.ops.segmentation import (
    BREAK,
    WordModel,
    case_breaks,
    folded,
)

FEATURES = ("unigram", "bigram", "relation", "overlap", "case", "coherence")

_LONGEST = 100  # characters of a tag that is taken apart
_TITLE = 4  # letters of a name that may be a word of a tag; two where a letter is a syllable
_WORDY = 1e-6  # likelier words are names only if they are titles, or others speak for them
_WORD = re.compile(r"[#@]?[^\W_]+(?:['\u2019][^\W_]+)*")


class Way(NamedTuple):
    """One way to read a tag.

    Attributes:
        words: Joined, they are the tag without underscores.
        entities: What it names.
        features: In the order of `FEATURES`.
    """

    words: tuple[str, ...]
    entities: tuple[Meant, ...]
    features: Float[np.ndarray, " f"]


class Reading(NamedTuple):
    """One way to read a tag.

    Attributes:
        words: Joined, they are the tag without `#` and underscores.
        probability: Among the ways that were looked at.
        entities: What it names, as rows of the knowledge base, with how sure that is.
        features: What it was judged by.
    """

    words: tuple[str, ...]
    probability: float
    entities: tuple[Meant, ...]
    features: Mapping[str, float]


class TagReader:
    """Reads tags with counts of words and a knowledge base.

    Args:
        counts: Of words, of pairs, and of all words.
        base: Entities; names of at least four letters are further words of tags.
        title: Least probability of such a name.
        k: Ways that are looked at.
        common: A word of a higher probability is no name by itself.
        near: As in `Entities.choose`.
        least: As in `Entities.choose`.
    """

    def __init__(
        self,
        counts: WordModel,
        base: Entities,
        *,
        title: float,
        k: int,
        common: float,
        near: float,
        least: float,
    ) -> None:
        names = {key: title for key in base.meanings if _long_enough(key)} if title else {}
        self.model = WordModel(
            words=counts.words, pairs=counts.pairs, total=counts.total, titles=names
        )
        self.base, self.k = base, k
        self.common, self.near, self.least = common, near, least

    def all_ways(
        self, tags: Sequence[str | None], texts: Sequence[str | None] | None
    ) -> list[list[Way]]:
        """The ways to read each of several tags, with the text around each.

        Raises:
            UsageError: If there are not as many texts as tags.
        """
        around = [None] * len(tags) if texts is None else texts
        if len(around) != len(tags):
            raise UsageError(
                f"Hashtags: {len(around)} contexts for {len(tags)} tags; give one each."
            )
        return [self.ways(tag or "", text) for tag, text in zip(tags, around, strict=True)]

    def ways(self, tag: str, text: str | None = None) -> list[Way]:
        """The ways to read a tag, the likeliest words first; none of an empty tag.

        Args:
            tag: With `#` or without.
            text: The text around it.
        """
        bare = "".join(tag.split()).lstrip("#")
        said = [word for word in words_of(text) if word.lstrip("#") != bare]
        spoken, around = {folded(word) for word in said}, self._spots(said)
        found = []
        for words in self._seeds(bare) if bare.strip(BREAK) else []:
            meant = self.base.choose(self._spots(words), around, self.near, self.least)
            features = self._features(bare, words, meant, around, spoken)
            found.append(Way(words, tuple(meant), features))
        return found

    def _seeds(self, bare: str) -> list[tuple[str, ...]]:
        """The likeliest ways, and that which upper and lower case mark."""
        marked = [0, *sorted(case_breaks(bare)), len(bare)]
        written = [bare[a:b] for a, b in pairwise(marked)]
        if len(bare) > _LONGEST:
            return [self._words(written)]
        best = self.model.best(bare, self.k)
        ways = [self._words(one.pieces) for one in best]
        if len(written) > 1:
            ways.append(self._words(written))
        return list(dict.fromkeys(ways))

    def _words(self, pieces: Sequence[str]) -> tuple[str, ...]:
        """The words of pieces: names of several words are taken apart, underscores left out."""
        found: list[str] = []
        for piece in pieces:
            parts = self.base.words.get(folded(piece), ())
            if len(parts) > 1 and sum(map(len, parts)) == len(piece):
                ends = np.cumsum([len(part) for part in parts]).tolist()
                found += [piece[a:b] for a, b in zip([0, *ends], ends, strict=False)]
            elif piece.strip(BREAK):
                found.append(piece)
        return tuple(found)

    def _spots(self, words: Sequence[str]) -> list[Spot]:
        return self.base.spots(words, self.model.share, self.common, _WORDY)

    def _features(
        self,
        bare: str,
        words: tuple[str, ...],
        meant: Sequence[Meant],
        around: Sequence[Spot],
        spoken: set[str],
    ) -> Float[np.ndarray, " f"]:
        alone = [self.model.alone(word) for word in words]
        after = [alone[0], *(self.model.after(b, a) for a, b in pairwise(words))]
        votes = [self.base.vote(one.entity, around) for one in meant]
        told = sum(p for p, word in zip(alone, words, strict=True) if folded(word) in spoken)
        # Places count without underscores, on both sides.
        ends = np.cumsum([len(word) for word in words])[:-1].tolist()
        marked = {at - bare[:at].count(BREAK) for at in case_breaks(bare)} - {
            0,
            sum(map(len, words)),
        }
        either = marked | set(ends)
        case = len(marked & set(ends)) / len(either) if marked else 0.0
        relation = sum(votes) / len(votes) if votes else 0.0
        whole = sum(alone)
        overlap = told / whole if told else 0.0
        return np.array([whole, sum(after), relation, overlap, case, self.base.coherence(meant)])


def judged(ways: Sequence[Way], weights: Float[np.ndarray, " f"]) -> list[Reading]:
    """The ways to read a tag with their probabilities, the likeliest first."""
    if not ways:
        return []
    scores = np.array([way.features for way in ways]) @ weights
    shares = list_shares(scores, np.zeros(len(ways), dtype=np.int64))
    return [
        Reading(
            ways[at].words,
            float(shares[at]),
            ways[at].entities,
            dict(zip(FEATURES, ways[at].features.tolist(), strict=True)),
        )
        for at in np.argsort(-shares, kind="stable")
    ]


def ranker_weights(
    ways: Sequence[Sequence[Way]], answers: Sequence[str]
) -> Float[np.ndarray, " f"]:
    """Weights of the features under which the right words of tags are likeliest; none below 0.

    Args:
        ways: Of each tag.
        answers: Its words with spaces; `|` stands between several that are right.

    Raises:
        UsageError: If there are not as many answers as tags, or no answer is among the ways.
    """
    if len(answers) != len(ways):
        raise UsageError(f"Hashtags: {len(answers)} answers for {len(ways)} tags; give one each.")
    right = [
        folded(" ".join(way.words)) in {folded(one.strip()) for one in answer.split("|")}
        for own, answer in zip(ways, answers, strict=True)
        for way in own
    ]
    if not any(right):
        raise UsageError("Hashtags: the right words are among the ways to read of no tag.")
    features = np.array([way.features for own in ways for way in own])
    lists = np.repeat(np.arange(len(ways)), [len(own) for own in ways])
    return listwise_weights(features, lists, np.array(right), least=0.0)


def words_of(text: str | None) -> list[str]:
    """The words of a text; none of None."""
    return _WORD.findall(text) if isinstance(text, str) else []


def _long_enough(key: str) -> bool:
    syllables = ord(key[0]) >= 0x2E80  # the scripts of East Asia
    return len(key) >= (2 if syllables else _TITLE)
