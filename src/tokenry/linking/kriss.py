"""KRISS: mentions in texts link to entities of an ontology, learned from unlabelled text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Annotated, ClassVar, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.linking.ontology import (
    Ontology,
    in_sentences,
    prototypes,
    windows,
    with_name,
)
from tokenry.linking.prototypes import Prototypes, Reread, encoded
from tokenry.method import Aids, Batch, In, Linker, Losses, Matcher, PairObjective, Side
from tokenry.ops.contrastive import in_batch
from tokenry.ops.mentions import CLOSE, OPEN

_ENCODER = (
    "build an encoder with tokenry.plugs.marked_spans.span_encoder and pass its vectors, as "
    "tokenry.plugs.marked_spans.embed gives them."
)
_THRESHOLD = 1.0  # of at most 2

_REFEREE = "pass a reader of pairs, such as tokenry.plugs.pair_reader.PairReader."


@final
@dataclass(frozen=True, kw_only=True)
class Kriss(Linker, PairObjective):
    r"""A mention in its sentence links to the entity whose known mentions are nearest.

    The left table holds mentions, the right one the ontology. With $q$ the vector of a mention
    in its window, $r_e$ that of what the ontology says of entity $e$, and $p$ those of its known
    mentions,

    .. math:: s(q, e) = q \cdot r_e + \max_{p \in P_e} q \cdot p

    An entity without known mentions has $r_e$ in their place. Known mentions are found in the
    table `corpus`, if there is one: names that belong to one entity alone, all names covered
    before any comes twice. Known pairs add theirs: a labelled mention is one more.

    The encoder is trained by the same class: `training_pairs` makes pairs, `pair` hides or
    replaces the mention at times, `loss` tells each pair from those of other entities.

    Args:
        threshold: The score, of at most 2, from which on a pair is a match; None for what known
            pairs say, or 1 without them.
        text: Name of the left column with texts; None reads the key column alone, without context.
        start: Name of the column with the first character of each mention.
        end: Name of the column with its end.
        aliases: Name of the right column with further names: lists, or texts with `|` between
            them; None for none.
        type: Name of the right column that says what kind of thing it is; None for none.
        description: Name of the right column with a sentence or two; None for none.
        words: Words that are read on each side of a mention.
        most: Known mentions of an entity, at most; labelled ones not counted.
        mask: How often a mention is hidden in training.
        replace: How often it becomes another name of its entity.
        mask_word: What the tokenizer writes for what is hidden.
        temperature: Divides the cosines in the loss.
        rerank: The best entities of each mention that a referee reads again, mention and entity
            together; its word then counts alone. 0 for none (paper: 100 candidates).
        seed: Of which known mentions are taken.
        released: An entity without known mentions has zeros in their place, as in the released
            code, so that those that have some are preferred.

    Raises:
        UsageError: If a setting is out of range.

    >>> Kriss(mask=1, replace=0).pair("to <ENT> Rome\x1fRoma\x1f </ENT> now", "x", Random(0))
    ('to <ENT> [MASK] </ENT> now', 'x')

    Source: Zhang et al. 2021, sections 3 and 4.
    """

    top: ClassVar[float] = 2.0
    card: ClassVar[Card] = Card(
        slug="kriss",
        name="KRISS",
        title="Knowledge-Rich Self-Supervision for Biomedical Entity Linking",
        summary="Links mentions in texts to the entities of an ontology by what stands around "
        "them, without labels.",
        family="linking",
        have="an ontology with names that several things share, and plain texts",
        want="which thing each mention means",
        dial="none: it links mentions",
        needs="training",
        year=2021,
        arxiv="2112.07887",
        venue="Findings of EMNLP 2022",
        code="https://huggingface.co/microsoft/BiomedNLP-KRISSBERT-PubMed-UMLS-EL",
        code_license="MIT",
        claims=(
            Claim(
                paper="Up to 20 points more accurate than earlier linkers without labels, on seven "
                "biomedical sets.",
                effect="Names that several things share are told apart better than by a prior, and "
                "than by an encoder of the name alone.",
                test="tests/linking/test_kriss_claims.py::test_claim_context_tells_namesakes_apart",
                measured="298 mentions of 60 names of cities, 276 entities, zoo:minilm-l6 after 40 "
                "steps (recipes/kriss_places.py): .674 in context, .369 by name alone, .403 by the "
                "most populous; .547 untrained. Words in common with the ontology find .742. From "
                "scratch, toy names: .72 in context, .28 by name alone, .5 by a prior.",
            ),
            Claim(
                paper="What the ontology says links entities that no text mentions.",
                effect="Entities without known mentions are found far above chance.",
                test="tests/linking/test_kriss_claims.py::"
                "test_claim_entities_without_mentions_are_found_by_what_is_said_of_them",
                measured="The same cities: .694 of those without, .665 of those with known "
                "mentions; .000 of those without where zeros stand for what is missing. From "
                "scratch: .25, of 40 entities, .00 with zeros.",
            ),
            Claim(
                paper="Labelled mentions are added without training again.",
                effect="One labelled mention of each entity does not lower accuracy.",
                test="tests/linking/test_kriss_claims.py::"
                "test_claim_a_labelled_mention_does_no_harm",
                measured="The same cities: .782 with one, .674 without; from scratch .70 and .625.",
            ),
            Claim(
                paper="Known mentions are compared with, and what the ontology says beside them.",
                effect="Both together are more accurate than what the ontology says alone.",
                not_shown="The same cities: .674 with both, .728 with what the ontology says alone "
                "(most=0). Texts written from ten templates are alike across entities.",
            ),
        ),
        differs=(
            "Vectors have length one, so that scores are cosines divided by a temperature; the "
            "paper's are inner products of the first token's states.",
            "An entity without known mentions counts what is said of it twice; in the released "
            "code that half is zero (`released=True`).",
            "The best of all known mentions of an entity is found exactly; the paper looks at the "
            "nearest 100 mentions.",
            "Names are matched as they are written, in whole words where a script has spaces.",
            "How often mentions are hidden and replaced is a setting; 0.2 for both is ours.",
        ),
    )

    text: Annotated[str | None, "the name of the column with texts"] = "text"
    start: Annotated[str, "the name of the column with the first character"] = "start"
    end: Annotated[str, "the name of the column with the end"] = "end"
    aliases: Annotated[str | None, "the name of the column with further names"] = None
    type: Annotated[str | None, "the name of the column with the kind of thing"] = None
    description: Annotated[str | None, "the name of the column with a sentence"] = None
    words: Annotated[int, In(0, 10_000), "the words that are read on each side"] = 24
    most: Annotated[int, In(0, 10_000), "the known mentions of an entity"] = 3
    mask: Annotated[float, In(0, 1), "how often a mention is hidden"] = 0.2
    replace: Annotated[float, In(0, 1), "how often it becomes another name"] = 0.2
    mask_word: Annotated[str, "how the tokenizer writes what is hidden"] = "[MASK]"
    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.05
    seed: Annotated[int, In(0, 2**32), "the seed of which known mentions are taken"] = 0
    rerank: Annotated[int, In(0, 10_000), "the best entities that are read again"] = 0
    released: Annotated[bool, "whether what is missing counts as zeros"] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask + self.replace > 1:
            raise UsageError(
                f"Kriss: mask={self.mask} and replace={self.replace} are more than 1 together; "
                "a mention is hidden or replaced, not both."
            )

    def training_pairs(
        self, ontology: Side, texts: Iterable[str]
    ) -> tuple[list[tuple[str, str]], list[int]]:
        """Pairs of mentions of one entity, and of mentions with what the ontology says of it.

        Args:
            ontology: The right table; its names are found in the texts as they are written.
            texts: Without labels.

        Returns:
            The pairs, and the entity of each; both for `tokenry.plugs.tuning.tune`.
        """
        known = self.ontology(ontology)
        return known.pairs(known.mentions(texts, self.words), self.seed)

    def ontology(self, side: Side) -> Ontology:
        """The right table as it is read."""
        return Ontology.of("kriss", side, self.aliases, self.type, self.description)

    def pair(self, left: str, right: str, draw: Random) -> tuple[str, str]:
        """Both texts, each with one of its names, or with none."""

        def choose(names: list[str]) -> str:
            return self._name(names, draw)

        return with_name(left, choose), with_name(right, choose)

    def loss(self, batch: Batch) -> Losses:
        """Each side told from the other sides of other entities, and the mean of both ways."""
        left, right = batch.vectors["left"], batch.vectors["right"]
        total = in_batch(
            left, right, temperature=self.temperature, against="both", groups=batch.groups
        )
        return Losses(total=total)

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Encode the mentions, what the ontology says, and the known mentions of its entities."""
        embed = aids.need("kriss", "embed", _ENCODER)
        asked, known = self.windows(left), self.ontology(right)
        owners, shown = np.zeros(0, np.int64), list[str]()
        if corpus := aids.tables.get("corpus"):
            texts = corpus.column("kriss", self.text or "text")
            owners, shown = prototypes(known.mentions(texts, self.words), self.most, self.seed)
        q, r, p = encoded(embed, asked, known.told, shown)
        found = Prototypes(q, r, p, owners, zeros=self.released, apart=right is left)
        # Before known pairs are their own neighbours.
        found.threshold = self.cut(found, aids.known, _THRESHOLD)
        if aids.known is not None:
            found = found.with_labelled(aids.known)
        if self.rerank:
            referee = aids.need("kriss", "referee", _REFEREE)
            return Reread(found, referee, asked, known.told, self.rerank, self.threshold)
        return found

    @classmethod
    def sample(cls, left: Side, right: Side, aids: Aids) -> tuple[Side, Side, Aids]:
        """The left table with each text as a mention in a sentence."""
        first = in_sentences(left)
        return first, first if right is left else right, aids

    def windows(self, mentions: Side) -> list[str | None]:
        """The left table as it is read.

        Raises:
            UsageError: If a column is missing, or a mention does not lie in its text.
        """
        if self.text is None:
            return [None if one is None else f"{OPEN} {one} {CLOSE}" for one in mentions.texts()]
        columns = (self.text, self.start, self.end)
        return windows("kriss", mentions, columns, self.words)

    def _name(self, names: list[str], draw: Random) -> str:
        chance, others = draw.random(), names[1:]
        if chance < self.mask:
            return self.mask_word
        return draw.choice(others) if others and chance < self.mask + self.replace else names[0]
