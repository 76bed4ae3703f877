"""A linear probe: what of the labels the embedding still tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.compare.tasks.base import Pass, Scores, Subject
from tokenry.compare.tasks.vision import VisionTask, require_labels
from tokenry.errors import UsageError

_STRENGTHS = tuple(10.0**power for power in range(-4, 5))


class Probe(VisionTask):
    """Whether a linear classifier, fitted on the untouched model's embeddings, is right.

    It is fitted on the train split and tested on the test split; without splits, fitted on the
    first domain and tested on the others; without domains, every second image of each label is
    for fitting. The classifier is ridge regression on the classes, in closed form and with the
    strength that leave-one-out prefers: exact, the same on every run, and nothing to install.

    Args:
        target: What is predicted: "label", or the name of a field of the examples' `meta`.
    """

    slug = "probe"
    title = "Right class by a linear probe"
    metric = "top-1 accuracy"
    binary = True
    explanation = (
        "Whether a linear classifier names the right class; it was fitted on the untouched "
        "model's embeddings of other images."
    )

    def __init__(self, target: str = "label") -> None:
        self.target = target
        self._seen: list[Tensor] = []
        self._truth: list[str] = []
        self._ridge: Ridge | None = None

    def describe(self) -> str:
        """The task and what is predicted."""
        return f"probe(target={self.target!r})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Check that there is something to predict.

        Raises:
            UsageError: If there is not.
        """
        super().prepare(subject, examples)
        self._seen, self._truth, self._ridge = [], [], None
        if self.target == "label":
            require_labels("probe", examples)
        elif not any(self.target in e.meta for e in examples):
            known = sorted({name for e in examples for name in e.meta})
            raise UsageError(
                f"probe: target={self.target!r} is in no example's meta; "
                f"allowed: label, {', '.join(known)}."
            )

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The images to fit on, and those to test on.

        Raises:
            UsageError: If one part is empty, or the first holds fewer than two classes.
        """
        known = [e for e in examples if self._class(e) is not None]
        marked = {e.split for e in known} >= {"train", "test"}
        vendors = sorted({e.domain for e in known if e.domain is not None})
        if marked:
            fit = [e for e in known if e.split == "train"]
            test = [e for e in known if e.split == "test"]
        elif len(vendors) > 1:
            fit = [e for e in known if e.domain == vendors[0]]
            test = [e for e in known if e.domain in vendors[1:]]
        else:
            groups: dict[str | None, list[Any]] = defaultdict(list)
            for example in known:
                groups[self._class(example)].append(example)
            fit = [e for group in groups.values() for e in group[::2]]
            test = [e for group in groups.values() for e in group[1::2]]
        classes = {self._class(e) for e in fit}
        if len(classes) < 2 or not test:
            raise UsageError(
                f"probe: {len(fit)} images of {len(classes)} classes to fit on and {len(test)} to "
                "test on are too few; it takes two classes and an image of each to test on."
            )
        return fit, test

    def observe(self, seen: Pass, examples: Sequence[Any]) -> None:
        """Note the embeddings to fit on."""
        self._seen.append(seen.outputs.pooled.double().cpu())
        self._truth += [str(self._class(e)) for e in examples]

    def fit(self) -> None:
        """Fit the classifier."""
        names = sorted(set(self._truth))
        classes = torch.tensor([names.index(one) for one in self._truth])
        self._ridge = Ridge(torch.cat(self._seen), classes, names)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """1 where the classifier names the right class, else 0."""
        if self._ridge is None:
            raise UsageError("probe: call fit before score.")
        named = self._ridge.predict(seen.outputs.pooled.double().cpu())
        return Scores(
            [float(n == self._class(e)) for n, e in zip(named, examples, strict=True)],
        )

    def _class(self, example: Any) -> str | None:
        found = example.label if self.target == "label" else example.meta.get(self.target)
        return None if found is None else str(found)


class Ridge:
    r"""Ridge regression on one-of-c targets; the largest response is the class.

    $W = V\,\mathrm{diag}(s / (s^2 + \lambda))\,U^\top Y$ with $X = U S V^\top$ the
    standardised, centred features and $Y$ the centred targets in $\pm 1$. $\lambda$ is the
    multiple of the mean of $s^2$ whose leave-one-out residuals $e_i / (1 - h_{ii})$ have the
    smallest sum of squares.

    Args:
        x: Features.
        classes: Index of each row's class.
        names: Names of the classes.
    """

    def __init__(
        self, x: Float[Tensor, "n d"], classes: Int[Tensor, " n"], names: Sequence[str]
    ) -> None:
        self._names = list(names)
        self._mean, self._std = x.mean(0), x.std(0).clamp(min=1e-12)
        y = torch.nn.functional.one_hot(classes, len(self._names)).double() * 2 - 1
        self._bias = y.mean(0)
        y = y - self._bias
        u, s, vt = torch.linalg.svd((x - self._mean) / self._std, full_matrices=False)
        penalty = min(
            (float(s.square().mean()) * strength for strength in _STRENGTHS),
            key=lambda penalty: leave_one_out(u, s, y, penalty),
        )
        self._weights = vt.T @ ((s / (s**2 + penalty))[:, None] * (u.T @ y))

    def predict(self, x: Float[Tensor, "n d"]) -> list[str]:
        """The name of each row's class."""
        response = (x - self._mean) / self._std @ self._weights + self._bias
        return [self._names[index] for index in response.argmax(1).tolist()]


def leave_one_out(
    u: Float[Tensor, "n r"], s: Float[Tensor, " r"], y: Float[Tensor, "n c"], penalty: float
) -> float:
    """Sum of squared errors of ridge regressions that each leave out one row.

    Args:
        u: Left singular vectors of the centred features.
        s: Singular values.
        y: Centred targets.
        penalty: The strength of the ridge, above 0.
    """
    shrink = s**2 / (s**2 + penalty)
    # The intercept, which is not shrunk, takes 1/n of each row's leverage.
    leverage = (u.square() * shrink).sum(1) + 1 / len(y)
    residual = (y - (u * shrink) @ (u.T @ y)) / (1 - leverage).clamp(min=1e-9)[:, None]
    return float(residual.square().sum())
