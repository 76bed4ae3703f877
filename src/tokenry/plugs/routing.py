"""A language model that routes queries through a graph of experts by functional tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry import catalog, zoo
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import Router
from tokenry.plugs.experts import Worker, check_graph, read_graph, write_graph
from tokenry.plugs.functional import add_tokens, fit_rows, head_states, lowered
from tokenry.plugs.routes import Ending, Execution, Route, Step
from tokenry.plugs.stem import check_pair

END = ""
"""Instead of an expert's name in an example: no further expert is needed."""

_GRAPH = "graph.json"
_SLACK = 32  # tokens that a rewritten query may take beyond those of the prompt


class TokenRouter:
    """A causal language model with one functional token per expert of a graph.

    The model and the tokenizer are changed in place: they get the tokens that they lack, with the
    mean of all rows as their rows. Nothing else of the model is ever changed.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        graph: The experts, from `expert_graph` or `read_graph`.
        method: Name of a rule, or a configured instance.
        **settings: Settings of the rule, when it is given by name: `threshold=0.5`.

    Raises:
        UnsupportedModelError: If the model does not continue texts.
        UsageError: If the graph is empty or malformed, or the tokenizer is another model's or has
            functional tokens of another graph.
        UnknownNameError: If no rule has this name.

    Attributes:
        graph: The experts; their order is that of the functional tokens.
        method: The rule.
        model: The model.
        tokenizer: The tokenizer.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        graph: nx.DiGraph,
        method: str | Router = "octopus",
        **settings: Any,
    ) -> None:
        check_graph(graph)
        check_pair("TokenRouter", model, tokenizer)
        self.method = catalog.configured(method, Router, "TokenRouter", **settings)
        self.model, self.tokenizer, self.graph = model, tokenizer, graph.copy()
        add_tokens(model, tokenizer, self._tokens)

    @classmethod
    def load(
        cls, folder: str | Path, method: str | Router = "octopus", **settings: Any
    ) -> TokenRouter:
        """Load what `save` wrote.

        Args:
            folder: Model, tokenizer and `graph.json`.
            method: Name of a rule, or a configured instance.
            **settings: Settings of the rule, when it is given by name.

        Raises:
            DataError: If there is no graph in the folder.
            UsageError: If the tokenizer lacks the functional tokens of the graph.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        router = cls.__new__(cls)
        router.graph = read_graph(Path(folder) / _GRAPH)
        router.method = catalog.configured(method, Router, "TokenRouter", **settings)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        router.model = model.eval()
        router.tokenizer = AutoTokenizer.from_pretrained(folder)
        check_pair("TokenRouter", router.model, router.tokenizer)
        known = router.tokenizer.get_vocab()
        lacking = [token for token in router._tokens if token not in known]
        if lacking:
            raise UsageError(
                f"TokenRouter: the tokenizer in {folder} does not know {lacking[0]}; graph and "
                "tokenizer do not belong together. Save them with TokenRouter.save."
            )
        return router

    def save(self, folder: str | Path) -> None:
        """Write model (safetensors), tokenizer and graph into one folder."""
        zoo.save(folder, self.model, self.tokenizer)
        write_graph(self.graph, Path(folder) / _GRAPH)

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the experts."""
        return tuple(self.graph)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The functional tokens of the experts; the end token is not among them."""
        return tuple(self._ids[:-1])

    def train(
        self,
        examples: Sequence[tuple[str, str]],
        *,
        only: Sequence[str] | None = None,
        decay: float = 1e-5,
        steps: int = 200,
        lead: float = 0.0,
        batch_size: int = 16,
    ) -> None:
        """Train the rows of the functional tokens on queries whose expert is known.

        The model runs over each query once. Its states do not depend on the new rows of the head,
        so that training these on the stored states equals training them with the whole model.
        Where embedding and head share a matrix, the rows change in both.

        Args:
            examples: Queries, each with the name of its expert, or with `END` where no further
                expert is needed.
            only: Train the rows of these experts alone; all others stay bit for bit as they are.
            decay: How strongly rows are held to where they were.
            steps: Most iterations.
            lead: By how much the scores of trained rows are lowered afterwards, on the average
                query: with `only`, the lead that a new expert must have to take a query from the
                others (1 keeps over 99 % of them where they were, and costs the new one a few).
            batch_size: Queries in a pass.

        Raises:
            UsageError: If there are no examples, or with `only` none of other experts; or if
                `lead` is negative.
            UnknownNameError: If an example or `only` names no expert.
            UnsupportedModelError: If the model changes its scores behind its head.
        """
        if not examples:
            raise UsageError("train: there is no example; give pairs of query and expert.")
        if not lead >= 0:
            raise UsageError(f"train: lead={lead} is negative; give 0 or more.")
        target = torch.tensor([self._number(name, END) for _, name in examples])
        given = {name for _, name in examples}
        free = sorted(self._number(name, END) for name in (given if only is None else only))
        if only is not None and not given - set(only):
            raise UsageError(
                f"train: all examples belong to {', '.join(only)}; give queries of the other "
                "experts too, which keep the trained tokens from theirs."
            )
        prompts = [self.method.prompt(query) for query, _ in examples]
        found = head_states(self.model, self.tokenizer, prompts, batch_size)
        head, ids = self.model.get_output_embeddings(), self._ids
        bias = torch.zeros(len(head.weight)) if head.bias is None else head.bias.detach()
        rows = head.weight.detach()[ids]
        new = fit_rows(
            rows,
            bias.to(rows.device)[ids],
            found,
            ids,
            target.to(rows.device),
            free=free,
            decay=decay,
            steps=steps,
        )
        with torch.no_grad():
            head.weight[ids] = lowered(new, found.states, free, lead)

    def add(
        self, name: str, description: str = "", hands_over: Sequence[str] = (), **new: Any
    ) -> None:
        """Add an expert; train its token with `train(examples, only=[name])`.

        Give `train` queries of the other experts too: they keep the new token from theirs.

        Args:
            name: Its name.
            description: What it is good at.
            hands_over: Who it may hand a query over to.
            **new: Further attributes of its node.

        Raises:
            UsageError: If there is an expert of this name.
            UnknownNameError: If it would hand over to nobody there is.
        """
        if name in self.graph:
            raise UsageError(f"add: there is an expert {name!r} already; give it another name.")
        for other in hands_over:
            self._number(other)
        graph = self.graph.copy()
        graph.add_node(name, description=description, **new)
        graph.add_edges_from((name, other) for other in hands_over)
        check_graph(graph)
        add_tokens(self.model, self.tokenizer, [self.method.token(len(self.graph))])
        self.graph = graph

    def probabilities(self, queries: Sequence[str]) -> Float[Tensor, "n k"]:
        """For each query the probability of each expert, in one forward pass a batch.

        Args:
            queries: What is asked.

        Returns:
            Rows that sum to one: the model's probabilities of the functional tokens, renormalised.
        """
        return self._scores(queries)[:, :-1].softmax(-1)

    def route(self, query: str) -> Route:
        """Whom a query goes to, and what that expert is asked.

        Raises:
            UsageError: If the query is empty, or the model writes no call.
        """
        return self._route(query, list(range(len(self.experts))))

    def run(self, query: str, workers: Mapping[str, Worker]) -> Execution:
        """Answer a query, handing it over along the edges of the graph.

        After each answer the router chooses among those that the last expert may hand over to, and
        the end token, for the query and the answer together.

        Args:
            query: What is asked.
            workers: Who answers, by the name of the expert: any function from text to text, such
                as a `local_worker`, or one that asks a further router.

        Returns:
            The answer and the way to it. It ends always: after `steps` experts at the latest.

        Raises:
            UsageError: If an expert has no worker, or one returns no text.
            UnknownNameError: If a worker belongs to no expert.
        """
        self._check_workers(workers)
        allowed: list[int] = list(range(len(self.experts)))
        steps: list[Step] = []
        asked, visits = query, Counter[str]()
        while True:
            route = self._route(asked, allowed)
            answer = workers[route.expert](route.query)
            if not isinstance(answer, str):
                raise UsageError(
                    f"run: the worker of {route.expert!r} returned {type(answer).__name__}; a "
                    "worker returns a text."
                )
            steps.append(Step(route, answer))
            visits[route.expert] += 1
            asked = self.method.follow(query, answer)
            ended, allowed = self._next(asked, route.expert, visits, len(steps))
            if ended:
                return Execution(answer, tuple(steps), ended)

    def texts(self, examples: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
        """Training texts for a model that shall word queries anew, for any trainer.

        Args:
            examples: Query, name of the expert, and the query as the expert shall be asked.

        Returns:
            For each, what the model reads and what it shall write; the loss belongs on the latter.
        """
        calls = [(q, self._number(name), asked) for q, name, asked in examples]
        return [
            (self.method.prompt(query), self.method.token(expert) + self.method.call(asked))
            for query, expert, asked in calls
        ]

    @property
    def _tokens(self) -> list[str]:
        return [*map(self.method.token, range(len(self.graph))), self.method.end]

    @property
    def _ids(self) -> list[int]:
        found: list[int] = self.tokenizer.convert_tokens_to_ids(self._tokens)
        return found

    def _number(self, name: str, *more: str) -> int:
        names = [*self.experts, *more]
        if name not in names:
            raise UnknownNameError("expert", name, self.experts)
        return names.index(name)

    def _scores(self, queries: Sequence[str]) -> Float[Tensor, "n k"]:
        if not queries or not all(query.strip() for query in queries):
            raise UsageError("TokenRouter: there is an empty query, or none; give a text.")
        prompts = [self.method.prompt(query) for query in queries]
        return head_states(self.model, self.tokenizer, prompts).logits[:, self._ids]

    def _route(self, query: str, allowed: list[int]) -> Route:
        chances = self._scores([query])[0, allowed].softmax(-1).tolist()
        name = self.graph.graph.get("general")
        sure = None if name is None or self._number(name) not in allowed else self._number(name)
        chosen = self.method.choose(chances, None if sure is None else allowed.index(sure))
        expert, asked = allowed[chosen], query
        if self.method.rewrite:
            call = self.method.parse(self._written(query, expert), len(self.experts))[0]
            asked = call.query or query
        known = {self.experts[i]: p for i, p in zip(allowed, chances, strict=True)}
        return Route(self.experts[expert], asked, max(chances), known)

    @torch.no_grad()
    def _written(self, query: str, expert: int) -> str:
        """The call that the model writes after this functional token."""
        token = self.method.token(expert)
        text = self.method.prompt(query) + token
        inputs = self.tokenizer(text, return_tensors="pt").to(self.model.device)
        start = inputs["input_ids"].shape[1]
        ids = self.model.generate(
            **inputs,
            max_new_tokens=start + _SLACK,
            do_sample=False,
            eos_token_id=self._ids[-1],
            pad_token_id=self._ids[-1],
        )
        return token + str(self.tokenizer.decode(ids[0, start:]))

    def _next(
        self, asked: str, last: str, visits: Counter[str], count: int
    ) -> tuple[Ending | None, list[int]]:
        """Why it ends here, or whom the last expert may hand over to."""
        after = list(self.graph.successors(last))
        left = [self._number(name) for name in after if visits[name] < self.method.visits]
        if not after:
            return "no hand-over", []
        if not left:
            return "visits", []
        if count >= self.method.steps:
            return "steps", []
        scores = self._scores([asked])[0, [*left, -1]]
        return ("end token" if int(scores.argmax()) == len(left) else None), left

    def _check_workers(self, workers: Mapping[str, Worker]) -> None:
        for name in workers:
            self._number(name)
        lacking = [name for name in self.experts if name not in workers]
        if lacking:
            raise UsageError(
                f"run: there is no worker for {lacking[0]!r}; give one for each expert, such as "
                "local_worker(model, tokenizer) or a function from text to text."
            )
