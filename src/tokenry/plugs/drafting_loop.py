"""The loop: draft for each text, verify all drafts in one pass, write what passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.method import Drafter, DraftView, TokenTree, Verified
from tokenry.ops import tree as trees
from tokenry.ops.verify import choose
from tokenry.plugs.drafting_drafts import NOTHING, Draft, part
from tokenry.plugs.drafting_rules import Rules
from tokenry.plugs.drafting_texts import Row, Texts, parted, reached
from tokenry.plugs.drafting_trials import Trials
from tokenry.plugs.filling import Filling
from tokenry.plugs.guide import Guide


@runtime_checkable
class Grounds(Protocol):
    """What the loop needs to know of model and cache."""

    lockstep: bool
    chains: bool
    lengths: list[int]

    @property
    def positions(self) -> list[int]:
        """The position of each row's next token."""

    def feed(
        self, tokens: Int[Tensor, "b t"], seen: Bool[Tensor, "b t t"]
    ) -> Float[Tensor, "b t v"]:
        """One pass; the scores after each token."""

    def ahead(self) -> int:
        """Most tokens of a text that a pass may take in with the result of one by one."""

    def keep(self, slots: Sequence[Sequence[int]]) -> None:
        """Of the last pass keep in each row these tokens, 0 being the root."""


@runtime_checkable
class Counts(Protocol):
    """Says how many tokens a pass may verify, and listens to what became of them."""

    def budget(self, before: float) -> int:
        """Most tokens of the next pass, if drafts cost so many seconds beforehand."""

    def trial(self) -> int:
        """Nodes to draft in thought beside a pass without drafts; 0 for none."""

    def saw(self, node: int, there: bool, passed: bool) -> None:
        """What became of a node of a draft in thought."""

    def note(
        self,
        offered: int,
        paths: list[list[int]],
        forward: float,
        drafting: float,
        reading: float,
        before: float,
    ) -> None:
        """Nodes of the largest draft, those that the rows behind accepted, and what it took."""


class Loop:
    """One call of `generate`.

    Args:
        method: Proposes.
        texts: What is written.
        rules: What `generate` was told of scores and ends.
        sampling: Whether tokens are drawn.
        records: Which of "scores" and "logits" are noted.
        memory: What the drafter keeps from call to call.
        counts: How much a pass may verify.
        places: Positions that the model has.
        show: Called when tokens were written.
        vocabulary: Tokens that there are; scores say so too.
        fillings: For each row what fills in masks; None for none.
        guide: The draft model, where the method has one.

    Attributes:
        passes: Passes of the model.
        offered: For each pass that verified drafts how many nodes each row was offered; -1 for a
            row that was done.
        accepted: The same for the nodes that were accepted.
    """

    def __init__(
        self,
        method: Drafter,
        texts: Texts,
        rules: Rules,
        sampling: bool,
        records: frozenset[str],
        memory: dict[str, Any],
        counts: Counts,
        places: int,
        show: Callable[[], None],
        vocabulary: int = 0,
        fillings: Sequence[Filling] | None = None,
        guide: Guide | None = None,
    ) -> None:
        self._method, self._texts, self._rules = method, texts, rules
        self._sampling, self._records, self._memory = sampling, records, memory
        self._counts, self._places, self._show = counts, places, show
        self._fillings, self._vocabulary = fillings, vocabulary
        self.passes = 0
        self._guide = guide
        if guide is not None:
            guide.start(len(texts.rows))
        self._trials = Trials(counts.saw)
        self._behind: list[Row] = []
        self._reached = 0.0
        self.offered: list[list[int]] = []
        self.accepted: list[list[int]] = []

    def working(self) -> list[Row]:
        """The rows that go on; without a padding token a row goes on until all have ended."""
        rows = self._texts.rows
        if self._rules.pads or len(rows) == 1:
            return [row for row in rows if row.end is None]
        ends = [row.end for row in rows if row.end is not None]
        goal = max(ends) if len(ends) == len(rows) else self._texts.limit
        return [row for row in rows if row.stop < goal]

    def run(self, ground: Grounds, scores: Float[Tensor, "b t v"] | None) -> None:
        """Write until every row has ended.

        Args:
            ground: The model after the prompt.
            scores: What it said after the prompt's last tokens; None if the last of them is still
                to be fed.
        """
        if scores is not None:
            self._vocabulary = scores.shape[-1]
            self._verify([Draft() for _ in self._texts.rows], scores[:, -1:], self.working())
            if self._method.reads_prompt and not ground.chains:
                self._read(scores)
            self._show()
        while rows := self.working():
            began = perf_counter()
            drafts = self._draft(rows, ground)
            drafted = perf_counter()
            scores = self._pass(drafts, ground)
            self._verify(drafts, scores, rows)
            stay = [draft.written for draft in drafts]
            if ground.lockstep:
                stay = [self._align(drafts, rows)] * len(drafts)
            slots = [[0, *(i + 1 for i in draft.path)] for draft in drafts]
            ground.keep([row[:n] for row, n in zip(slots, stay, strict=True)])
            verified = perf_counter()
            self._learn(drafts, scores, rows)
            drafting = perf_counter() - verified + drafted - began
            self._note(drafts, rows, drafting, verified - drafted)
            self._show()
        if not self._rules.pads:
            last = max(row.end or row.stop for row in self._texts.rows)
            for row in self._texts.rows:
                row.end = last

    def _read(self, scores: Float[Tensor, "b t v"]) -> None:
        """Let the drafter learn from the prompts, as from drafts all of which were accepted."""
        for row in self._texts.rows:
            source = self._texts.text(row)[: row.prompt - row.start][-scores.shape[1] :]
            n = len(source)
            if n:
                view = replace(self._view(row, 0), text=source[:1])
                seen = Verified(
                    tree=TokenTree(source[1:], trees.chain(n - 1)),
                    scores=scores[row.index, -n:],
                    accepted=torch.arange(n - 1),
                    token=self._texts.token(row, row.prompt),
                )
                self._method.learn(view, seen)

    def _draft(self, rows: list[Row], ground: Grounds) -> list[Draft]:
        drafts = [Draft() for _ in self._texts.rows]
        self._behind, ahead = parted(rows)
        self._reached = reached(rows)
        budget = self._counts.budget(self._unread(rows))
        if budget <= 1:
            self._try(self._behind, ground)
            for row in rows:
                drafts[row.index].view = self._view(row, 0)
            return drafts
        most = budget - 1
        for row in self._behind:
            drafts[row.index] = self._drafted(row, most, ground)
        # A row that is far ahead saves no pass: it drafts where the pass is as large anyway.
        most = min(most, max(len(draft.tokens) for draft in drafts))
        for row in ahead:
            drafts[row.index] = self._drafted(row, most, ground)
        return drafts

    def _unread(self, rows: list[Row]) -> float:
        """Seconds that the draft model needs before it has read these texts."""
        if self._guide is None:
            return 0.0
        return sum(self._guide.unread(row.index, self._texts.text(row)) for row in rows)

    def _drafted(self, row: Row, most: int, ground: Grounds, whole: bool = True) -> Draft:
        room = min(self._texts.limit - row.stop, self._places - ground.positions[row.index])
        ahead = ground.ahead()
        count = max(0, min(most, room - 1)) if ahead > 1 else 0
        view = self._view(row, count, whole)
        draft = self._checked(view, self._method.draft(view) if count else NOTHING)
        nodes = list(range(len(draft.tokens)))
        if ground.chains:
            nodes = trees.first_path(draft.parents)
        elif ahead <= len(draft.tokens):
            nodes = trees.down_to(draft.parents, ahead - 1)
        if len(nodes) == len(draft.tokens):
            return draft
        return self._checked(view, part(draft.tree, nodes))

    def _try(self, rows: list[Row], ground: Grounds) -> None:
        """Draft in thought where the last such draft has been decided."""
        free = [row for row in rows if row.index not in self._trials]
        count = self._counts.trial() if free else 0
        for row in free if count else ():
            draft = self._drafted(row, count, ground, whole=False)
            self._trials.begin(row.index, draft.tokens, draft.children, count)

    def _view(self, row: Row, count: int, whole: bool = True) -> DraftView:
        text, guide = self._texts.text(row), None
        if count and self._guide is not None:
            guide = self._guide.under(row.index, text, count, self._rules.processors, whole)
        return DraftView(
            text=text,
            source=self._texts.source(row),
            count=count,
            sampling=self._sampling,
            memory=self._memory,
            scratch=row.scratch,
            fill=None if self._fillings is None else partial(self._fillings[row.index], text),
            guide=guide,
        )

    def _checked(self, view: DraftView, tree: TokenTree) -> Draft:
        tokens, parents = tree.tokens.tolist(), tree.parents.tolist()
        n = len(tokens)
        rows = n + 1 if tree.probs is None else len(tree.probs)
        placed = all(-1 <= parent < node for node, parent in enumerate(parents))
        known = all(0 <= token < self._vocabulary for token in tokens)
        if not (len(parents) == n <= view.count and placed and known and rows == n + 1):
            raise UsageError(
                f"{type(self._method).__name__}: its draft has {n} tokens "
                f"({'' if known else 'not '}all of the vocabulary of {self._vocabulary}), "
                f"{len(parents)} parents ({'' if placed else 'not '}all before their children) "
                f"and {rows} distributions; allowed are up to {view.count} tokens of the "
                "vocabulary, each behind its parent, and one distribution more than tokens."
            )
        return Draft(view, tree, tokens, parents, trees.children(parents))

    def _pass(self, drafts: list[Draft], ground: Grounds) -> Float[Tensor, "b t v"]:
        last = self._texts.last()
        device = self._texts.device
        roots = torch.tensor(last, device=device)[:, None]
        if not any(draft.tokens for draft in drafts):
            return ground.feed(roots, torch.ones(len(last), 1, 1, dtype=torch.bool, device=device))
        tokens, parents = trees.padded([(d.tokens, d.parents) for d in drafts], last)
        seen = trees.reach(parents).to(device)
        return ground.feed(torch.cat([roots, tokens.to(device)], 1), seen)

    def _verify(self, drafts: list[Draft], scores: Float[Tensor, "b t v"], rows: list[Row]) -> None:
        """Walk down each row's tree as far as the model goes along."""
        best: list[list[int]] | None = None
        lenient = not (self._sampling or self._method.exact)
        if self._rules.free and not (self._sampling or self._records or lenient):
            best = scores.float().argmax(-1).tolist()
        for row in rows:
            draft, before = drafts[row.index], row.stop
            node: int | None = -1
            while node is not None:
                candidates = draft.children.get(node, [])
                if best is None:
                    token, node = self._next(row, draft, node, scores[row.index], candidates)
                else:
                    token = best[row.index][node + 1]
                    node = next((c for c in candidates if draft.tokens[c] == token), None)
                if node is not None:
                    draft.path.append(node)
                    row.drafted.append(row.stop)
                self._texts.write(row, token)
                if self._ended(row):
                    break
            draft.written = row.stop - before
        self.passes += 1

    def _next(
        self,
        row: Row,
        draft: Draft,
        node: int,
        scores: Float[Tensor, "t v"],
        candidates: list[int],
    ) -> tuple[int, int | None]:
        """The row's next token, and the node that proposed it, if one did."""
        raw = scores[node + 1 : node + 2].to(torch.float32, copy=True)
        done = self._rules.scores(row.index, self._texts.prefix(row), raw)
        if "logits" in self._records:
            row.logits.append(raw)
        if "scores" in self._records:
            row.scores.append(done)
        if not self._sampling:
            return self._best(done[0], {c: draft.tokens[c] for c in candidates})
        p = done.softmax(-1)[0]
        drawn = None if draft.tree.probs is None else draft.tree.probs[node + 1].to(p)
        tokens = [draft.tokens[c] for c in candidates]
        passed, p = choose(p, tokens, drawn, lambda: float(torch.rand((), device=p.device)))
        if passed is not None:
            return tokens[passed], candidates[passed]
        return int(torch.multinomial(p[None], 1)), None

    def _best(
        self, scores: Float[Tensor, " v"], candidates: dict[int, int]
    ) -> tuple[int, int | None]:
        """The token that greedy search takes, and the node that proposed it, if one did."""
        token = int(scores.argmax())
        for node, drafted in candidates.items():
            exact = self._method.exact
            if drafted == token if exact else self._method.accepts(scores, drafted):
                return drafted, node
        return token, None

    def _ended(self, row: Row) -> bool:
        told = tuple(row.scores) if "scores" in self._records else None
        ended = self._rules.stops(row.index, self._texts.prefix(row), told)
        if ended and row.end is None:
            row.end = row.stop
        return ended or row.stop >= self._texts.limit

    def _note(self, drafts: list[Draft], rows: list[Row], drafting: float, reading: float) -> None:
        offered, accepted = [-1] * len(drafts), [-1] * len(drafts)
        for row in rows:
            offered[row.index] = len(drafts[row.index].tokens)
            accepted[row.index] = len(drafts[row.index].path)
        self.offered.append(offered)
        self.accepted.append(accepted)
        before = 0.0 if self._guide is None else self._guide.spent()
        paths = [drafts[row.index].path for row in self._behind]
        forward = reached(rows) - self._reached
        self._counts.note(max(offered, default=0), paths, forward, drafting, reading, before)
        for row in rows:
            places = range(row.stop - drafts[row.index].written, row.stop)
            self._trials.follow(row.index, [self._texts.token(row, place) for place in places])

    def _align(self, drafts: list[Draft], rows: list[Row]) -> int:
        """Let all rows that go on advance by the smallest count; what that takes back is exact.

        Drawn tokens are taken back from rows that have ended too: if a row kept them because of
        what they are, they would be likelier than the model says.
        """
        final = self._rules.pads and not self._sampling
        going = [row for row in rows if row.end is None or not final]
        if not going:
            return max(draft.written for draft in drafts)
        least = min(drafts[row.index].written for row in going)
        for row in going:
            over = drafts[row.index].written - least
            drafts[row.index].written = least
            del drafts[row.index].path[least:]
            self._texts.take_back(row, over)
        return least

    def _learn(self, drafts: list[Draft], scores: Float[Tensor, "b t v"], rows: list[Row]) -> None:
        if type(self._method).learn is Drafter.learn:
            return
        for row in rows:
            draft = drafts[row.index]
            if draft.view is None:
                continue
            n = len(draft.tokens)
            self._method.learn(
                draft.view,
                Verified(
                    tree=draft.tree,
                    scores=scores[row.index, : n + 1],
                    accepted=torch.tensor(draft.path[: draft.written - 1], dtype=torch.long),
                    token=self._texts.token(row, row.stop - 1),
                ),
            )
