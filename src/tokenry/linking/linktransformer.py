"""LinkTransformer: rows are texts, texts are vectors, and the nearest vector is the match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.method import Aids, Linker, Matcher, Side
from tokenry.method.text_rows import TextRows, encode
from tokenry.ops.fields import SEPARATOR, joined

_THRESHOLD = 0.8


@final
@dataclass(frozen=True, kw_only=True)
class LinkTransformer(Linker):
    """The cosine of the vectors that a text encoder gives to two rows.

    The key columns of a row, in the order in which they were named, become one text with
    `separator` between them; an empty column leaves its place empty, and a row without any is in
    no pair. Each distinct text is encoded once. Search is exact unless a graph is asked for, and of
    equal cosines the lower row comes first. With known pairs, the threshold is the one with the
    greatest F1 on them.

    Args:
        threshold: The cosine from which on a pair is a match; None for what known pairs say, or
            0.8 without them.
        separator: What stands between columns; None for what the encoder's tokenizer writes
            between two texts, or `</s>` where the encoder does not say.
        search: How the nearest rows are found where nothing blocks: `exact` compares all, `graph`
            finds most of them through a graph of neighbours, for more than some 50,000 rows a side.

    Raises:
        UsageError: If a setting is out of range.

    Source: Arora and Dell 2023, section 3.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="linktransformer",
        name="LinkTransformer",
        title="LinkTransformer: A Unified Package for Record Linkage with Transformer Language "
        "Models",
        summary="Links the rows of two tables by the cosine of what a text encoder makes of their "
        "key columns.",
        family="linking",
        have="two tables whose names differ in wording, spelling or language, and a text encoder",
        want="for each row the row of the other table that means the same",
        dial="none: it scores pairs",
        year=2023,
        arxiv="2309.00789",
        venue="ACL 2024, system demonstrations",
        code="https://github.com/dell-research-harvard/linktransformer",
        code_license="GPL-3.0",
        claims=(
            Claim(
                paper="Several columns can be linked on at once, by joining them to one text.",
                effect="Cities whose names others share are found more often by name, country and "
                "region than by name alone.",
                test="tests/linking/test_linktransformer.py::test_claim_more_columns_find_more",
                measured="MiniLM, 263 cities whose names others share, a letter missing: .243 by "
                "name, .734 by name, country and region (char-ngrams 1.000: where a name lacks a "
                "letter, MiniLM takes another of that country and region). Fodors-Zagats (112 true "
                "pairs, both tables): .964 by name, 1.000 by name, address and city, char-ngrams "
                ".973 and 1.000; best F1 of pairs that are each other's best .903 and .954, "
                "char-ngrams .919 and .973.",
            ),
            Claim(
                paper="Tables in different languages are linked without translating them.",
                effect="An encoder of letters from scratch finds countries written in other "
                "scripts, which it has not seen, far more often than edit similarity does.",
                test="tests/linking/test_linktransformer.py::"
                "test_claim_letters_are_linked_across_scripts",
                measured="Accuracy@1 .509 against .046, 2,705 names of 249 countries in eleven "
                "scripts and languages, 210,000 weights, 100 steps of supcon on names of languages "
                "and parts of countries (recipes/linker_scripts.py --steps 100). Nearly nothing "
                "in Armenian and Korean (.00 and .03), of which there is little to learn from.",
            ),
            Claim(
                paper="Tuned encoders beat edit distance and encoders that were not tuned by a "
                "wide margin.",
                effect="An encoder of letters that was tuned on other names of cities finds those "
                "of unseen cities more often than before, and than edit similarity does.",
                test="tests/linking/test_linktransformer.py::"
                "test_claim_tuning_beats_edit_similarity",
                measured="4,181 other names of 1,576 unseen cities: .602 after 500 steps of "
                "supcon, .207 before, edit similarity .361, char-ngrams .356 "
                "(recipes/linker_cities.py --letters). In Latin letters (2,687) .614, .320, .555 "
                "and .550; in others .580, .005, .011 and .006.",
            ),
            Claim(
                paper="So do pre-trained encoders that are tuned.",
                effect="The same of MiniLM, for names in Latin letters.",
                not_shown="Half of it is: 1,969 other names of unseen cities: .422 untuned, .470 "
                "after 200 steps of supcon (+.048 [+.035, +.062]); but edit similarity has .603 "
                "and char-ngrams .582 (recipes/linker_cities.py --latin). Most are other spellings "
                "of one name, of which pieces of words say little.",
            ),
        ),
        differs=(
            "A pair of rows without text on one side has no score; official code links an empty "
            "text to the nearest one.",
            "Every linked pair can be held to a threshold, one to one or one to many; the official "
            "merge takes the best row whatever it scores, and its `merge_type` constrains nothing.",
            "k larger than the right table gives each of its rows once; official code fills up "
            "with the last row, as its index pads with -1.",
            "A pair that scores exactly the threshold is a match, as the official documentation "
            "says; its code asks for more.",
            "Of equal cosines the lower row comes first, for any size of batch; a cosine is never "
            "above 1.",
            "Columns are joined in the order in which they are named; where none are named, "
            "official code takes the shared ones in the order of a set, which changes from run to "
            "run.",
            "One name for both tables or one for each can be given, as a list or not; official "
            "code fails on a list with a name, or embeds the list.",
            "A row that is like no other is a cluster of its own; official code gives all of them "
            "the label -1 and then keeps one of them.",
            "Each distinct text is encoded once, over all blocks; official code encodes each row.",
            "The separator is that of the encoder's tokenizer where it says so, `</s>` otherwise.",
            "With known pairs the threshold is learned; 0.8 without them is ours.",
        ),
    )

    separator: Annotated[str | None, "what stands between two columns"] = None
    search: Annotated[Literal["exact", "graph"], "how the nearest rows are found"] = "exact"

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Encode the distinct texts of both tables, all in one go."""
        embed = aids.need("linktransformer", "embed", "name an encoder, such as 'zoo:minilm-l6'.")
        separator = self.separator or getattr(embed, "separator", None) or SEPARATOR
        sides = (left,) if right is left else (left, right)
        texts = [joined([side.columns[key] for key in side.keys], separator) for side in sides]
        codes, vectors = encode(texts, embed, self.card.slug)
        shape = codes[0], codes[-1], right is left
        matcher = TextRows(vectors, *shape, exact=self.search == "exact")
        matcher.threshold = self.cut(matcher, aids.known, _THRESHOLD)
        return matcher
