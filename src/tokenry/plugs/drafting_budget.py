r"""How many tokens a pass should verify: as many as pay on this machine and for this text.

A pass over a root and `k` nodes costs `c(k+1)`. As the first `k` nodes of a draft are the draft
that a smaller budget would have got, every pass tells for each rank `j` whether there was a node
and whether it passed; with those shares `there[j]` and `passed[j]`, a budget of `k` nodes writes
`1 + \sum_{j<k} passed[j]` tokens in `c(1) + \sum_{j<k} there[j] (c(j+2) - c(j+1))` seconds. The
best `k`, 0 included, goes next. A batch takes as many passes as its longest text, so that a row
which is far ahead of the others saves none and is not looked at.

As long as no drafts pay, some are made in thought: no pass verifies them, and what the model then
writes says which nodes would have passed (`tokenry.plugs.drafting_trials`). Only the drafting takes
time then. That, and drafts that turn out not to pay, is paid from a credit, which holds what
drafting has gained in this call and a small share of what plain decoding would have taken. A call
therefore never takes longer than plainly by more than that share and one pass, or less than one
where little is to be written: together two per cent. The loop itself takes about one more.

Where a pass costs about the same whatever it reads, as on a GPU, drafts are not made in thought: as
long as the credit lasts, they are verified, since some drafters learn from what is verified. So
that they have time to, two passes for each hundred tokens, four at most, are lent at the start.

A draft model has to read the text first. Drafts in thought look at its end alone; all of it is read
when drafts are to be verified for the first time and the credit pays for that reading too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from statistics import median

from tokenry.plugs.drafting_curve import Curve

_MEMORY = 0.98  # how much a pass counts once another one has passed
_LENT = 0.01
_HOPE = 0.1  # the share of first nodes that pass, as long as nothing is known
_TRIED = 2.0  # drafts in thought are as large as a pass that costs this many single tokens
_START, _MOST = 1.0, 8.0  # credit, in passes over one token
_SHORT = 0.01  # credit at the start for each token that may be written, up to _START
_CHEAP = 0.5  # so much more than one token may the largest pass cost, for drafts to be tried out
_MANY, _EACH = 4.0, 0.02  # credit at the start there, and for each token that may be written
_LAST = 9  # so many passes of a size say how long one takes


class Fixed:
    """The same budget for every pass.

    Args:
        tokens: The budget.
    """

    curve: Curve | None = None

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def budget(self, before: float = 0.0) -> int:
        """Most tokens of the next pass, the root included."""
        return self._tokens

    def note(
        self,
        offered: int,
        paths: Sequence[Sequence[int]],
        forward: float,
        drafting: float,
        reading: float,
        before: float = 0.0,
    ) -> None:
        """Nothing is learned."""

    def trial(self) -> int:
        """No nodes to draft in thought."""
        return 0

    def saw(self, node: int, there: bool, passed: bool) -> None:
        """Nothing is learned."""

    def verdict(self) -> str:
        """What was decided, in words."""
        return f"the budget is given: {self._tokens} tokens per pass"


class Chosen:
    """The budget that pays best, by what passes cost and what was accepted so far.

    Args:
        curve: What passes cost.
        step: Seconds that a draft of one node takes, as long as drafting was not timed; a drafter
            that says so drafts a single node first.
    """

    def __init__(self, curve: Curve, step: float = 0.0) -> None:
        self.curve, self._step = curve, step
        n = curve.most - 1
        self._timed = [curve.cost(t) for t in range(1, n + 2)]
        self._cost = list(accumulate(self._timed, max))
        self._taken: dict[int, deque[float]] = {}
        self._asked, self._there, self._passed = [0.0] * n, [0.0] * n, [0.0] * n
        self._drafts = self._nodes = self._seconds = self._squares = self._products = 0.0
        self._cheap = not step and self._cost[-1] <= (1 + _CHEAP) * self._cost[0]
        self._credit = (_MANY if self._cheap else _START) * self._cost[0]
        self._now = self._thought = 0

    def begin(self, tokens: int) -> None:
        """A new call: what was gained in earlier ones may not be lost in this.

        Args:
            tokens: How many may be written.
        """
        lent = min(_MANY, _EACH * tokens) if self._cheap else min(_START, _SHORT * tokens)
        self._credit = min(self._credit, lent * self._cost[0])

    def budget(self, before: float = 0.0) -> int:
        """Most tokens of the next pass, the root included.

        Args:
            before: Seconds that are to be spent before drafts can be made at all.
        """
        credit, cost = max(self._credit, 0.0), self._cost
        best, largest, self._now, self._thought = 0.0, 0, 0, 0
        draft, node = self._drafting()
        for k, (tokens, seconds) in enumerate(self._expected()):
            if k and cost[k] - cost[0] + draft + node * k + before > credit:
                continue
            largest = k
            if tokens / seconds > best:
                best, self._now = tokens / seconds, k
        if self._cheap and not self._now:
            self._now = largest
        return self._now + 1

    def trial(self) -> int:
        """How many nodes to draft in thought beside a pass without drafts."""
        credit, dear = max(self._credit, 0.0), _TRIED * self._cost[0]
        most = 2 if self._step and not self._drafts else len(self._cost)
        draft, node = self._drafting()
        fit = [k for k in range(1, most) if draft + node * k <= credit]
        if self._now or not fit:
            return 0
        self._thought = max((k for k in fit if self._cost[k] <= dear), default=1)
        return self._thought

    def saw(self, node: int, there: bool, passed: bool) -> None:
        """Take in what became of one node of a draft in thought.

        Args:
            node: Its rank.
            there: Whether the drafter had so many.
            passed: Whether the model wrote it.
        """
        self._asked[node] += 1
        self._there[node] += there
        self._passed[node] += passed

    def _drafting(self) -> tuple[float, float]:
        """Seconds that a draft takes, and each of its nodes.

        A straight line through what was timed. Where only one size was, each node costs the same
        with a draft model, and all of them what one does without.
        """
        if not self._drafts:
            return 0.0, self._step
        n, nodes, seconds = self._drafts, self._nodes, self._seconds
        if self._step:
            each = seconds / (nodes + n)
            return each, each
        spread = self._squares * n - nodes**2
        each = (self._products * n - nodes * seconds) / spread if spread > 1e-6 * nodes**2 else 0.0
        each = min(max(each, 0.0), seconds / nodes)
        return (seconds - each * nodes) / n, each

    def _expected(self) -> list[tuple[float, float]]:
        """Tokens and seconds of a pass for each number of nodes."""
        cost = self._cost
        there, share, tokens, seconds = 1.0, 0.0, 1.0, cost[0]
        found = [(tokens, seconds)]
        draft, node = self._drafting()
        notes = zip(self._asked, self._there, self._passed, strict=True)
        for j, (asked, offered, passed) in enumerate(notes):
            share = (passed + max(_HOPE / (j + 1), 0.8 * share)) / (offered + 1)
            there = (offered + there) / (asked + 1)
            tokens += there * share
            seconds += there * (cost[j + 1] - cost[j])
            found.append((tokens, seconds + draft + node * (j + 1)))
        return found

    def note(
        self,
        offered: int,
        paths: Sequence[Sequence[int]],
        forward: float,
        drafting: float,
        reading: float,
        before: float = 0.0,
    ) -> None:
        """Take in one pass.

        Args:
            offered: How many nodes the largest draft had; -1 where no row is left.
            paths: Which nodes were accepted by each row that is not far ahead of the others.
            forward: So many passes one by one would have brought the batch as far.
            drafting: Seconds that drafting took.
            reading: Seconds that the model and what follows it took.
            before: Seconds of the drafting that will not be needed again.
        """
        if not paths:
            return
        for notes in (self._asked, self._there, self._passed):
            notes[:] = [_MEMORY * x for x in notes]
        for j in range(self._now):
            self._asked[j] += 1
            self._there[j] += j < offered
        for path in paths:
            for node in path:
                self._passed[node] += 1 / len(paths)
        if asked := self._now or self._thought:
            self._drafts = _MEMORY * self._drafts + 1
            self._nodes = _MEMORY * self._nodes + asked
            self._seconds = _MEMORY * self._seconds + drafting - before
            self._squares = _MEMORY * self._squares + asked**2
            self._products = _MEMORY * self._products + asked * (drafting - before)
        self._correct(offered, reading)
        plain = self._cost[0] * forward
        gain = plain - self._cost[offered] - drafting
        most = _MOST * self._cost[0]
        self._credit = min(most, self._credit + gain + _LENT * plain)

    def _correct(self, n: int, reading: float) -> None:
        """Set the curve right by what passes really take now, size by size."""
        taken = self._taken.setdefault(n.bit_length(), deque(maxlen=_LAST))
        taken.append(reading / self._timed[n])
        factors = {size: median(ratios) for size, ratios in self._taken.items()}
        near = [
            factors[min(factors, key=lambda known: abs(known - size))]
            for size in range(len(self._timed).bit_length() + 1)
        ]
        costs = [cost * near[k.bit_length()] for k, cost in enumerate(self._timed)]
        self._cost = list(accumulate(costs, max))  # a larger pass never takes less

    def verdict(self) -> str:
        """What was decided, in words."""
        most = (1 + _MOST) * self._cost[0]
        expected = self._expected()[: max(2, sum(cost <= most for cost in self._cost))]
        rates = [tokens / seconds for tokens, seconds in expected]
        best = max(range(len(rates)), key=lambda k: rates[k])
        if best == 0:
            k = max(range(1, len(rates)), key=lambda k: rates[k])
            return (
                f"no drafts: of {k} drafted tokens {expected[k][0] - 1:.2f} pass, but they make a "
                f"pass {expected[k][1] / expected[0][1]:.2f} times as long"
            )
        return (
            f"{best + 1} tokens per pass: {expected[best][0]:.2f} are written in "
            f"{expected[best][1] / expected[0][1]:.2f} times the time of one"
        )
