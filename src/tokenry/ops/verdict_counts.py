"""How well labels that were given agree with the true ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from tokenry.ops.agreement import ratios


def label_scores(
    given: Int[np.ndarray, " n"], true: Int[np.ndarray, " n"], yes: int | None = None
) -> dict[str, float]:
    """Accuracy and F1 of labels, as numbers from 0.

    Args:
        given: The labels.
        true: The true ones.
        yes: The label whose F1 counts; None for the mean over labels that occur.

    >>> label_scores(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), yes=1)
    {'accuracy': 0.75, 'F1': 0.6666666666666666}
    """
    size = 1 + max(int(given.max(initial=0)), int(true.max(initial=0)), yes or 0)
    some = (true[given == true], given, true)
    counts = np.stack([np.bincount(one, minlength=size) for one in some], 1)
    scores = ratios(counts)[:, 2]
    f1 = scores[counts.any(1)].mean() if yes is None else scores[yes]
    return {"accuracy": float((given == true).mean()), "F1": float(f1)}
