"""Linear probes of a model's layers: what can be read from frozen states, and what by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import Item, Measurement, Response, Score

States = Float[np.ndarray, "n l d"]


@dataclass(eq=False)
class _Part:
    """Names of one language that are learned from, or are held out."""

    ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    states: list[tuple[tuple[float, ...], ...]] = field(default_factory=list)

    def add(self, item: Item, response: Response) -> None:
        self.ids.append(item.id)
        self.kinds.append(str(item.conditions["kind"]))
        self.words.append(str(item.conditions["name"]).split()[-1])
        self.states.append(response.states)


def kinds_by_layer(
    pairs: Sequence[tuple[Item, Response]], source: str, depths: Sequence[float], seed: int = 0
) -> Measurement:
    """Whether logistic regression tells what a name is the name of, from states of each layer.

    The probe learns from names of the source language and reads held-out names of every language,
    each language's states scaled by the mean and spread of its own names. Beside it stand a probe
    that learned from the language itself, and a control that learned kinds which each last word of
    a name got by lot: what that one gets right it knows by heart (Hewitt and Liang 2019).

    Args:
        pairs: Items with the conditions `language`, `name`, `kind` and `part` ("learn" or
            "held"), and the states of each.
        source: The language that is learned from.
        depths: Where the states were taken.
        seed: Of the lots.

    Raises:
        UsageError: If a language lacks names of two kinds to learn from, or held-out names.
        MissingExtraError: If scikit-learn is not installed.
    """
    learn, held = _parts(pairs)
    for language in learn | held:
        known = learn.get(language, _Part()).kinds
        if len(set(known)) < 2 or not held.get(language, _Part()).ids:
            raise UsageError(
                f"MultilingualLM: among these items are {len(set(known))} kinds of names to learn "
                f"from in {language}, and {len(held.get(language, _Part()).ids)} held out; give "
                "two kinds and a name at least, such as with a larger limit."
            )
    lots = _lots(learn[source], held[source], seed)
    scores = []
    for place, depth in enumerate(depths):
        seen = {
            language: _scaled(learn[language].states, held[language].states, place)
            for language in learn
        }
        transferred = _learned(seen[source][0], learn[source].kinds)
        control = _learned(seen[source][0], [lots[word] for word in learn[source].words])
        for language, (own, asked) in seen.items():
            part = held[language]
            right = {
                "": transferred.predict(asked) == np.array(part.kinds),
                "own": _learned(own, learn[language].kinds).predict(asked) == np.array(part.kinds),
            }
            if language == source:
                by_lot = np.array([lots[word] for word in part.words])
                right["control"] = control.predict(asked) == by_lot
            scores += _scores(part, {"language": language, "depth": depth}, right)
    return Measurement(
        "kinds told", "mean", ("language", "depth"), tuple(scores), _findings(scores, source)
    )


def _parts(
    pairs: Sequence[tuple[Item, Response]],
) -> tuple[dict[str, _Part], dict[str, _Part]]:
    found: dict[str, dict[str, _Part]] = {"learn": {}, "held": {}}
    for item, response in pairs:
        rows = found[str(item.conditions["part"])]
        rows.setdefault(str(item.conditions["language"]), _Part()).add(item, response)
    return found["learn"], found["held"]


def _lots(learn: _Part, held: _Part, seed: int) -> dict[str, str]:
    """A kind by lot for each last word, as often as kinds occur."""
    rng = Random(seed)  # noqa: S311
    return {word: rng.choice(learn.kinds) for word in sorted({*learn.words, *held.words})}


def _scaled(
    learn: Sequence[Any], held: Sequence[Any], place: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """States of one layer, both scaled by the mean and spread of those to learn from."""
    first, second = (np.array([states[place] for states in part]) for part in (learn, held))
    mean, spread = first.mean(0), np.maximum(first.std(0), 1e-6)
    return (first - mean) / spread, (second - mean) / spread


def _learned(states: Float[np.ndarray, "n d"], labels: Sequence[str]) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("MultilingualLM", "pip install 'tokenry[vocab]'") from error
    return LogisticRegression(C=0.1, max_iter=1000).fit(states, list(labels))


def _scores(
    part: _Part, conditions: Mapping[str, str | float], right: Mapping[str, Bool[np.ndarray, " n"]]
) -> list[Score]:
    found = []
    for i, name in enumerate(part.ids):
        more = {what: float(row[i]) for what, row in right.items() if what}
        at = f"{name}@{conditions['depth']:g}"
        found.append(Score(at, conditions, float(right[""][i]), more))
    return found


def _findings(scores: Sequence[Score], source: str) -> dict[str, float]:
    """The control and the selectivity of each layer, and what each language loses by transfer."""
    found: dict[str, float] = {}
    means: dict[str, list[float]] = {}
    for score in scores:
        means.setdefault(str(score.conditions["language"]), []).append(score.value)
    ours = [score for score in scores if score.conditions["language"] == source]
    for depth in dict.fromkeys(score.conditions["depth"] for score in ours):
        rows = [score for score in ours if score.conditions["depth"] == depth]
        control = fmean(score.more["control"] for score in rows)
        found[f"control at depth {depth:g}"] = control
        found[f"selectivity at depth {depth:g}"] = fmean(s.value for s in rows) - control
    for language, values in means.items():
        if language != source:
            found[f"gap of {language}"] = fmean(means[source]) - fmean(values)
    return found
