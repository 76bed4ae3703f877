"""A linear ranker learned from lists in which some items are right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import logsumexp


def list_shares(
    scores: Float[np.ndarray, " n"], lists: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The softmax of scores within each list."""
    shares: Float[np.ndarray, " n"] = np.exp(scores - _log_sums(scores, lists)[lists])
    return shares


def listwise_weights(
    features: Float[np.ndarray, "n f"],
    lists: Int[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    decay: float = 1e-4,
    least: float = -np.inf,
) -> Float[np.ndarray, " f"]:
    r"""Weights under which the right items of lists are likeliest.

    It minimises $-\frac{1}{L} \sum_l \ln \sum_{i \in l, right} p_i + \lambda |w|^2$ with p the
    softmax of the linear scores within a list. Lists without a right item teach nothing.

    Args:
        features: Of each item.
        lists: The number of each item's list, from 0.
        right: Whether each is right; a list may have several.
        decay: Lambda.
        least: Smallest weight.

    Source: Cao et al. 2007 (ListNet), with the likelihood of the right ones as target.
    """
    taught = np.isin(lists, lists[right])
    features, right = features[taught], right[taught]
    _, lists = np.unique(lists[taught], return_inverse=True)
    count = int(lists.max(initial=-1)) + 1
    width = features.shape[1]
    if not count:
        return np.zeros(width)

    def loss(weights: Float[np.ndarray, " f"]) -> tuple[float, Float[np.ndarray, " f"]]:
        scores = features @ weights
        masked = np.where(right, scores, -np.inf)
        every, good = _log_sums(scores, lists), _log_sums(masked, lists)
        pull = np.exp(scores - every[lists]) - np.exp(masked - good[lists])
        value = float((every - good).mean() + decay * weights @ weights)
        return value, features.T @ pull / count + 2 * decay * weights

    bounds = [(least if np.isfinite(least) else None, None)] * width
    found = minimize(loss, np.zeros(width), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def _log_sums(
    scores: Float[np.ndarray, " n"], lists: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " l"]:
    order = np.argsort(lists, kind="stable")
    edges = np.flatnonzero(np.diff(lists[order])) + 1
    return np.array([logsumexp(part) for part in np.split(scores[order], edges)])
