"""ICN: found answers go into the context, and steer to first tokens that were not tried yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.method import In, Navigator


@final
@dataclass(frozen=True, kw_only=True)
class ICN(Navigator):
    r"""In-context navigation: ask again with the answers so far, and begin the next one elsewhere.

    The next token's score is the product of its key $k_i$, a row of the language-model head, with
    the query $q(x)$ of the text $x$. What is close to a likely key is likely too, whether it fits
    or not. With the list $E$ of found answers in the text, the query moves away from their keys:
    each round ranks the tokens by $q(x \circ E) \cdot k_i$ and takes the likeliest ones whose text
    was not tried yet; each is completed under the prompt without $E$, and joins $E$.

    Args:
        strategy: What the ranking is made from; "icn" as above. The others are what it is measured
            against: "top" takes the likeliest first tokens of the prompt without answers, "sample"
            draws every token.
        per_round: First tokens that are taken from one ranking (paper: the tolerance, 10 in each
            of 10 rounds).

    Raises:
        UsageError: If a setting is out of range.

    >>> ranking = [(7, "Rome"), (3, " Rome"), (8, '"'), (5, "Oslo"), (2, "Lima")]
    >>> ICN().first_tokens(ranking, {"Oslo"}, 2, closing='"')
    [7, 2]

    Source: Peng et al. 2024, section 4.
    """

    card: ClassVar[Card] = Card(
        slug="icn",
        name="ICN",
        title="Correlation and Navigation in the Vocabulary Key Representation Space of Language "
        "Models",
        summary="Finds many answers to one question: those found so far steer to the next ones.",
        family="decoding",
        have="a question with many right answers, or one worth several ways of reasoning",
        want="answers that differ, not the same few again and again",
        dial="none: there is no keep; `tokenry.plugs.exploring.explore` and `reason` run it, and "
        "`tokenry.plugs.keyspace` looks at the key space",
        year=2024,
        arxiv="2410.02284",
        venue="ICLR 2025",
        code="https://github.com/KomeijiForce/KeyNavi",
        code_license="",
        claims=(
            Claim(
                paper="Higher mean average precision on knowledge probing than the likeliest first "
                "tokens of the plain prompt.",
                effect="More different right answers after as many probes.",
                test="tests/decoding/test_icn.py::test_claim_finds_more_right_answers",
                measured="Over 8 questions (country, capital city, animal, color, fruit, chemical "
                "element, state of the USA, language; lists of 50 to 229 accepted answers): 100 "
                "different right answers after 40 probes each and 125 after 60, the likeliest "
                "first tokens 71 and 98, sampling 21 and 32. Mean over ranks up to 60 of the "
                "precision: 0.34, 0.29 and 0.08. Not ahead on languages and fruits. "
                "zoo:smollm2-135m.",
            ),
            Claim(
                paper="In-context answers move the query away from what was explored.",
                effect="The first ten answers in the prompt lower the scores of their first "
                "tokens.",
                test="tests/decoding/test_icn.py::"
                "test_claim_the_query_moves_away_from_explored_keys",
                measured="On all of the 8 questions, by 0.4 to 2.5 (logits). With longer lists it "
                "turns round for fruits. zoo:smollm2-135m.",
            ),
            Claim(
                paper="It reaches clusters that the likeliest tokens do not lead to.",
                effect="Of four kinds of 100 items with frequencies like rank^-1.5, more are found "
                "after 100 probes each.",
                test="tests/decoding/test_icn.py::test_claim_finds_the_rare_items",
                measured="400 of 400 items, the likeliest first tokens 377. A model of two layers, "
                "trained on such lists for 500 steps. It takes a model that has learnt the lists: "
                "after 300 steps one seed gives 397 against 320, another, whose loss is still "
                "high, 144 against 210.",
            ),
            Claim(
                paper="Mid-ranked tokens in the clusters of the top-ranked ones are right less "
                "often than others, although they rank higher.",
                effect="Precision of first tokens of rank 11 to 100, by whether they share a "
                "cluster with one of the first ten.",
                not_shown="Over the same 8 questions the precision is 0.188 inside the main "
                "clusters (mean rank 50) and 0.187 outside (mean rank 63). The gap over questions "
                "is 0.000 [-0.038, 0.040] at like ranks, with other centres 0.032 [-0.043, 0.109], "
                "and with clusters given to rows at random 0.030 [-0.048, 0.108] (1000 clusters, "
                "zoo:smollm2-135m, python recipes/icn_keyspace.py). On a head built for it the "
                "figures come out in closed form.",
            ),
            Claim(
                paper="Better votes of several ways of reasoning on GSM8K, SVAMP and AQuA.",
                effect="Accuracy of the vote against ways that are drawn.",
                not_shown="not measured: a model of 135M parameters hardly solves such tasks, so "
                "that votes would be compared among wrong answers.",
            ),
        ),
        differs=(
            "Each first token is tried once, compared by its text without spaces around it, as in "
            "the paper; tokens that are blank or begin with the mark that ends an answer are "
            "passed over, since no answer begins with them.",
            "An answer that was found before is not listed a second time.",
            "An answer ends at the first closing quote; the released code takes the last quoted "
            "part of the line.",
            "Right or wrong is decided by a list of accepted answers; the paper asks GPT-4o.",
        ),
    )

    strategy: Annotated[Literal["icn", "top", "sample"], "what first tokens are taken from"] = "icn"
    per_round: Annotated[int, In(1, 1000), "first tokens that are taken from one ranking"] = 10

    @property
    def draws(self) -> bool:
        """Whether first tokens and answers are drawn at random instead."""
        return self.strategy == "sample"

    def shown(self, found: Sequence[str]) -> tuple[str, ...]:
        """The answers that stand in the prompt whose ranking is asked for next."""
        return tuple(dict.fromkeys(found)) if self.strategy == "icn" else ()

    def first_tokens(
        self,
        ranking: Iterable[tuple[int, str]],
        probed: Collection[str],
        count: int,
        closing: str,
    ) -> list[int]:
        """The next first tokens, by id.

        Args:
            ranking: Each token's id and text, the likeliest first.
            probed: Texts of the first tokens that were tried before.
            count: Most tokens to name.
            closing: The mark that ends an answer.
        """
        tried, found = {text.strip() for text in probed}, []
        for token, text in ranking:
            bare = text.strip()
            if bare and not bare.startswith(closing) and bare not in tried:
                tried.add(bare)
                found.append(token)
            if len(found) >= min(count, self.per_round):
                break
        return found
