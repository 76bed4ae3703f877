"""What an encoder is worth on rows that it was not tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from tokenry.ops.nearest import nearest, products
from tokenry.ops.ranking import average_precision, order
from tokenry.ops.thresholds import best_threshold
from tokenry.tables.tuning_data import Examples

_DEEP = 10  # how far down the first right text is looked for


def measures(encoder: Any, data: Examples, beside: Sequence[str] = ()) -> dict[str, float]:
    """How well the encoder does; the first figure is the one that decides.

    Of labelled pairs the F1 at the best threshold and the average precision. Otherwise each text is
    looked for among the others: how often the nearest names the same thing (accuracy@1), and the
    mean reciprocal rank among the ten nearest.

    Args:
        encoder: The encoder.
        data: The rows.
        beside: Further texts to search among.
    """
    if data.labels is not None:
        scores, same = _labelled(encoder, data)
        ranking = order({str(i): score for i, score in enumerate(scores.tolist())})
        true = {str(i): int(one) for i, one in enumerate(same.tolist())}
        return {"F1": best_threshold(scores, same)[1], "AP": average_precision(ranking, true)}
    ranks, _ = _ranks(encoder, data, beside)
    reached = np.isfinite(ranks)
    return {
        "accuracy@1": float((ranks == 1).mean()),
        "MRR@10": float(np.where(reached, 1 / ranks, 0).mean()),
    }


def cut_of(encoder: Any, data: Examples, beside: Sequence[str] = ()) -> float | None:
    """The cosine that tells matches best: labelled ones, or nearest texts that are right.

    None where no text finds another of its thing.
    """
    if data.labels is not None:
        return best_threshold(*_labelled(encoder, data))[0]
    ranks, first = _ranks(encoder, data, beside)
    right = ranks == 1
    return best_threshold(first, right)[0] if right.any() else None


def _labelled(
    encoder: Any, data: Examples
) -> tuple[Float[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    texts = list(dict.fromkeys(text for row in data.rows for text in row))
    place = {text: i for i, text in enumerate(texts)}
    vectors = _vectors(encoder, texts)
    left, right = (np.array([place[row[side]] for row in data.rows]) for side in (0, 1))
    return products(vectors, vectors, left, right), np.array(data.labels, dtype=bool)


def _ranks(
    encoder: Any, data: Examples, beside: Sequence[str]
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """The rank of the first right text of each query, infinite below ten; the best cosine."""
    asked = data.lefts() if data.apart else [a for a, b in data.rows if a != b]
    among = list(dict.fromkeys([*(data.rights() if data.apart else data.lefts()), *beside]))
    at = {text: i for i, text in enumerate(among)}
    vectors = _vectors(encoder, among)
    # One more, as a text may not find itself where all are looked for among all.
    near = nearest(_vectors(encoder, asked), vectors, min(_DEEP + 1, len(among)))
    ranks, first = np.full(len(asked), np.inf), np.full(len(asked), np.nan)
    things = [data.thing.get(text) for text in among]
    for i, text in enumerate(asked):
        own = slice(*np.searchsorted(near.rows, [i, i + 1]))
        kept = [
            (column, score)
            for column, score in zip(near.columns[own], near.scores[own], strict=True)
            if data.apart or column != at.get(text)
        ][:_DEEP]
        first[i] = kept[0][1] if kept else np.nan
        hits = [j for j, (column, _) in enumerate(kept) if things[column] == data.thing[text]]
        ranks[i] = hits[0] + 1 if hits else np.inf
    return ranks, first


def _vectors(encoder: Any, texts: list[str]) -> Float[np.ndarray, "n d"]:
    found = np.asarray(encoder.encode(texts, show_progress_bar=False), dtype=np.float64)
    made: Float[np.ndarray, "n d"] = found / np.maximum(
        np.linalg.norm(found, axis=1, keepdims=True), 1e-12
    )
    return made
