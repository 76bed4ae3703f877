"""Glossary matching: against oracles that answer as they must, and on real columns."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from tokenry.errors import UsageError
from tokenry.linking import GlossaryMatch
from tokenry.method import Aids, Side
from tokenry.method.advice import Adviser
from tokenry.ops.questions import NONE, Column

TABLES = ["staff", "staff", "staff", "orders", None]
NAMES = ["birth_dt", "empl_no", None, "qty", "zzz"]
LABELS = ["Date of birth", "Employee number", "Quantity", None, "Colour"]
TOLD = ["day on which a person was born", None, "how many units were ordered", "x", ""]


LETTERS = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=1024)


def embed(texts):
    """Runs of three letters, hashed: related texts are near each other."""
    return LETTERS.transform(texts).toarray()


def side(names, **columns):
    return Side(columns={"name": names, **columns}, keys=("name",), count=len(names))


LEFT = side(NAMES, table=TABLES)
RIGHT = side(LABELS, description=TOLD)


class Oracle:
    """Knows the entry of each column, or which reading of a name is right; and prefers A."""

    def __init__(self, gold, bias=0.0):
        self.gold, self.bias = gold, bias
        self.prompts = []

    def _wanted(self, prompt):
        lines = prompt.splitlines()
        name = next(line for line in lines if line.startswith("Column: "))
        return self.gold.get(name.removeprefix("Column: "), NONE)

    def yes(self, prompts):
        self.prompts += prompts
        return np.array([0.9 if f"Description: {self._wanted(p)}" in p else 0.1 for p in prompts])

    def options(self, prompts, count):
        self.prompts += prompts
        found = []
        for prompt in prompts:
            lines = [line[3:] for line in prompt.splitlines() if line[1:3] == ". "]
            assert len(lines) == count
            fits = [line.startswith(self._wanted(prompt)) for line in lines]
            scores = np.where(fits if any(fits) else [line == NONE for line in lines], 3.0, 0.0)
            scores[0] += self.bias
            found.append(np.exp(scores) / np.exp(scores).sum())
        return np.array(found)

    def write(self, prompts, tokens):
        self.prompts += prompts
        return [f" {self._wanted(one.rsplit('Table', 1)[-1])}\nTable: more" for one in prompts]


GOLD = {"birth_dt": "Date of birth", "empl_no": "Employee number", "qty": "Quantity"}
READINGS = {"birth_dt": "birth date", "empl_no": "employee no", "qty": "quantity"}


def matched(by, gold, **changed):
    referee = Oracle(gold)
    method = GlossaryMatch(by=by, **changed)
    return method.prepare(LEFT, RIGHT, Aids(embed=embed, referee=referee)), referee


def best(matcher):
    found = matcher.nearest(1, matcher.threshold)
    return dict(zip(found.left.tolist(), found.right.tolist(), strict=True))


@pytest.mark.parametrize("by", ["entry-yes", "entry-choice"])
def test_direct_matching_finds_what_the_model_knows(by):
    matcher, _ = matched(by, GOLD)
    assert best(matcher) == {0: 0, 1: 1, 3: 2}


@pytest.mark.parametrize("by", ["expanded-yes", "expanded-choice"])
def test_readings_that_the_model_prefers_are_embedded(by):
    matcher, referee = matched(by, READINGS)
    plain = GlossaryMatch(by="names").prepare(LEFT, RIGHT, Aids(embed=embed))
    some = np.array([0, 1, 3]), np.array([0, 1, 2])
    assert (matcher.score(*some) > plain.score(*some)).all()
    assert len(set(referee.prompts)) == len(referee.prompts)


def test_written_descriptions_are_embedded():
    matcher, referee = matched("written", GOLD)
    wanted = embed(["birth_dt: Date of birth"]) @ embed([f"{LABELS[0]}: {TOLD[0]}"]).T
    np.testing.assert_allclose(matcher.score([0], [0]), wanted[0], atol=1e-8)
    assert "Table: staff\nOther columns: empl_no\nColumn: birth_dt" in referee.prompts[0]
    assert "hire_dt" in referee.prompts[0]


def test_shots_can_be_given():
    columns = {"name": ["ab"], "table": ["t"], "description": ["my own example"]}
    shots = Side(columns=columns, keys=(), count=1)
    referee = Oracle(GOLD)
    aids = Aids(embed=embed, referee=referee, tables={"shots": shots})
    GlossaryMatch(by="written").prepare(LEFT, RIGHT, aids)
    assert "Description: my own example" in referee.prompts[0]
    assert "hire_dt" not in referee.prompts[0]


def test_a_column_without_counterpart_ends_in_none():
    for by in ("entry-yes", "entry-choice"):
        matcher, _ = matched(by, {})
        assert best(matcher) == {}
        assert np.nanmax(matcher.score(*np.indices((5, 5)).reshape(2, -1))) < 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(2, 8), st.data())
def test_a_tournament_finds_the_true_entry_in_few_questions(count, group, data):
    true = data.draw(st.integers(0, count - 1))
    labels = [f"entry number {i:02d}" for i in range(count)]
    referee = Oracle({"col": labels[true]}, bias=1.0)
    method = GlossaryMatch(among=count, group=group)
    matcher = method.prepare(side(["col"]), side(labels), Aids(embed=embed, referee=referee))
    found = matcher.nearest(1)
    assert found.right.tolist() == [true]
    assert found.score[0] > 0.5
    # Each question is asked once for each cyclic shift of its options and none.
    assert len(referee.prompts) <= math.ceil(count / (group - 1)) * (group + 1)


def test_several_entries_may_fit():
    """Hit@k with more than one gold entry: entries that fit alike come first, both."""
    labels = ["birth day", "colour", "birth day of the person", "size"]
    for by in ("entry-yes", "entry-choice"):
        aids = Aids(embed=embed, referee=Oracle({"dob": "birth day"}))
        matcher = GlossaryMatch(by=by).prepare(side(["dob"]), side(labels), aids)
        found = matcher.nearest(4)
        assert set(found.right[:2].tolist()) == {0, 2}
        assert set(found.right[found.score > 0.5].tolist()) == {0, 2}


def test_the_order_of_entries_does_not_matter():
    order = np.array([3, 0, 2, 1])
    labels = np.array(["Date of birth", "Employee number", "Quantity", "Colour"])
    scores = []
    for some in (labels, labels[order]):
        aids = Aids(embed=embed, referee=Oracle(GOLD, bias=1.5))
        matcher = GlossaryMatch(group=4).prepare(side(["qty"]), side(some.tolist()), aids)
        scores.append(matcher.score(np.zeros(4, int), np.arange(4)))
    np.testing.assert_allclose(scores[0][order], scores[1], atol=1e-8)


def test_nothing_is_asked_twice_or_beyond_the_nearest():
    referee = Oracle(GOLD)
    left = side(["qty", "qty", "qty"], table=["a", "a", "b"])
    method = GlossaryMatch(by="entry-yes", among=2)
    matcher = method.prepare(left, RIGHT, Aids(embed=embed, referee=referee))
    matcher.nearest(1, 0.5)
    matcher.score([0, 1, 2], [0, 1, 2])
    assert len(referee.prompts) == 4  # two entries for the column of a, and for that of b
    scores = matcher.score(np.zeros(5, int), np.arange(5))
    assert (scores == 0).sum() == 2
    assert np.isnan(scores[3])
    assert sorted(matcher.nearest(9).right[:4].tolist()) == [0, 1, 2, 4]


def test_context_and_long_descriptions_are_cut():
    names = [f"c{i}" for i in range(30)]
    left = side(names, table=["wide"] * 30)
    right = side(["a"], description=["word " * 100])
    referee = Oracle({})
    method = GlossaryMatch(by="entry-yes", context=3, words=5)
    method.prepare(left, right, Aids(embed=embed, referee=referee)).score([9], [0])
    (prompt,) = referee.prompts
    assert "Other columns: c0, c1, c2\n" in prompt
    assert prompt.count("word") == 4


def test_names_alone_need_no_model_and_can_be_expanded():
    right = side(["labor force", "quantity"])
    left = side(["lforce", "qty"])
    plain, expanded = (
        GlossaryMatch(by="names", expand=expand).prepare(left, right, Aids(embed=embed))
        for expand in (False, True)
    )
    rows = np.arange(2)
    assert (expanded.score(rows, rows) > plain.score(rows, rows)).all()


def test_one_table_is_searched_for_columns_that_hold_the_same():
    table = side(["birth_dt", "qty", "Date of birth"])
    referee = Oracle({"birth_dt": "Date of birth", "Date of birth": "birth_dt"})
    aids = Aids(embed=embed, referee=referee)
    assert best(GlossaryMatch(by="entry-yes").prepare(table, table, aids)) == {0: 2, 2: 0}


def test_what_is_missing_is_said():
    with pytest.raises(UsageError, match="GlossaryMatch: needs embed"):
        GlossaryMatch().prepare(LEFT, RIGHT, Aids())
    with pytest.raises(UsageError, match="GlossaryMatch: needs referee"):
        GlossaryMatch().prepare(LEFT, RIGHT, Aids(embed=embed))
    with pytest.raises(UsageError, match="group=1 is outside"):
        GlossaryMatch(group=1)


def test_an_answer_that_was_not_read_is_no_match():
    class Mute(Oracle):
        def yes(self, prompts):
            return np.full(len(prompts), np.nan)

        def options(self, prompts, count):
            return np.full((len(prompts), count), np.nan)

    aids = Aids(embed=embed, referee=Mute({}))
    for by in ("entry-yes", "entry-choice"):
        matcher = GlossaryMatch(by=by).prepare(LEFT, RIGHT, aids)
        assert not len(matcher.nearest(1, matcher.threshold).left)
    assert Adviser(Mute({})).best([Column("a")], [["b", "c"]], False) == [""]


def test_claim_descriptions_in_context_beat_names(recipes):
    pytest.importorskip("statsmodels", reason="its data sets define the columns")
    study = recipes("glossary_columns")
    some = study.definitions()
    assert len(some) > 100
    (named,) = study.hits(GlossaryMatch(by="names"), some, Aids(embed=embed), 1)
    alone, in_context = (
        np.mean(
            [
                study.hits(
                    GlossaryMatch(by="written", table=table),
                    some,
                    Aids(embed=embed, referee=study.Stub(some, 0.3, seed)),
                    1,
                )[0]
                for seed in range(8)
            ],
            axis=0,
        )
        for table in ("", "table")
    )
    names = [one.name for one in some]
    shared = np.array([names.count(name) > 1 for name in names])
    assert in_context.mean() > alone.mean() > named.mean()
    assert in_context[shared].mean() > 1.5 * alone[shared].mean()


@pytest.mark.slow
def test_a_small_model_goes_through_all_the_ways():
    """Plumbing alone: what such a model says of columns is worth little, and is the same twice."""
    from tokenry.plugs.referee import referee

    judge = referee("zoo:smollm2-135m")
    left = side(["birth_dt", "qty"], table=["staff", "orders"])
    for by in ("written", "expanded-yes", "expanded-choice", "entry-yes", "entry-choice"):
        method = GlossaryMatch(by=by, among=3, shifted=False)
        runs = [
            method.prepare(left, RIGHT, Aids(embed=embed, referee=judge)).nearest(3)
            for _ in range(2)
        ]
        for one, other in zip(*runs, strict=True):
            np.testing.assert_array_equal(one, other)
        assert ((runs[0].score >= -1) & (runs[0].score <= 1)).all()
