"""Business glossaries: which entry says what a column holds, by its name and table alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.method import Aids, Embed, In, Linker, Matcher, PresentMatcher, Side
from tokenry.method.advice import Adviser
from tokenry.method.linker import Rows, Scores
from tokenry.method.preselected import PreselectedMatcher
from tokenry.ops.abbreviations import expansions, lexicon
from tokenry.ops.nearest import Ranked, nearest, products
from tokenry.ops.questions import SHOTS, Column, describe, in_tables

By = Literal["names", "written", "expanded-yes", "expanded-choice", "entry-yes", "entry-choice"]

_WRITTEN = 40  # tokens of a description that a model writes
_HOW_EMBED = "name an encoder, such as encoder='zoo:minilm-l6'."
_HOW_REFEREE = "name a language model, such as referee='zoo:smollm2-135m', or take by=names."


@final
@dataclass(frozen=True, kw_only=True)
class GlossaryMatch(Linker):
    r"""Matches columns with the entries of a glossary by what a language model says of them.

    Left rows are columns: their names are the key, and where the table has a column `table`, those
    of one table are each other's context. Right rows are entries: a label, the key, and where there
    is one a column `description`. Either the model says first what the column holds, and the score
    is $\cos(e(c + d_c), e(g + d_g))$; or it is asked about the entries themselves.

    Args:
        threshold: The score from which on an entry is a match; None for 0.5.
        by: `names`: the cosine of name and entry, no model asked. `written`: the model writes
            $d_c$ after examples (those of a table `shots` if it is given). `expanded-yes` and
            `expanded-choice`: $d_c$ is the reading of an abbreviated name, in words of the
            glossary, to which the model says yes or which it chooses. `entry-yes`: the score is
            $p(\mathrm{yes})/(p(\mathrm{yes})+p(\mathrm{no}))$ for each entry. `entry-choice`: a
            tournament of entries, in which "none of these" takes part.
        among: Entries that a column is compared with by the model, the nearest by vectors; all
            others score 0 without a question.
        group: Entries in one question.
        shifted: Ask once for each cyclic shift of the options, so that no place is preferred.
        readings: Readings of a name that the model is asked about.
        expand: Add the likeliest reading of a name to it before it is embedded.
        context: Other columns of the table that are shown.
        words: Words of an entry that are read; long descriptions drown the label.
        table: Name of the left column that names tables.
        description: Name of the right column that describes entries.

    Raises:
        UsageError: If a setting is out of range.

    Source: Lobo et al. 2023.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="glossary-match",
        name="Glossary matching",
        title="Matching Table Metadata with Business Glossaries Using Large Language Models",
        summary="Matches columns with business terms by names and descriptions, without the data.",
        family="linking",
        have="tables whose columns have short names, and a glossary of terms",
        want="the term that says what each column holds",
        dial="none: a linker has no share of tokens to keep",
        year=2023,
        arxiv="2309.11506",
        venue="Ontology Matching workshop 2023",
        claims=(
            Claim(
                paper="Descriptions that a language model writes bring columns nearer to their "
                "glossary entries than the bare names are.",
                effect="With descriptions and the context of the table, more columns have their "
                "own definition first than by name alone, also when words of the descriptions "
                "are missing or wrong.",
                test="tests/linking/test_glossary_match.py"
                "::test_claim_descriptions_in_context_beat_names",
                measured="hit@1 of 134 columns of 26 data sets of statsmodels (zoo:minilm-l6): "
                "0.343 by name, 0.425 with abbreviations spelled out by rule, 0.677 with "
                "descriptions of a stub that knows the definition, loses 30 % of its words and "
                "mistakes 30 %, and sees the table, 0.646 if it does not. Of the 11 columns whose "
                "name several tables have: 0.273, 0.364, 0.591, 0.341 "
                "(`recipes/glossary_columns.py`). The own definition is among the 20 nearest, "
                "which a model is asked about, for 0.746 by name, for 0.769 spelled out.",
            ),
            Claim(
                paper="Language models match columns better than embeddings do.",
                effect="hit@1 with a language model is above that of the names alone.",
                not_shown="Every fourth of these columns, hit@1: names 0.529; zoo:smollm2-135m "
                "0.441 by what it writes, 0.235 by yes or no of five entries, 0.441 by choice of "
                "five. A model of this size knows too little; larger ones were not at hand.",
            ),
        ),
        differs=(
            "Prompts, examples, models and the number of entries that are looked at are not in "
            "print; ours are in `tokenry.ops.questions` and the settings.",
            "Where the paper's candidate descriptions come from is not said; here they are "
            "readings of the abbreviated name in words of the glossary.",
            "Multiple choice is a tournament of groups with none of these in every question; all "
            "orders that come of shifting are asked, and their geometric mean counts.",
        ),
    )
    expected_failures: ClassVar[dict[str, str]] = {
        "itself": "the model of the check says by chance what fits, equal texts or not."
    }

    by: Annotated[By, "who says what fits"] = "entry-choice"
    among: Annotated[int, In(1, 10_000), "entries that the model compares with a column"] = 20
    group: Annotated[int, In(2, 25), "entries in one question"] = 5
    shifted: Annotated[bool, "ask once for each cyclic shift of the options"] = True
    readings: Annotated[int, In(1, 25), "readings of a name that the model is asked about"] = 4
    expand: Annotated[bool, "add the likeliest reading of a name to it"] = False
    context: Annotated[int, In(0, 1000), "other columns of the table that are shown"] = 20
    words: Annotated[int, In(1, 10_000), "words of an entry that are read"] = 40
    table: Annotated[str, "name of the left column that names tables"] = "table"
    description: Annotated[str, "name of the right column that describes entries"] = "description"

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Embed both sides; what the model has to be asked first is asked now.

        Raises:
            UsageError: If no encoder was named, or no language model where one is asked.
        """
        embed = aids.need("GlossaryMatch", "embed", _HOW_EMBED)
        columns, entries = self._columns(left), self._entries(right)
        there = [one for one in columns if one is not None]
        judge = None
        if self.by != "names":
            referee = aids.need("GlossaryMatch", "referee", _HOW_REFEREE)
            judge = Adviser(referee, group=self.group, shifted=self.shifted)
        there = [one for one in columns if one is not None]
        texts = dict(zip(there, self._texts(there, entries, judge, aids, left.keys), strict=True))
        threshold = 0.5 if self.threshold is None else self.threshold
        said = [None if one is None else texts[one] for one in columns]
        cosine = _Cosine(said, entries, embed, threshold, itself=right is not left)
        if judge is None or not self.by.startswith("entry"):
            return cosine
        return _Judged(self, columns, entries, cosine, judge)

    def _columns(self, side: Side) -> list[Column | None]:
        tables = side.columns.get(self.table, [None] * side.count)
        return in_tables(side.texts(), tables, self.context)

    def _entries(self, side: Side) -> list[str | None]:
        told = side.columns.get(self.description, [None] * side.count)
        whole = (
            label if label is None or not text else f"{label}: {text}"
            for label, text in zip(side.texts(), told, strict=True)
        )
        return [one if one is None else " ".join(one.split()[: self.words]) for one in whole]

    def _texts(
        self,
        columns: list[Column],
        entries: Sequence[str | None],
        judge: Adviser | None,
        aids: Aids,
        keys: tuple[str, ...],
    ) -> list[str]:
        """What is embedded of each column: its name, and what is said of it."""
        known = lexicon(one for one in entries if one is not None)
        said = [""] * len(columns)
        if judge is not None and self.by == "written":
            shots = self._shots(aids, keys)
            said = judge.written([describe(one, shots) for one in columns], _WRITTEN)
        elif judge is not None and self.by.startswith("expanded"):
            options = [expansions(one.name, known, self.readings) for one in columns]
            said = judge.best(columns, options, self.by == "expanded-choice")
        if self.expand:
            first = [expansions(one.name, known, 1) for one in columns]
            said = [" ".join([*one, text]).strip() for one, text in zip(first, said, strict=True)]
        return [
            f"{one.name}: {text}" if text and text != one.name else one.name
            for one, text in zip(columns, said, strict=True)
        ]

    def _shots(self, aids: Aids, keys: tuple[str, ...]) -> Sequence[tuple[Column, str]]:
        if "shots" not in aids.tables:
            return SHOTS
        given = aids.tables["shots"]
        texts = given.column("GlossaryMatch", self.description)
        names = {key: given.column("GlossaryMatch", key) for key in keys}
        side = Side(columns={**given.columns, **names}, keys=keys, count=given.count)
        pairs = zip(self._columns(side), texts, strict=True)
        return [(one, str(text)) for one, text in pairs if one is not None and text]


class _Cosine(PresentMatcher):
    """The cosine of what is said of a column and of an entry."""

    def __init__(
        self,
        left: Sequence[str | None],
        right: Sequence[str | None],
        embed: Embed,
        threshold: float,
        itself: bool,
    ) -> None:
        super().__init__(left, right, threshold)
        self.itself = itself
        texts = [*self.left, *self.right]
        vectors = np.asarray(embed(texts)) if texts else np.zeros((0, 1))
        self._vectors = vectors[: len(self.left)], vectors[len(self.left) :]

    def pairs(self, left: Rows, right: Rows) -> Scores:
        return products(*self._vectors, left, right)

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        return nearest(*self._vectors, k, least, itself=self.itself, rows=rows)


class _Judged(PreselectedMatcher):
    """What the model says of the entries that are nearest to a column."""

    def __init__(
        self,
        method: GlossaryMatch,
        columns: Sequence[Column | None],
        entries: Sequence[str | None],
        cosine: _Cosine,
        judge: Adviser,
    ) -> None:
        there = [np.array([one is not None for one in side], bool) for side in (columns, entries)]
        nearby = cosine.nearest(method.among)
        super().__init__(nearby, there[0], there[1], cosine.itself, cosine.threshold)
        self._columns: Any = columns
        self._entries: Any = entries
        self._cosine, self._judge = cosine, judge
        self._choose = method.by == "entry-choice"

    def ask(self, left: Rows, right: Rows) -> Scores:
        columns = [self._columns[row] for row in left]
        entries = [self._entries[row] for row in right]
        if not self._choose:
            return self._judge.fits(columns, entries)
        fields: dict[int, list[str]] = {}
        # The nearest first, so that the order of the glossary decides nothing.
        near = -self._cosine.score(left, right)
        for at in sorted(range(len(left)), key=lambda at: (near[at], entries[at])):
            fields.setdefault(int(left[at]), []).append(entries[at])
        asked = [(self._columns[row], list(dict.fromkeys(some))) for row, some in fields.items()]
        found = dict(zip(fields, self._judge.choose(asked), strict=True))
        return np.array([found[row][one] for row, one in zip(left.tolist(), entries, strict=True)])
