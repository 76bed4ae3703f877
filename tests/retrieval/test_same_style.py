"""The three losses of same-style products against numpy, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenry.method import Batch
from tokenry.retrieval import SameStyle
from tokenry.retrieval.same_style import CROSSED, PAIRS

VIEWS = [f"{side}.{view}" for side in "ab" for view in ("image", "text", "joint")]


def batch(b=6, d=4, seed=0, groups=None):
    source = torch.Generator().manual_seed(seed)
    vectors = {name: torch.randn(b, d, generator=source) for name in VIEWS}
    return Batch(vectors=vectors, groups=None if groups is None else torch.tensor(groups))


def hinge_by_hand(s, margin, of, released):
    total = 0.0
    for r in range(len(s)):
        wrong = [c for c in range(len(s)) if of[c] != of[r]]
        over = sum(max(0.0, s[r, c] - s[r, r] + margin) for c in wrong)
        total += over / (len(s) if released else max(1, len(wrong)))
    return total / len(s)


def agree_by_hand(s, other, nearest, slack):
    rows = []
    for r in range(len(s)):
        best = np.argsort(-s[r], kind="stable")[:nearest]
        rows.append(np.mean([max(0.0, (s[r, c] - other[r, c]) ** 2 - slack) for c in best]))
    return float(np.mean(rows))


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("groups", [None, [0, 1, 1, 2, 3, 0]])
@pytest.mark.parametrize("nearest", [2, 10])
def test_losses_equal_numpy(released, groups, nearest):
    data = batch(groups=groups)
    of = groups or list(range(6))
    x = {n: v.numpy() / np.linalg.norm(v.numpy(), axis=1)[:, None] for n, v in data.vectors.items()}
    method = SameStyle(
        margin=0.3, slack=0.02, nearest=nearest, match=2.0, distinct=0.5, consistent=3.0,
        released=released,
    )  # fmt: skip
    match = np.mean(
        [hinge_by_hand(x[f"a.{p}"] @ x[f"b.{q}"].T, 0.3, of, released) for p, q in PAIRS]
    )
    distinct = np.mean(
        [hinge_by_hand(x[f"a.{p}"] @ x[f"a.{q}"].T, 0.3, of, released) for p, q in CROSSED]
    )
    joint = x["a.joint"] @ x["b.joint"].T
    consistent = np.mean(
        [
            agree_by_hand(joint, x[f"a.{view}"] @ x["b.joint"].T, nearest, 0.02)
            for view in ("image", "text")
        ]
    )
    losses = method.loss(data)
    assert float(losses.parts["match"]) == pytest.approx(match, abs=1e-5)
    assert float(losses.parts["distinct"]) == pytest.approx(distinct, abs=1e-5)
    assert float(losses.parts["consistent"]) == pytest.approx(consistent, abs=1e-5)
    total = 2 * match + distinct / 2 + 3 * consistent
    assert float(losses.total) == pytest.approx(total, abs=1e-5)


def test_no_gradient_once_every_margin_is_met():
    x = torch.eye(4).requires_grad_()
    losses = SameStyle(margin=0.5).loss(Batch(vectors=dict.fromkeys(VIEWS, x)))
    losses.total.backward()
    assert float(losses.total.detach()) == 0
    assert float(x.grad.abs().max()) == 0


def test_released_code_depends_on_the_size_of_the_batch():
    """As many suppliers' entries twice over: the mean over negatives stays, that over all rises."""
    data = batch()
    twice = Batch(
        vectors={n: v.repeat(2, 1) for n, v in data.vectors.items()},
        groups=torch.arange(6).repeat(2),
    )
    ours, theirs = SameStyle(), SameStyle(released=True)
    first, second = (float(ours.loss(one).parts["match"]) for one in (data, twice))
    assert first == pytest.approx(second, abs=1e-6)
    first, second = (float(theirs.loss(one).parts["match"]) for one in (data, twice))
    assert first == pytest.approx(second, abs=1e-6)  # 5/6 and 10/12 are negatives
    alone = Batch(vectors={n: v[:3] for n, v in data.vectors.items()})
    parts = (float(m.loss(alone).parts["match"]) for m in (theirs, ours))
    assert next(parts) / next(parts) == pytest.approx(2 / 3, abs=1e-6)


def test_fewer_rows_than_nearest():
    assert torch.isfinite(SameStyle().loss(batch(b=2)).total)
