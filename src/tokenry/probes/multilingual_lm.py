"""Multilingual probe: does a model think the same of a word and its translation?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from tokenry.method import Condition, In, Item, Measurement, Probe, Response, Score
from tokenry.method.probe import paired
from tokenry.names import names_by_kind
from tokenry.probes.layers import kinds_by_layer

_ENGLISH = "en"


@final
@dataclass(frozen=True, kw_only=True)
class MultilingualLM(Probe):
    r"""Compares the states of names with those of their translations, layer by layer.

    A name's state is the mean over its tokens, less the mean of all names of its language. The
    margin of a pair of languages is $\cos(a_i, b_i) - \overline{\cos(a_i, b_j)}_{j \ne i}$:
    how much nearer a translation is than other names. Names of countries, languages, scripts and
    currencies come from the translated ISO standards; those spelled alike in two of the languages
    are left out. task="kinds" asks instead what can be read from frozen states: logistic
    regression learns from English names which of the four a name belongs to, and tells it of
    others in every language; `tokenry.probes.layers` says what it is measured against.

    Args:
        task: "alignment", margins of translations, or "kinds", linear probes.
        languages: Codes of the languages beside English, as `names` knows them.
        count: Names in each language; of each kind with task="kinds".
        depths: Where states are taken, as shares of the layers; 0 is what goes into the first.

    Raises:
        UsageError: If a setting is out of range, or a language is not known.

    Source: "How does a Multilingual LM Handle Multiple Languages?", 2025, sections on word
    alignment, on layers, and on transfer.
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
        venue="arXiv 2025",
        claims=(
            Claim(
                paper="Related languages align; Chinese and Swahili diverge.",
                effect="The margin between English and German or French is larger than that "
                "between English and Russian or Chinese, and any is larger than that of shuffled "
                "translations; it falls with the tokens that a name takes.",
                test="tests/probes/test_multilingual_lm.py::test_claim_related_languages_align",
                measured="0.41 and 0.39 against 0.12 and 0.06, shuffled -0.005; rank correlation "
                "-0.8 over the four languages. Last layer of zoo:smollm2-135m, a model of English, "
                "60 names.",
            ),
            Claim(
                paper="Deep layers specialise.",
                effect="What a name is the name of is told best by an early layer and worst by "
                "the last, and so is what a probe does not know by heart.",
                test="tests/probes/test_multilingual_lm.py::"
                "test_claim_kinds_of_names_are_told_best_before_the_last_layer",
                measured="In English 66, 75, 64, 63 and 54 % are right from before the first layer "
                "to after the last, 38, 30, 27, 32 and 41 % by heart (four kinds, 56 held-out "
                "names of 168, zoo:smollm2-135m); with random weights 27 to 34 % from a "
                "quarter on.",
            ),
            Claim(
                paper="What is learned in English carries over, less so to low-resource languages.",
                effect="A probe that learned from English names tells German ones better than "
                "Russian ones.",
                test="tests/probes/test_multilingual_lm.py::"
                "test_claim_kinds_of_names_are_told_best_before_the_last_layer",
                measured="A quarter of the way in, 75 % right in English, 61 in German and in "
                "French, 50 in Chinese and 32 in Russian, where a probe of the language's own "
                "has 82, 55, 66 and 84; with random weights 32, 25, 25, 20 and 12 %; chance is 25.",
            ),
            Claim(
                paper="Deep layers align languages less.",
                effect="Smaller margins in the deepest layers.",
                not_shown="Margins with German are 0.38, 0.35, 0.25, 0.29 and 0.41 from before "
                "the first layer to after the last, and 52, 53, 38, 50 and 47 % of translations "
                "are the nearest of 60 (zoo:smollm2-135m): they fall and rise again.",
            ),
        ),
        differs=(
            "Words are names from ISO standards; the paper's list is not published.",
            "States are centred per language before the cosine, for they all point one way "
            "otherwise.",
            "Layers are asked for what a name is the name of, which the standards say in every "
            "language, in place of tags of entities in running text; transfer is that of the "
            "probe, not of a fine-tuned model.",
            "Controls by lot stand beside the probes (Hewitt and Liang 2019); our addition.",
            "Findings relate the margin to the tokens that a name takes; our addition.",
        ),
    )
    asks: ClassVar[Literal["answer", "surprisals", "state"]] = "state"

    task: Annotated[Literal["alignment", "kinds"], "what the states are asked for"] = "alignment"
    languages: Annotated[tuple[str, ...], "the languages beside English"] = ("de", "fr", "ru")
    count: Annotated[int, In(3, 10_000), "the names in each language"] = 100
    depths: Annotated[
        tuple[float, ...], In(0, 1), "where the states are taken, as shares of the layers"
    ] = (0.0, 0.25, 0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.depths or len(set(self.depths)) < len(self.depths):
            raise UsageError(
                f"MultilingualLM: depths={self.depths!r}; give one or more, each once."
            )

    def items(self, seed: int = 0) -> Sequence[Item]:
        """Each name in each language, drawn with the seed."""
        kinds: dict[str, set[str]] = {}
        tables: dict[str, dict[str, str]] = {}
        for language in self.languages:
            for kind, name, translation in names_by_kind(language):
                kinds.setdefault(name, set()).add(kind)
                tables.setdefault(language, {})[name] = translation
        if _ENGLISH in tables or not tables:
            raise UsageError(
                f"MultilingualLM: languages={self.languages!r}; give at least one, and none that "
                "is English."
            )
        shared = sorted(set.intersection(*(set(table) for table in tables.values())))
        Random(seed).shuffle(shared)  # noqa: S311
        every = [{_ENGLISH: name} | {one: tables[one][name] for one in tables} for name in shared]
        rows = [row for row in every if len({*map(str.casefold, row.values())}) == len(row)]
        if self.task == "alignment":
            return [item for row in rows[: self.count] for item in self._named(row, {})]
        return self._sorted(rows, kinds)

    def _sorted(
        self, rows: Sequence[Mapping[str, str]], kinds: Mapping[str, set[str]]
    ) -> Sequence[Item]:
        """As many names of each kind; a third of them is held out."""
        groups: dict[str, list[Mapping[str, str]]] = {}
        for row in rows:
            kind, *more = kinds[row[_ENGLISH]]
            if not more:  # Arabic is a language and a script
                groups.setdefault(kind, []).append(row)
        most = min(self.count, *map(len, groups.values()))
        parts = ["held" if i % 3 == 0 else "learn" for i in range(most)]
        return [
            item
            for kind in sorted(groups)
            for row, part in zip(groups[kind], parts, strict=False)
            for item in self._named(row, {"kind": kind, "part": part})
        ]

    def _named(self, row: Mapping[str, str], more: Mapping[str, str]) -> list[Item]:
        """An item for each language that a name is written in."""
        name, depths = row[_ENGLISH], self.depths
        return [
            Item(f"{one}/{name}", "", text, {"language": one, "name": name, **more}, depths=depths)
            for one, text in row.items()
        ]

    def measure(self, items: Sequence[Item], responses: Sequence[Response]) -> Measurement:
        """The margin of each name for each pair of languages, or whether its kind is told."""
        pairs = list(paired("MultilingualLM", items, responses))
        if self.task == "kinds":
            return kinds_by_layer(pairs, _ENGLISH, self.depths)
        states: dict[str, dict[str, Float[np.ndarray, "l d"]]] = {}
        tokens: dict[str, list[int]] = {}
        for item, response in pairs:
            language, name = str(item.conditions["language"]), str(item.conditions["name"])
            states.setdefault(language, {})[name] = np.array(response.states)
            tokens.setdefault(language, []).append(response.tokens)
        scores: list[Score] = []
        shuffled: list[float] = []
        for one, other in combinations(states, 2):
            both = [name for name in states[one] if name in states[other]]
            if len(both) < 3:
                raise UsageError(
                    f"MultilingualLM: {one} and {other} share {len(both)} names among these items; "
                    "give at least 3, such as with a larger limit."
                )
            for place, depth in enumerate(self.depths):
                cosines = _cosines(*([states[s][n][place] for n in both] for s in (one, other)))
                shuffled.append(float(_margins(np.roll(cosines, 1, 1)).mean()))
                conditions: dict[str, Condition] = {"language": one, "other": other, "depth": depth}
                scores += _scores(both, cosines, conditions)
        findings = {"margin of shuffled translations": fmean(shuffled) if shuffled else 0.0}
        findings |= _fertility(scores, {one: fmean(counts) for one, counts in tokens.items()})
        by = ("language", "other", "depth")
        return Measurement("margin", "mean", by, tuple(scores), findings)


def _scores(
    names: Sequence[str], cosines: Float[np.ndarray, "n n"], conditions: Mapping[str, Condition]
) -> list[Score]:
    """The margin of each name, and whether its translation is the nearest of all."""
    nearest = cosines.argmax(1) == np.arange(len(names))
    pair = "{language}-{other}/{{}}@{depth:g}".format_map(conditions)
    return [
        Score(pair.format(name), conditions, float(margin), {"retrieved": float(found)})
        for name, margin, found in zip(names, _margins(cosines), nearest, strict=True)
    ]


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
