"""Octopus v4: one functional token names the expert that a query goes to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Call, In, Router

_TOKEN = re.compile(r"<nexa_(\d+)>")


@final
@dataclass(frozen=True, kw_only=True)
class Octopus(Router):
    r"""A functional token per expert, which a language model writes as its first token.

    $P(\text{expert}_i, q' \mid q) = P(t_i \mid q)\, P(q' \mid q, t_i)$: the functional token $t_i$
    chooses the expert, and what follows it, up to the end token, is the query $q'$ that the expert
    is asked. The first step is restricted to functional tokens, so that
    $\sum_i P(t_i \mid q) = 1$.

    Args:
        threshold: Below this probability the general expert of the graph answers, where there is
            one; 0 asks the likeliest expert always.
        rewrite: Let the model word the query anew, which it must have been trained to (`texts` of
            the router makes the training texts); else the expert gets the query as it is.
        steps: Most experts that one query passes through.
        visits: How often one expert may be asked on the way of one query.

    Raises:
        UsageError: If a setting is out of range.

    >>> octopus = Octopus()
    >>> written = octopus.token(3) + octopus.call("What's Newton's 2nd law?")
    >>> written
    "<nexa_3>('What's Newton's 2nd law?')<nexa_end>"
    >>> octopus.parse(written, experts=4)
    (Call(expert=3, query="What's Newton's 2nd law?"),)

    Source: Chen & Li 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="octopus",
        name="Octopus v4",
        title="Octopus v4: Graph of language models",
        summary="Names the model that a query goes to with one token, in one decoding step.",
        family="decoding",
        have="several models or tools, each good at something, and examples of who answers what",
        want="each query answered by the right one, without their descriptions in the prompt",
        dial="none: there is no keep; `tokenry.plugs.routing.TokenRouter` gives a model its "
        "functional tokens, trains them and routes",
        needs="training",
        year=2024,
        arxiv="2404.19296",
        venue="arXiv",
        code="https://github.com/NexaAI/octopus-v4",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="A functional token names the right expert among 17.",
                effect="Routing is right more often than the majority class and than word "
                "frequencies with logistic regression, trained on the same queries.",
                test="tests/decoding/test_octopus.py::test_claim_routes_better_than_words",
                measured="0.70 of emoji names go to the right one of 17 subgroups, against 0.42 "
                "(TF-IDF with logistic regression) and 0.11 (majority); 158 queries to train on, "
                "106 to test with, five splits. Where the queries are the emoji's keywords, 0.79 "
                "against 0.78. zoo:smollm2-135m.",
            ),
            Claim(
                paper="No description of the experts in the prompt, and one token to name one.",
                effect="Far fewer tokens are read and fewer are written than with the experts' "
                "descriptions in the prompt.",
                test="tests/decoding/test_octopus.py::test_claim_one_step_and_no_descriptions",
                measured="17 tokens read and one written, against 377 and 2.4 for 17 experts; "
                "0.2 s against 2.4 s a query on one busy core. zoo:smollm2-135m.",
            ),
            Claim(
                paper="A graph of experts answers better than any single model of it (MMLU 74.8 "
                "with experts of up to 10B parameters).",
                effect="Toy experts that know their own field and every fifth answer elsewhere: "
                "the routed system lies between the best single one and an oracle.",
                test="tests/decoding/test_octopus.py::"
                "test_claim_lies_between_the_best_expert_and_the_oracle",
                measured="0.71 of answers are right, the best single expert 0.32, a random one "
                "0.25, an oracle 1.00. 17 experts, zoo:smollm2-135m. MMLU was not measured.",
            ),
            Claim(
                paper="The graph grows: an expert added later gets a token of its own.",
                effect="Training one new row changes the routing of at most 1 % of the old "
                "queries.",
                test="tests/decoding/test_octopus.py::"
                "test_claim_an_expert_added_later_takes_few_old_queries",
                measured="With a lead of 1 that the new expert must have, the least that keeps "
                "99 % with every second of 18 subgroups of emoji added in turn: with the other "
                "nine, 0.6 % of 937 old queries that were not trained on go elsewhere, while 74 % "
                "of the new expert's reach it; with keywords as queries and all 18, 0.4 % and "
                "72 %. By names with all 18, 0.8 % of 1,871 (right answers 0.714 before, 0.709 "
                "after) and 62 %; without a lead 2.7 % and 79 %. It is a mean: single experts take "
                "more. The rows of the others stay bit for bit. zoo:smollm2-135m.",
            ),
        ),
        differs=(
            "Only the rows of the functional tokens in the model's head are trained, on the "
            "frozen states of the untouched model; the paper trains the whole model.",
            "The first step is restricted to functional tokens, and their probabilities are "
            "renormalised; the released code decodes freely and looks for a token afterwards.",
            "A call is read from its functional token to the end token, apostrophes included, all "
            "calls are found and numbers of experts are checked; the released code matches one "
            "pair of single quotes.",
            "With rewrite=False the query goes to the expert as it is.",
            "Confidence, step and visit limits are settings here; the paper does not state them.",
        ),
    )

    threshold: Annotated[float, In(0, 1), "the least probability of an expert that is asked"] = 0.0

    @property
    def end(self) -> str:
        """The token that ends a call, and stands for "no further expert"."""
        return "<nexa_end>"

    def token(self, expert: int) -> str:
        """The functional token of an expert."""
        return f"<nexa_{expert}>"

    def prompt(self, query: str) -> str:
        """What the model reads; the functional token follows."""
        return f"Which expert answers this query?\n\nQuery: {_plain(query)}\nExpert:"

    def call(self, query: str) -> str:
        """What follows the functional token: the query as an argument, and the end token."""
        return f"('{_plain(query)}'){self.end}"

    def parse(self, text: str, experts: int) -> tuple[Call, ...]:
        """The calls in what a model wrote.

        Args:
            text: Special tokens included.
            experts: How many there are.

        Raises:
            UsageError: If no call is in it, or one calls an expert that does not exist.
        """
        _, *parts = _TOKEN.split(text)
        calls = [
            Call(int(number), _argument(rest.partition(self.end)[0]))
            for number, rest in zip(parts[::2], parts[1::2], strict=True)
        ]
        if not calls:
            raise UsageError(
                f"Octopus: {text!r:.80} holds no call; a call begins with a functional token such "
                f"as {self.token(0)}."
            )
        wrong = [call.expert for call in calls if call.expert >= experts]
        if wrong:
            raise UsageError(
                f"Octopus: {text!r:.80} calls expert {wrong[0]}; there are {experts}, "
                f"{self.token(0)} to {self.token(experts - 1)}. Model and graph do not belong "
                "together."
            )
        return tuple(calls)

    def choose(self, probabilities: Sequence[float], general: int | None) -> int:
        """Whom a query goes to: the likeliest, or the general expert below the threshold.

        Args:
            probabilities: One per expert, or per expert and for the end token behind them.
            general: Who answers what no other is sure to; None when nobody does.
        """
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        unsure = general is not None and probabilities[best] < self.threshold
        return general if unsure and general is not None else best

    def follow(self, query: str, answer: str) -> str:
        """What the next expert is asked: the query, and what the last one answered."""
        return f"{query}\n\n{answer}"


def _argument(text: str) -> str:
    """What stands between brackets and quotes, where there are any."""
    text = text.strip()
    if text.startswith("("):
        text = text[1:].removesuffix(")").strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _plain(query: str) -> str:
    """The query with nothing in it that reads like a functional token."""
    return query.replace("<nexa_", "<nexa ")
