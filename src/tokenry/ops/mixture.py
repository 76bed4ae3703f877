"""Weights of kinds of text under which each merge of a list was the most frequent pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import MissingExtraError
from tokenry.ops.merges import Replay

_ENOUGH = 200  # rows added at a time
_FORGET = 10  # rounds after which rows that do not bind are taken away
_LOOSE = 1e-3  # of a row; from there on it does not bind
_CLOSE = 1e-6  # of a row, and of a price: ten times what the solver allows itself


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class History:
    """What each pair counts before each merge of a list, in spans of merges without a change.

    Merges that take no pair, since it does not occur, are left out; the others have numbers.

    Attributes:
        pair: The pair of each span, as a row of `Replay`.
        begin: The first merge of it.
        end: One after the last merge of it.
        counts: How often the pair occurs before each of these merges.
        taken: The span of the pair that each merge takes.
        missing: Places in the list of the merges that are left out.
    """

    pair: Int[np.ndarray, " s"]
    begin: Int[np.ndarray, " s"]
    end: Int[np.ndarray, " s"]
    counts: Float[np.ndarray, "s k"]
    taken: Int[np.ndarray, " t"]
    missing: tuple[int, ...]

    def weighed(self, weights: Float[np.ndarray, "k n"]) -> History:
        """The same history with other columns: sums of those that it has."""
        return replace(self, counts=self.counts @ weights)


def history(replay: Replay, merges: Iterable[Sequence[int]]) -> History:
    """The history of words under a list of merges, which are applied to them."""
    taken: list[int] = []
    missing: list[int] = []
    pairs, counts = [np.arange(len(replay.pairs))], [replay.counts.copy()]
    for place, (left, right, made) in enumerate(merges):
        changed = replay.merge(left, right, made)
        if len(changed):
            taken.append(replay.row(left, right) or 0)
            pairs.append(changed)
            counts.append(replay.counts[changed])
        else:
            missing.append(place)
    pair = np.concatenate(pairs)
    begin = np.repeat(np.arange(len(pairs)), [len(one) for one in pairs])
    order = np.lexsort((begin, pair))
    pair, begin = pair[order], begin[order]
    last = np.append(pair[1:] != pair[:-1], True)
    end = np.where(last, len(taken), np.append(begin[1:], 0))
    some = begin < end
    pair, begin, end = pair[some], begin[some], end[some]
    key = pair * len(taken) + begin
    now = np.array(taken, np.int64) * len(taken) + np.arange(len(taken))
    return History(
        pair=pair,
        begin=begin,
        end=end,
        counts=np.concatenate(counts)[order][some],
        taken=np.searchsorted(key, now, side="right") - 1,
        missing=tuple(missing),
    )


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Mixture:
    """The solution of the linear program.

    Attributes:
        weights: Of each kind; they sum to one.
        slack: What the merges and pairs that do not fit cost at the optimum, in shares of pairs.
    """

    weights: Float[np.ndarray, " n"]
    slack: float


class MixtureProgram:
    r"""The linear program of Hayase et al. 2024, whose rows are made when they are needed.

    .. math:: \min \sum_t v_t + \sum_p u_p \quad \sum_i \alpha_i = 1, \quad
        \sum_i \alpha_i (g_{t,i}(m_t) - g_{t,i}(p)) + v_t + u_p \ge 0

    with the share :math:`g_{t,i}(p)` of pair p among those of kind i before merge t, relative to
    all its pairs before the first. There is a row for each merge and pair; those that a solution
    breaks are looked for, the worst of each pair is added, and the solver goes on from where it
    was, until no row is broken.

    Args:
        shares: The history with a column per kind, each divided by all pairs of that kind.

    Raises:
        MissingExtraError: If highspy is not installed.
    """

    def __init__(self, shares: History) -> None:
        self._shares = shares
        self._kinds = kinds = shares.counts.shape[1]
        self._unit = float(np.median(shares.counts[shares.taken].mean(1)))  # rows are about 1
        self._solver = solver = _solver()
        for _ in range(kinds):
            solver.addCol(0.0, 0.0, 1.0, 0, [], [])
        solver.addRow(1.0, 1.0, kinds, range(kinds), np.ones(kinds))
        self._merges: dict[int, int] = {}
        self._pairs: dict[int, int] = {}
        self._rows: list[tuple[int, int]] = []
        self._most = float(solver.inf)  # slack that a merge or pair which comes in now may have

    def again(self, shares: History) -> MixtureProgram:
        """The same rows for other counts of the same pairs, solved from where this one stands."""
        made = MixtureProgram(shares)
        made._slacks(len(self._merges) + len(self._pairs))
        made._merges, made._pairs = {**self._merges}, {**self._pairs}
        made._add(self._rows)
        made._solver.setBasis(self._solver.getBasis())
        return made

    def solve(self, rounds: int | None = None) -> Mixture:
        """The weights that cost the least slack.

        Args:
            rounds: How often rows are added at most; as often as some are broken when None.
        """
        values = self._settle(rounds)
        return Mixture(
            weights=values[: self._kinds],
            slack=float(values[self._kinds :].sum()) * self._unit,
        )

    def optimal(self) -> Float[np.ndarray, "m n"]:
        """Optimal weights in which each kind has its least, and in which it has its largest one.

        A solution is optimal where rows with a price bind and slack that costs more than it saves
        is none; among these the weights that go furthest are looked for.
        """
        solver = self._solver
        self._settle()
        found = solver.getSolution()
        prices, costs = np.array(found.row_dual)[1:], np.array(found.col_dual)
        rows = np.flatnonzero(np.abs(prices) > _CLOSE) + 1
        columns = np.flatnonzero(np.abs(costs) > _CLOSE)
        for row in rows.tolist():
            solver.changeRowBounds(row, 0.0, 0.0)
        for column in columns.tolist():
            solver.changeColBounds(column, found.col_value[column], found.col_value[column])
        for column in range(len(costs)):
            solver.changeColCost(column, 0.0)
        self._most = 0.0
        weights = []
        for kind in range(self._kinds):
            for cost in (1.0, -1.0):
                solver.changeColCost(kind, cost)
                weights.append(self._settle()[: self._kinds])
            solver.changeColCost(kind, 0.0)
        self._free()
        return np.array(weights)

    def _free(self) -> None:
        """Back to the program whose cost is its slack."""
        solver = self._solver
        self._most = float(solver.inf)
        for row in range(len(self._rows)):
            solver.changeRowBounds(row + 1, 0.0, solver.inf)
        for column in range(self._kinds):
            solver.changeColBounds(column, 0.0, 1.0)
        for column in range(self._kinds, self._kinds + len(self._merges) + len(self._pairs)):
            solver.changeColBounds(column, 0.0, solver.inf)
            solver.changeColCost(column, 1.0)

    def _settle(self, rounds: int | None = None) -> Float[np.ndarray, " c"]:
        """Solve until no row is broken; the values of all columns."""
        forgotten = -np.inf
        for done in count():
            self._solver.run()
            values = np.array(self._solver.getSolution().col_value)
            broken = [] if done == rounds else self._broken(values)
            if not broken:
                break
            cost = self._solver.getObjectiveValue()
            if self._most and done % _FORGET == 0 and cost > forgotten:  # never in circles
                forgotten = cost
                self._forget()
            self._add(broken)
        return values.clip(0.0) + 0.0  # the solver's zeros may be a hair below, or negative

    def _forget(self) -> None:
        """Without the rows that do not bind now; those needed later are found again."""
        values = np.array(self._solver.getSolution().row_value)[1:]
        loose = np.flatnonzero(values > _LOOSE)
        if len(loose):
            self._solver.deleteRows(len(loose), (loose + 1).astype(np.int32))
            away = set(loose.tolist())
            self._rows = [row for at, row in enumerate(self._rows) if at not in away]

    def _broken(self, values: Float[np.ndarray, " c"]) -> list[tuple[int, int]]:
        """The rows that a solution breaks most, one of each pair."""
        shares = self._shares
        score = shares.counts @ (values[: self._kinds] / self._unit)
        limit = score[shares.taken]
        limit[list(self._merges)] += values[list(self._merges.values())]
        slack = np.zeros(int(shares.pair.max()) + 1)
        slack[list(self._pairs)] = values[list(self._pairs.values())]
        merge = _least(limit, shares.begin, shares.end)
        excess = score - slack[shares.pair] - limit[merge]
        worst = np.flatnonzero(excess > _CLOSE)
        worst = worst[np.argsort(-excess[worst], kind="stable")]
        _, of_pair = np.unique(shares.pair[worst], return_index=True)
        spans = worst[np.sort(of_pair)][:_ENOUGH]
        rows = zip(merge[spans].tolist(), spans.tolist(), strict=True)
        known = set(self._rows)
        return [row for row in rows if row not in known]

    def _add(self, rows: Sequence[tuple[int, int]]) -> None:
        """Rows that say: before this merge, its pair was no rarer than that of the span."""
        shares, inf = self._shares, self._solver.inf
        columns = np.empty((len(rows), self._kinds + 2), np.int32)
        columns[:, : self._kinds] = range(self._kinds)
        known = len(self._merges) + len(self._pairs)
        for place, (merge, span) in enumerate(rows):
            pair = int(shares.pair[span])
            columns[place, -2:] = self._column(self._merges, merge), self._column(self._pairs, pair)
        self._slacks(len(self._merges) + len(self._pairs) - known)
        merges, spans = np.array(rows, np.int64).reshape(-1, 2).T
        factors = np.ones(columns.shape)
        gain = shares.counts[shares.taken[merges]] - shares.counts[spans]
        factors[:, : self._kinds] = gain / self._unit
        starts = np.arange(len(rows), dtype=np.int32) * columns.shape[1]
        none, most = np.zeros(len(rows)), np.full(len(rows), inf)
        sizes: Any = (columns.size, starts, columns.ravel(), factors.ravel())
        self._solver.addRows(len(rows), none, most, *sizes)
        self._rows += rows

    def _column(self, columns: dict[int, int], place: int) -> int:
        """The column of the slack of a merge or of a pair; a new one if there is none."""
        return columns.setdefault(place, self._kinds + len(self._merges) + len(self._pairs))

    def _slacks(self, count: int) -> None:
        """Columns for the slack of merges and pairs."""
        ones, none = np.ones(count), np.zeros(0, np.int32)
        costs = ones * (self._most > 0)
        starts = np.zeros(count, np.int32)
        limits: Any = (costs, ones * 0, ones * self._most)
        if count:
            self._solver.addCols(count, *limits, 0, starts, none, np.zeros(0))


def _least(
    values: Float[np.ndarray, " t"], begin: Int[np.ndarray, " s"], end: Int[np.ndarray, " s"]
) -> Int[np.ndarray, " s"]:
    """Where the least of the values from begin to end stands, for many spans at once."""
    table = [np.arange(len(values))]  # of each place: the least of it and 2^k - 1 that follow
    while 2 ** len(table) <= len(values):
        half = 2 ** (len(table) - 1)
        table.append(_lower(values, table[-1][:-half], table[-1][half:]))
    power = np.frexp(end - begin)[1] - 1
    found = np.empty_like(begin)
    for k, least in enumerate(table):
        of = power == k
        found[of] = _lower(values, least[begin[of]], least[end[of] - 2**k])
    return found


def _lower(
    values: Float[np.ndarray, " t"], one: Int[np.ndarray, " n"], other: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Of two places each, that of the lower value."""
    lower: Int[np.ndarray, " n"] = np.where(values[other] < values[one], other, one)
    return lower


def _solver() -> Any:
    """HiGHS, silent, on one core: the same input gives the same output."""
    try:
        highs: Any = import_module("highspy").Highs
    except ModuleNotFoundError as error:
        raise MissingExtraError("data-mixture", 'pip install "tokenry[vocab]"') from error

    class Silent(highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:  # noqa: N802 - which prints a banner unless told before
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    solver = Silent()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver
