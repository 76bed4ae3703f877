"""Clusters of rows by the vectors of their texts, without pairs in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np

from tokenry.errors import UsageError
from tokenry.ops.fields import SEPARATOR, joined
from tokenry.ops.vector_clusters import By, cluster_vectors
from tokenry.tables import frames, sides
from tokenry.tables.aids import Given
from tokenry.tables.clusters import Clusters
from tokenry.tables.normalise import Form, rule
from tokenry.tables.stages import Stages


def cluster_rows(
    table: Any,
    on: str | Sequence[str],
    *,
    by: By = "single",
    distance: float | None = None,
    least: int | None = None,
    encoder: Any = None,
    normalise: Form | Callable[[str], str | None] = "text",
    device: str | None = None,
    encoding: str | None = None,
) -> Clusters:
    """Cluster the rows of a table by what their texts mean; all rows are compared with all.

    `tokenry.dedupe` does the same by pairs, in blocks and with guards, and scales; this is for a
    few ten thousand rows and for ways that need all distances.

    Args:
        table: The table, of any type that `tokenry.link` takes.
        on: Key columns, joined as `linktransformer` does.
        by: "single" (what a chain of near neighbours joins), "average", "ward" or "hdbscan".
        distance: How far apart two rows of one cluster may be: a cosine distance, 0.1 for single
            and 0.2 for average, or with ward a Euclidean one, 0.5, when not given.
        least: Rows of the smallest cluster, 2 for single and 5 for hdbscan; rows in none are
            single.
        encoder: What gives texts vectors, as in `tokenry.link`.
        normalise: How texts are written; the same as in `tokenry.link`.
        device: Where a named encoder runs.
        encoding: Of a csv or jsonl file.

    Returns:
        The clusters; `first` is the table without duplicates. Rows without a text are single.

    Raises:
        UsageError: If a setting is out of range, or no encoder was named.
        UnknownNameError: If there is no such column.
    """
    if by not in get_args(By):
        raise UsageError(f"cluster_rows: by={by!r} is unknown; give {', '.join(get_args(By))}.")
    frame = frames.read(table, "the table", encoding=encoding)
    names = (on,) if isinstance(on, str) else tuple(on)
    frame.check("cluster_rows", names)
    keys = sides.normalised(frame, names, rule(normalise))
    with Stages(None) as stages:
        aids, _ = Given(encoder=encoder, device=device).aids(stages.folder / "vectors", False)
        embed = aids.need("cluster_rows", "embed", "name an encoder, such as 'zoo:minilm-l6'.")
        separator = getattr(embed, "separator", None) or SEPARATOR
        texts = joined([keys.column(name).to_pylist() for name in names], separator)
        rows = [i for i, text in enumerate(texts) if text is not None]
        vectors = embed([texts[i] for i in rows]) if rows else np.zeros((0, 1))
    # A row without a text is alone; its number must not meet those of clusters.
    labels = len(texts) + np.arange(len(texts))
    labels[rows] = cluster_vectors(np.asarray(vectors), by, distance=distance, least=least)
    _, first, again = np.unique(labels, return_index=True, return_inverse=True)
    return Clusters(frame=frame, labels=np.argsort(np.argsort(first))[again])
