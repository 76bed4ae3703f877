"""Hashtags: a tag is taken apart into the words whose meaning fits the text around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, final

import numpy as np
from scipy import sparse

from tokenry.card import Card, Claim
from tokenry.method import Aids, In, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.entities import Entities
from tokenry.ops.nearest import Ranked, sparse_nearest, sparse_products
from tokenry.ops.segmentation import WordModel
from tokenry.ops.tag_reading import FEATURES, Reading, TagReader, judged, ranker_weights
from tokenry.words import WORDS_ON_THE_WEB, word_counts


@final
@dataclass(frozen=True, kw_only=True)
class Hashtags(Linker):
    r"""The words of a tag and what they name are chosen together, in the light of its text.

    The likeliest ways to take the tag apart, under counts of words and pairs with the names of the
    knowledge base as further words, are each linked to entities; a linear score of what is known of
    a way decides. The score of a tag and an entity is the probability of the ways that name it.

    The left table holds tags, and their texts in a column `context`; the right one names as keys,
    and perhaps `id`, `aliases`, `links` (lists, or texts with `|`) and `prior`. A further table
    `counts` with `word` and `count` stands in for the English counts of the package wordsegment.

    Args:
        threshold: The least probability of a link; None for one half.
        written: The column with tags as they were written, where upper and lower case tell words
            apart; empty for the key columns.
        context: The column with the text around the tag.
        k: Ways to take a tag apart that are looked at.
        unigram: Weight of the log probability of the words, each by itself.
        bigram: Weight of their log probability, each after the one before it.
        overlap: Weight of the share of the words that the text has too.
        relation: Weight of how related the entities of tag and text are.
        case: Weight of how well the words agree with upper and lower case.
        coherence: Weight of how related the entities of the tag are.
        title: Least probability of a name of the knowledge base as a word.
        common: A word of a higher probability is no name by itself.
        near: Meanings within this share of the best vote are equally good; the commonest is taken.
        least: Surety that a meaning must have.

    Raises:
        UsageError: If a setting is out of range.

    Source: Bansal, Bansal and Varma 2015, sections 3 and 4.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="hashtags",
        name="Hashtags",
        title="Towards Deep Semantic Analysis of Hashtags",
        summary="Takes hashtags apart into words and links them to a knowledge base, with the text "
        "around them deciding both.",
        family="linking",
        have="hashtags or other texts without spaces, and a list of things with their names",
        want="their words, and what they are about",
        dial="none: it links",
        year=2015,
        arxiv="1501.03210",
        venue="ECIR 2015",
        claims=(
            Claim(
                paper="Tags taken apart with their context improve entity linking in tweets "
                "(abstract; section 6).",
                effect="The full ranker reads more ambiguous tags right than counts of words, and "
                "one tag in two ways in two texts.",
                test="tests/linking/test_hashtags.py::test_claim_context_decides",
                measured="Ten tags such as #nowhere and #choosespain in 20 texts of our own (no "
                "labelled tweets were at hand) that decide, by words of the tag or by places: 20 "
                "of 20 right, by counts alone 9. Made-up tags, half of them ambiguous "
                "(recipes/hashtags_weights.py, 400 not learned from): .893 and .738.",
            ),
            Claim(
                paper="The right words are among the first 20 ways (section 3).",
                effect="Recall of the right words among 20 is .95 or more.",
                test="tests/linking/test_hashtags.py::"
                "test_claim_the_right_words_are_among_the_first_twenty",
                measured="200 tags of cities, countries and languages with one or two frequent "
                "words: 1.000.",
            ),
        ),
        differs=(
            "The formulas of the features are not in the paper; these are ours, and the share of "
            "words that the text has too stands beside the relation of entities.",
            "An entity counts among those that link to it, so that it is related to what it links "
            "to in a base where few do.",
            "A word of the text that is an alias but no title needs other entities to speak for "
            "it; the linker that the paper builds on counts anchors of Wikipedia instead.",
            "Numbers and emoji have a probability of their own, and are not cut.",
        ),
    )

    written: Annotated[str, "the column with tags as they were written"] = ""
    context: Annotated[str, "the column with the text around the tag"] = "context"
    k: Annotated[int, In(1, 1000), "how many ways to take a tag apart are looked at"] = 20
    unigram: Annotated[float, In(-100, 100), "the weight of words by themselves"] = 0.04
    bigram: Annotated[float, In(-100, 100), "the weight of words after each other"] = 0.33
    overlap: Annotated[float, In(-100, 100), "the weight of words that the text has too"] = 13.7
    relation: Annotated[float, In(-100, 100), "the weight of entities related to the text's"] = 5.6
    case: Annotated[float, In(-100, 100), "the weight of upper and lower case"] = 7.0
    coherence: Annotated[float, In(-100, 100), "the weight of entities related to others"] = 0.0
    title: Annotated[float, In(0, 1), "the least probability of a name as a word"] = 1e-8
    common: Annotated[float, In(0, 1), "the probability of a word that names nothing"] = 5e-4
    near: Annotated[float, In(0, 1), "the share of the best vote within which all are good"] = 0.3
    least: Annotated[float, In(0, 1), "the surety that a meaning must have"] = 0.2

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Read the tags and the knowledge base, and the table `counts` if there is one.

        Raises:
            UsageError: If a column is missing.
            MissingExtraError: If there are no counts and wordsegment is not installed.
        """
        tags = left.column("Hashtags", self.written) if self.written else left.texts()
        contexts = left.columns.get(self.context)
        readings = self.read(tags, contexts, knowledge=right, counts=aids.tables.get("counts"))
        present = [tag if own else None for tag, own in zip(tags, readings, strict=True)]
        names = present if right is left else right.texts()
        return _Named(present, names, readings, 0.5 if self.threshold is None else self.threshold)

    @classmethod
    def sample(cls, left: Side, right: Side, aids: Aids) -> tuple[Side, Side, Aids]:
        """Adds counts of some words."""
        words = ["arts", "studio city", "city", "kitchen", "studio", "bel", "air"]
        counts = Side(columns={"word": words, "count": [9] * 7}, keys=(), count=7)
        return left, right, replace(aids, tables={"counts": counts})

    def read(
        self,
        tags: Sequence[str | None],
        contexts: Sequence[str | None] | None = None,
        *,
        knowledge: Side | None = None,
        counts: Side | None = None,
    ) -> list[list[Reading]]:
        """The ways to read each tag, the likeliest first.

        Args:
            tags: With `#` or without.
            contexts: The text around each.
            knowledge: Names, as the right table of a linker; without it words alone are found.
            counts: Columns `word` (two words with a space for a pair) and `count`.

        Raises:
            UsageError: If there are not as many contexts as tags, or a column is missing.
            MissingExtraError: If there are no counts and wordsegment is not installed.

        >>> counts = Side(columns={"word": ["now", "here"], "count": [9, 9]}, keys=(), count=2)
        >>> Hashtags().read(["#NowHere"], counts=counts)[0][0].words
        ('Now', 'Here')
        """
        ways = self._reader(knowledge, counts).all_ways(tags, contexts)
        weights = np.array([getattr(self, name) for name in FEATURES], dtype=np.float64)
        return [judged(own, weights) for own in ways]

    def fitted(
        self,
        tags: Sequence[str],
        words: Sequence[str],
        contexts: Sequence[str | None] | None = None,
        *,
        knowledge: Side | None = None,
        counts: Side | None = None,
    ) -> Hashtags:
        """The same with weights under which the right words of known tags are likeliest.

        Args:
            tags: With `#` or without.
            words: The right words of each, with spaces; with `|` between ways that are all right.
            contexts: The text around each.
            knowledge: As in `read`.
            counts: As in `read`.

        Raises:
            UsageError: If the lists are not equally long, or no right words are among the ways
                that were looked at.
        """
        ways = self._reader(knowledge, counts).all_ways(tags, contexts)
        found = ranker_weights(ways, words)
        return replace(self, **dict(zip(FEATURES, found.round(3).tolist(), strict=True)))

    def _reader(self, knowledge: Side | None, counts: Side | None) -> TagReader:
        titles, columns = (knowledge.texts(), knowledge.columns) if knowledge else ([], {})
        base = Entities.of_columns(titles, columns)
        return TagReader(
            _model(counts),
            base,
            title=self.title,
            k=self.k,
            common=self.common,
            near=self.near,
            least=self.least,
        )


class _Named(PresentMatcher):
    """The entities that tags name, with the probability of the ways that name them."""

    def __init__(
        self,
        tags: Sequence[str | None],
        names: Sequence[str | None],
        readings: list[list[Reading]],
        threshold: float,
    ) -> None:
        super().__init__(tags, names, threshold)
        place = {row: at for at, row in enumerate(self._rows[1].tolist())}
        cells = [
            (at, place[meant.entity], reading.probability)
            for at, own in enumerate(own for own in readings if own)
            for reading in own
            for meant in {one.entity: one for one in reading.entities}.values()
            if meant.entity in place
        ]
        rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
        shape = (len(self.left), len(self.right))
        self.table = sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
        self.every = sparse.eye_array(shape[1], format="csr")

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """The probability that a tag names an entity."""
        return sparse_products(self.table, self.every, left, right)

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The likeliest entities of each tag."""
        return sparse_nearest(self.table, self.every, k, least, itself=self.itself, rows=rows)


def _model(counts: Side | None) -> WordModel:
    if counts is None:
        words, pairs = word_counts()
        return WordModel(words=words, pairs=pairs, total=WORDS_ON_THE_WEB)
    return WordModel.of(counts.column("Hashtags", "word"), counts.column("Hashtags", "count"))
