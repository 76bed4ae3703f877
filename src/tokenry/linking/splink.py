"""Fellegi-Sunter scores by splink: what agreeing, or not, in each column says."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np

from tokenry.card import Card
from tokenry.errors import MissingExtraError
from tokenry.method import Aids, In, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.nearest import Ranked, first_of_each, rounded

WHOLE = 1_000_000  # pairs up to which `nearest` looks at all; above, at those that share a key
FEW = 20  # distinct values up to which a column is taken for a category
SAMPLE = 2_000_000  # random pairs that u is measured on, and most pairs that m is learned on
LEAST = 100  # pairs of both tables below which nothing is learned
PREFIX = "column"


@final
@dataclass(frozen=True, kw_only=True)
class Splink(Linker):
    """Adds up match weights of the key columns, learned without labels by splink.

    A pair's score is log2 of the odds that it is a match: a prior, and for each column log2 of m/u,
    where m is how often matches agree so well and u how often others do; of an empty column, 0.

    Args:
        threshold: The match weight from which on a pair is a match; None for 0, even odds.
        recall: A guess that the prior is made with: the share of matches that agree in two key
            columns, or in the only one.
        seed: Of the sampling.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="splink",
        name="Splink",
        title="Splink: MoJ's open source library for probabilistic record linkage at scale",
        summary="Match weights of each column, learned without labels, that a person can read.",
        year=2022,
        venue="International Journal of Population Data Science 7(3)",
        code="https://github.com/moj-analytical-services/splink",
        code_license="MIT",
        family="linking",
        have="several columns that are each filled in for most rows, and no labelled pairs",
        want="scores that say which column spoke for a match and how loudly",
        dial="none: a linker has no share of tokens to keep",
        differs=(
            "Comparisons are chosen by rule, where splink asks its user: few values by equality, "
            "digits by Damerau-Levenshtein distance, others by Jaro-Winkler.",
            "No adjustment for frequent values: scores of given pairs must not depend on which "
            "other pairs are given.",
            "m is learned in one round for each key column, blocked on it. Where no pair agrees in "
            "any, and for a single key column, splink's starting values of m stay; with fewer "
            f"than {LEAST} pairs in all those of u as well.",
        ),
    )

    recall: Annotated[float, In(0.01, 1), "the share of matches that agree in two columns"] = 0.7
    seed: Annotated[int, In(0, 2**31 - 1), "seed of the sampling"] = 0

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Learn the weights of all columns from both tables.

        Raises:
            MissingExtraError: If splink is not installed.
        """
        try:
            import splink  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("Splink", 'pip install "tokenry[linking]"') from error
        sides = [left.texts()]
        tables = [_table(left, sides[0])]
        if right is not left:
            sides.append(right.texts())
            tables.append(_table(right, sides[1]))
        pairs = len(tables[0]) - 1 if right is left else len(tables[0]) * len(tables[1])
        model = _trained(self, tables) if pairs > 0 else {}
        threshold = 0.0 if self.threshold is None else self.threshold
        return _Weights([sides[0], sides[-1]], threshold, tables, model, left.keys)


def _table(side: Side, texts: Sequence[str | None]) -> Any:
    """The key columns of the rows that have any, under names that are safe in SQL."""
    import pyarrow as pa

    rows = [row for row, text in enumerate(texts) if text is not None]
    columns = {
        f"{PREFIX}{number}": pa.array([side.columns[key][row] for row in rows], pa.string())
        for number, key in enumerate(side.keys)
    }
    return pa.table({"row": pa.array(range(len(rows)), pa.int64()), **columns})


def _comparison(column: str, tables: Sequence[Any]) -> Any:
    """How a column is compared, by what is in it."""
    from pyarrow import compute as pc
    from splink import comparison_library as library

    values = [pc.drop_null(table.column(column)) for table in tables]
    distinct = {one for part in values for one in pc.unique(part).to_pylist()}
    count = sum(map(len, values))
    if len(distinct) <= FEW < count:
        return library.ExactMatch(column)
    digits = sum(any(letter.isdigit() for letter in one) for one in distinct)
    if 2 * digits > len(distinct):
        return library.DamerauLevenshteinAtThresholds(column, [1, 2])
    return library.JaroWinklerAtThresholds(column, [0.92, 0.8])


def _trained(linker: Splink, tables: Sequence[Any]) -> dict[str, Any]:
    """A model of splink's, as its settings."""
    from splink import SettingsCreator, block_on

    columns = [name for name in tables[0].column_names if name.startswith(PREFIX)]
    made = SettingsCreator(
        link_type="dedupe_only" if len(tables) == 1 else "link_only",
        unique_id_column_name="row",
        comparisons=[_comparison(column, tables) for column in columns],
        retain_intermediate_calculation_columns=True,
        retain_matching_columns=False,
    )
    two = [block_on(*some) for some in itertools.pairwise(columns)]
    prior = "probability_two_random_records_match"
    with _opened(tables, made) as model:
        try:
            model.training.estimate_probability_two_random_records_match(
                two or [block_on(columns[0])], recall=linker.recall
            )
            settings = dict(model.misc.save_model_to_json())
        except ValueError:  # more pairs agree than the guess allows: most rows are equal
            settings = {**model.misc.save_model_to_json(), prior: 0.5}
    # Odds stay finite where no pair of a small table agrees, and even where most do.
    least = 1 / (1 + len(tables[0]) * len(tables[-1]))
    settings[prior] = min(max(settings[prior], least), 0.5)
    if len(tables[0]) * len(tables[-1]) < LEAST:
        return settings
    with _opened(tables, settings) as model:
        model.training.estimate_u_using_random_sampling(max_pairs=SAMPLE, seed=linker.seed)
        # A round in which no pair agrees would leave splink's model without its other columns.
        for column in (one for one in columns if len(columns) > 1 and _agree(one, tables)):
            model.training.estimate_parameters_using_expectation_maximisation(
                block_on(column), max_pairs=SAMPLE
            )
        return dict(model.misc.save_model_to_json())


def _agree(column: str, tables: Sequence[Any]) -> bool:
    """Whether any pair of rows has the same value in a column."""
    from pyarrow import compute as pc

    one, other = (pc.drop_null(tables[at].column(column)) for at in (0, -1))
    if len(tables) == 1:
        return len(pc.unique(one)) < len(one)
    return bool(pc.any(pc.is_in(one, pc.unique(other))).as_py())


@contextmanager
def _opened(tables: Sequence[Any], settings: Any) -> Iterator[Any]:
    """A splink linker over tables; it talks of errors only, and its database goes at the end."""
    import duckdb
    from splink import DuckDBAPI, Linker

    log = logging.getLogger("splink")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET enable_progress_bar = false")
            api = DuckDBAPI(connection)
            held = [api.register(one, dataset_display_name=f"t{i}") for i, one in enumerate(tables)]
            yield Linker(held, settings, log_level=None)
    finally:
        log.setLevel(level)


class _Weights(PresentMatcher):
    portion = 1 << 62  # splink predicts all at once

    def __init__(
        self, sides: list[Any], threshold: float, tables: Any, model: Any, keys: Sequence[str]
    ) -> None:
        super().__init__(sides[0], sides[1], threshold)
        self._tables, self._model, self._keys = tables, model, keys

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """The match weight of each pair."""
        return rounded(self._given(left, right)["match_weight"])

    def shares(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """The weight of each column and the prior."""
        found = self._given(left, right)
        parts = {key: found[f"mw_{PREFIX}{place}"] for place, key in enumerate(self._keys)}
        prior = self.pairs(left, right) - sum(parts.values(), np.zeros(len(left)))
        return {"prior": prior, **parts}

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The k best right rows of each left row, of all pairs or of those that share a key."""
        if not self._model:
            return Ranked(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        shared = [f'l."{PREFIX}{at}" = r."{PREFIX}{at}"' for at in range(len(self._keys))]
        rules = shared if len(self.left) * len(self.right) > WHOLE else ["1=1"]
        found = self._predicted(self._tables, rules, None if least == -np.inf else least - 1e-6)
        left, right, score = found["row_l"], found["row_r"], rounded(found["match_weight"])
        if not self.itself:
            left, right, score = np.r_[left, right], np.r_[right, left], np.r_[score, score]
        near = (left >= rows.start) & (left < rows.stop)
        return first_of_each(left[near], right[near], score[near], k, least)

    def _given(self, left: Rows, right: Rows) -> dict[str, Any]:
        """What splink says of given pairs, in their order: pair i joins row i of two tables."""
        import pyarrow as pa

        if not len(left) or not self._model:
            names = [f"mw_{PREFIX}{place}" for place in range(len(self._keys))]
            return dict.fromkeys(["match_weight", *names], np.full(len(left), np.nan))
        row = pa.array(np.arange(len(left)), pa.int64())
        tables = [
            table.take(pa.array(rows, pa.int64())).set_column(0, "row", row)
            for table, rows in ((self._tables[0], left), (self._tables[-1], right))
        ]
        found = self._predicted(tables, ['l."row" = r."row"'], None)
        order = np.argsort(found["row_l"])
        return {name: column[order] for name, column in found.items()}

    def _predicted(self, tables: Any, rules: list[str], least: float | None) -> dict[str, Any]:
        """What splink predicts, column by column."""
        settings = {
            **self._model,
            "link_type": "dedupe_only" if len(tables) == 1 else "link_only",
            "blocking_rules_to_generate_predictions": rules,
        }
        with _opened(tables, settings) as model:
            table = model.inference.predict(threshold_match_weight=least).as_pyarrow_table()
        names = [one for one in table.column_names if one.startswith(("row_", "match_w", "mw_"))]
        return {name: table.column(name).to_numpy() for name in names}
