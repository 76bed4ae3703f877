"""Multilingual probe: does a model think the same of a word and its translation?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from statistics import fmean
from typing import Annotated, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import In, Item, Measurement, Probe, Response, Score
from tokenry.method.probe import paired
from tokenry.names import names

_ENGLISH = "en"


@final
@dataclass(frozen=True, kw_only=True)
class MultilingualLM(Probe):
    r"""Compares the states of names with those of their translations.

    A name's state is the mean over its tokens, less the mean of all names of its language. The
    margin of a pair of languages is $\cos(a_i, b_i) - \overline{\cos(a_i, b_j)}_{j \ne i}$:
    how much nearer a translation is than other names. Names of countries, languages, scripts and
    currencies come from the translated ISO standards; those spelled alike in two of the languages
    are left out.

    Args:
        languages: Codes of the languages beside English, as `names` knows them.
        count: Names in each language.
        depth: Where the state is taken, as a share of the layers; 0 is what goes into the first.

    Raises:
        UsageError: If a setting is out of range, or a language is not known.

    Source: "How does a Multilingual LM Handle Multiple Languages?", 2025, section on word
    alignment.
    """

    card: ClassVar[Card] = Card(
        slug="multilingual-lm",
        name="Multilingual LM probe",
        title="How does a Multilingual LM Handle Multiple Languages?",
        summary="Measures how near the states of a name and of its translation are, language by "
        "language.",
        family="probes",
        have="a language model, and languages that it shall serve",
        want="to know which of them it thinks of together, in a minute and without labels",
        dial="keep does not apply: a probe measures a model",
        year=2025,
        arxiv="2502.04269",
        claims=(
            Claim(
                paper="Related languages align; Chinese and Swahili diverge.",
                effect="The margin between English and German or French is larger than that "
                "between English and Chinese, and any is larger than that of shuffled "
                "translations.",
                test="tests/probes/test_multilingual_lm.py::test_claim_related_languages_align",
                measured="TODO",
            ),
        ),
        differs=(
            "Words are names from ISO standards; the paper's list is not published.",
            "States are centred per language before the cosine, for they all point one way "
            "otherwise.",
            "Only the alignment of words is built; tagging names and transfer of a fine-tuned "
            "model need labelled data in each language.",
            "Findings relate the margin to the tokens that a name takes; our addition.",
        ),
    )
    asks: ClassVar[Literal["answer", "surprisals", "state"]] = "state"

    languages: Annotated[tuple[str, ...], "the languages beside English"] = ("de", "fr", "ru")
    count: Annotated[int, In(3, 10_000), "the names in each language"] = 100
    depth: Annotated[float, In(0, 1), "where the state is taken, as a share of the layers"] = 0.5

    def items(self, seed: int = 0) -> Sequence[Item]:
        """Each name in each language, drawn with the seed."""
        tables = {language: dict(names(language)) for language in self.languages}
        if _ENGLISH in tables or not tables:
            raise UsageError(
                f"MultilingualLM: languages={self.languages!r}; give at least one, and none that "
                "is English."
            )
        shared = sorted(set.intersection(*(set(table) for table in tables.values())))
        Random(seed).shuffle(shared)  # noqa: S311
        return list(self._named(shared, tables))

    def _named(
        self, shared: Sequence[str], tables: Mapping[str, Mapping[str, str]]
    ) -> Iterator[Item]:
        found = 0
        for name in shared:
            written = {_ENGLISH: name, **{one: table[name] for one, table in tables.items()}}
            if len(set(map(str.casefold, written.values()))) < len(written) or found == self.count:
                continue
            found += 1
            for language, text in written.items():
                conditions = {"language": language, "name": name}
                yield Item(f"{language}/{name}", "", text, conditions, depth=self.depth)

    def measure(self, items: Sequence[Item], responses: Sequence[Response]) -> Measurement:
        """The margin of each name for each pair of languages."""
        states: dict[str, dict[str, Float[np.ndarray, " d"]]] = {}
        tokens: dict[str, list[int]] = {}
        for item, response in paired("MultilingualLM", items, responses):
            language, name = str(item.conditions["language"]), str(item.conditions["name"])
            states.setdefault(language, {})[name] = np.array(response.state)
            tokens.setdefault(language, []).append(response.tokens)
        scores: list[Score] = []
        shuffled = []
        for one, other in combinations(states, 2):
            both = [name for name in states[one] if name in states[other]]
            if len(both) < 3:
                raise UsageError(
                    f"MultilingualLM: {one} and {other} share {len(both)} names among these items; "
                    "give at least 3, such as with a larger limit."
                )
            cosines = _cosines(*([states[side][name] for name in both] for side in (one, other)))
            margins, wrong = _margins(cosines), _margins(np.roll(cosines, 1, 1))
            shuffled.append(float(wrong.mean()))
            nearest = cosines.argmax(1) == np.arange(len(both))
            for name, margin, found in zip(both, margins, nearest, strict=True):
                conditions = {"language": one, "other": other}
                more = {"retrieved": float(found)}
                scores.append(Score(f"{one}-{other}/{name}", conditions, float(margin), more))
        findings = {"margin of shuffled translations": fmean(shuffled) if shuffled else 0.0}
        findings |= _fertility(scores, {one: fmean(counts) for one, counts in tokens.items()})
        return Measurement("margin", "mean", ("language", "other"), tuple(scores), findings)


def _cosines(
    ours: Sequence[Float[np.ndarray, " d"]], theirs: Sequence[Float[np.ndarray, " d"]]
) -> Float[np.ndarray, "n n"]:
    """Cosine of each state with each, both centred."""
    first, second = (np.stack(side) - np.mean(side, 0) for side in (ours, theirs))
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    found: Float[np.ndarray, "n n"] = first @ second.T / np.maximum(lengths, 1e-12)
    return found


def _margins(cosines: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """The diagonal less the mean of the rest of its row."""
    own = np.diag(cosines)
    found: Float[np.ndarray, " n"] = own - (cosines.sum(1) - own) / (len(cosines) - 1)
    return found


def _fertility(scores: Sequence[Score], tokens: Mapping[str, float]) -> dict[str, float]:
    """How the margin with English goes with the tokens of a name; needs three languages."""
    found = {f"tokens of a name in {one}": count for one, count in tokens.items()}
    margins: dict[str, list[float]] = {}
    for score in scores:
        if score.conditions["language"] == _ENGLISH:
            margins.setdefault(str(score.conditions["other"]), []).append(score.value)
    if len(margins) > 2:
        counts = [tokens[one] for one in margins]
        together = spearmanr(counts, [fmean(values) for values in margins.values()]).statistic
        found["rank correlation of tokens and margin"] = float(together)
    return found
