"""VacancySBERT: an encoder learns titles from the skills that stand with them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Annotated, ClassVar, final

from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import Batch, In, Losses, PairObjective
from tokenry.ops.contrastive import in_batch
from tokenry.ops.similarity import unit

SEPARATOR = ", "
"""Stands between two skills of a text."""


@final
@dataclass(frozen=True, kw_only=True)
class VacancySBERT(PairObjective):
    r"""A title is drawn to its skills, told from the skills of the other titles of the batch.

    The left text is a title, the right one its skills, as `skills` writes them. Each time a pair
    is read, some of the skills, in an order drawn anew, stand for all of them. The loss is
    $-\ln \exp(\cos(t_i, s_i) / \tau) / \sum_j \exp(\cos(t_i, s_j) / \tau)$, where $j$ runs over the
    rows of another group: give rows with equal normalised titles one group. Then a title finds the
    nearest of a list of normalised titles, alone or together with skills (`query`).

    Args:
        temperature: Divides the cosines.
        least: Skills that a title must have, and that are read at least.
        share: Least share of the skills that is read.

    Raises:
        UsageError: If a setting is out of range.

    >>> method = VacancySBERT(least=2)
    >>> method.skills("Java developer", ["Java", "Spring", "SQL", "sql"])
    'Spring, SQL'

    Source: Bocharova et al. 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="vacancysbert",
        name="VacancySBERT",
        title="VacancySBERT: the approach for representation of titles and skills for semantic "
        "similarity search in the recruitment domain",
        summary="Tunes a sentence encoder so that a title finds its normalised form, by drawing "
        "titles to the skills that stand with them.",
        family="retrieval",
        have="titles with lists of skills, tags or keywords, and a list of normal forms",
        want="the normal form of any title, with its skills or without",
        dial="none: it trains an encoder",
        needs="training",
        year=2023,
        arxiv="2307.16638",
        venue="Applied Aspects of Information Technology 2023",
        code="https://github.com/maiiabocharova/VacancySBERT",
        code_license="not stated",
        claims=(
            Claim(
                paper="10 % better than the best of fastText, BERT, SBERT and JobBERT with titles "
                "alone (abstract).",
                effect="Recall of the normal form from the title rises over the untuned encoder, "
                "and does not where skills are dealt out to other titles.",
                test="tests/retrieval/test_trained_claims.py::"
                "test_claim_titles_find_their_normal_form",
                measured="Emoji that ship (names, keywords, sub-groups; 200 of 383 to test, 20 "
                "steps): R@1/5/10 .295/.520/.665 untuned, .340/.610/.760 tuned, .260/.495/.600 "
                "with shuffled keywords; tuned R@1 +.045 [+.005, +.085], R@5 +.090 [+.045, +.135], "
                "shuffled -.035 [-.070, -.005] and -.025 [-.060, +.005]. 600 Debian packages, 29 "
                "sections that training never names, MiniLM's two lower layers, 40 steps of 32 "
                "(recipes/vacancysbert_packages.py): R@1/5/10 from descriptions .168/.477/.650 "
                "untuned, .323/.663/.817 tuned, .103/.340/.535 with shuffled tags; R@1 +.155 "
                "[+.123, +.187], R@5 +.187 [+.152, +.223], shuffled -.065 [-.087, -.043] and "
                "-.137 [-.168, -.105].",
            ),
            Claim(
                paper="21.5 % better with skills (abstract).",
                effect="Recall with title and skills is above that with titles alone.",
                test="tests/retrieval/test_trained_claims.py::"
                "test_claim_titles_find_their_normal_form",
                measured="Emoji: R@1/5/10 .470/.755/.840 with keywords, R@5 +.145 [+.090, +.205]; "
                "keywords alone .410/.675/.785. Debian packages: R@1/5/10 .378/.783/.910 with "
                "tags, R@5 +.120 [+.085, +.155] over descriptions alone. Tags alone are better "
                "than descriptions alone here (.355/.753/.860): people chose both tag and section "
                "by the same signs.",
            ),
            Claim(
                paper="Adverts with the same title are no negatives of each other (usual practice; "
                "the abstract does not say).",
                effect="Where few titles stand in many adverts, leaving equal titles out is at "
                "least as good as telling them apart.",
                not_shown="Without a test, since the packages may not be shipped and emoji do not "
                "tell: 60 descriptions of Debian packages in 12 adverts each, 40 steps, two seeds, "
                "600 to test (`recipes/vacancysbert_packages.py --adverts 12`), R@1/5/10 .287/.627/"
                ".799 left out and .283/.622/.796 told apart: +.004 [+.001, +.008], +.006 [-.001, "
                "+.013], +.003 [-.001, +.008]. On emoji (60 names, 20 steps) none of 200 differs.",
            ),
        ),
        differs=(
            "The paper does not say how skills are found; they are given here.",
            "The loss, its temperature and the share of skills that is read were not taken from "
            "the paper's text, of which only the abstract was at hand; these are the usual ones.",
            "Skills that the title names are left out, as they would give it away.",
            "Official code holds the benchmark alone; nothing of it was used.",
        ),
    )

    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.05
    least: Annotated[int, In(1, 100), "the skills that a title must have"] = 3
    share: Annotated[float, In(0, 1), "the least share of the skills that is read"] = 0.5

    def skills(self, title: str, found: Iterable[str]) -> str:
        """The skills of a title as one text: each once, none that the title names; may be empty.

        Args:
            title: The title.
            found: Its skills, in any order; a comma in one becomes a space.

        Returns:
            The skills, or nothing where fewer than `least` are left.
        """
        named = _words(title)
        kept: dict[str, str] = {}
        for skill in (" ".join(one.replace(",", " ").split()) for one in found):
            if skill and not _words(skill) <= named:
                kept.setdefault(skill.casefold(), skill)
        return SEPARATOR.join(kept.values()) if len(kept) >= self.least else ""

    def pair(self, left: str, right: str, draw: Random) -> tuple[str, str]:
        """The title, and some of its skills in an order drawn anew."""
        skills = right.split(SEPARATOR)
        low = min(len(skills), max(self.least, math.ceil(self.share * len(skills))))
        return left, SEPARATOR.join(draw.sample(skills, draw.randint(low, len(skills))))

    def loss(self, batch: Batch) -> Losses:
        """The mean over titles."""
        titles, skills = batch.vectors["left"], batch.vectors["right"]
        return Losses(
            total=in_batch(titles, skills, temperature=self.temperature, groups=batch.groups)
        )

    @staticmethod
    def query(
        titles: Float[Tensor, "b d"], skills: Float[Tensor, "b d"], weight: float = 0.5
    ) -> Float[Tensor, "b d"]:
        """One vector for a title with its skills: their weighted mean, scaled to length one.

        Args:
            titles: Vectors of titles.
            skills: Vectors of their skills; a row of zeros where there are none.
            weight: Of the skills.
        """
        return unit((1 - weight) * unit(titles) + weight * unit(skills))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
