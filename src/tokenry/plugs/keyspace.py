"""The key space of a language model: clusters of its head's rows, and what they do to ranks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import LIST, Form
from tokenry.ops.keyspace import SpuriousCorrelation, in_main_clusters, spurious_correlation
from tokenry.plugs.stem import Stem

_BATCH = 16  # answers that are completed at once


def key_clusters(model: Any, clusters: int = 1000, *, seed: int = 0) -> Int[Tensor, " v"]:
    """Cluster the rows of a language model's head by k-means over mini-batches.

    Args:
        model: A model of transformers with a head over its vocabulary, tied or not.
        clusters: How many clusters (paper: about 1000).
        seed: Of the first centres and of the batches.

    Returns:
        The cluster of each row.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
        UsageError: If the model has no head, or fewer rows than clusters.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError as error:
        raise MissingExtraError("key_clusters", "pip install 'tokenry[decoding]'") from error
    head = model.get_output_embeddings()
    if head is None:
        raise UsageError(
            f"key_clusters: {type(model).__name__} has no head over its vocabulary; load it with "
            "AutoModelForCausalLM."
        )
    keys = head.weight.detach().float().cpu().numpy()
    if not 1 <= clusters <= len(keys):
        raise UsageError(
            f"key_clusters: clusters={clusters} is outside [1, {len(keys)}]; it is a number of "
            "groups of the head's rows."
        )
    found = MiniBatchKMeans(
        clusters, random_state=seed, batch_size=4096, n_init=1, max_iter=10
    ).fit_predict(keys)
    return torch.as_tensor(found, dtype=torch.long)


def key_space(
    model: Any,
    tokenizer: Any,
    question: str,
    correct: Callable[[str], bool],
    labels: Int[Tensor, " v"],
    *,
    top: int = 10,
    upto: int = 100,
    form: Form = LIST,
) -> SpuriousCorrelation:
    """Whether mid-ranked first tokens near the top-ranked ones are wrong more often than others.

    Each first token of rank `top` + 1 to `upto` is completed greedily and judged.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        question: A question with many right answers.
        correct: Whether an answer is right.
        labels: The cluster of each row of the head, from `key_clusters`.
        top: The clusters of so many top-ranked tokens are the main ones (paper: K = 10).
        upto: The last rank that counts (paper: N = 100).
        form: How answers stand in the prompt.

    Raises:
        UnsupportedModelError: If the model does not continue texts.
        UsageError: If `upto` is not greater than `top`, the labels are not one per row, or the
            tokenizer is another model's.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if not 0 < top < upto or len(labels) != rows:
        raise UsageError(
            f"key_space: top={top}, upto={upto} and {len(labels)} labels; allowed is "
            f"0 < top < upto, and one label for each of the {rows} rows of the head."
        )
    stem = Stem(model, tokenizer, form.write(question))
    ranking = [token for token, _ in islice(stem.ranking(), upto)]
    middle = ranking[top:]
    texts: list[str] = []
    for start in range(0, len(middle), _BATCH):
        done = stem.complete(middle[start : start + _BATCH], form.closing, form.length)
        texts += [text for text, _ in done]
    judged = torch.tensor([bool(text) and correct(text) for text in texts])
    return spurious_correlation(in_main_clusters(ranking, labels, top), judged, top)
