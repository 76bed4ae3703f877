"""Logistic regression of a few numbers, by Newton's method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tokenry.errors import UsageError

_STEPS = 100


class Logistic(NamedTuple):
    """Log odds of yes: the base, and what each feature adds, `weights * (x - means)`."""

    base: float
    weights: Float[np.ndarray, " f"]
    means: Float[np.ndarray, " f"]

    def shares(self, features: Float[np.ndarray, "m f"]) -> Float[np.ndarray, "m f"]:
        """What each feature adds to the log odds; one that is NaN adds nothing."""
        added: Float[np.ndarray, "m f"] = (features - self.means) * self.weights
        return np.where(np.isnan(added), 0.0, added)


def logistic(
    features: Float[np.ndarray, "m f"], yes: Bool[np.ndarray, " m"], penalty: float = 1.0
) -> Logistic:
    r"""The weights that minimise $-\sum_i \ln p_i + \frac{\lambda}{2} |w|^2$, w per deviation.

    Args:
        features: Of labelled things; NaN counts as the mean.
        yes: Their labels.
        penalty: $\lambda$, which keeps weights finite where a feature tells all.

    Raises:
        UsageError: If the labels are not of both kinds.

    >>> found = logistic(np.array([[0.0], [1], [0], [1]]), np.array([False, True, False, True]))
    >>> bool(found.weights[0] > 0), round(found.base, 6)
    (True, 0.0)
    """
    yes = np.asarray(yes, dtype=bool)
    if not 0 < yes.sum() < len(yes):
        raise UsageError(
            f"logistic: {int(yes.sum())} of {len(yes)} labels are yes; it needs some of both kinds."
        )
    known = ~np.isnan(features)
    means = np.where(known, features, 0).sum(0) / np.maximum(known.sum(0), 1)
    centred = np.nan_to_num(features - means)
    spread = np.sqrt(np.square(centred).mean(0))
    spread[spread == 0] = 1
    table = np.column_stack([np.ones(len(yes)), centred / spread])
    ridge = np.diag([1e-9, *np.full(features.shape[1], penalty)])
    weights = np.zeros(table.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(table @ weights, -500, 500)))
        slope = table.T @ (p - yes) + ridge @ weights
        step = np.linalg.solve((table.T * (p * (1 - p))) @ table + ridge, slope)
        weights -= step / max(1.0, np.abs(step).max())  # never more than one at a time
        if np.abs(step).max() < 1e-10:
            break
    return Logistic(float(weights[0]), weights[1:] / spread, means)
