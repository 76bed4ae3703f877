"""Agreement with the untouched model: needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn.functional import cosine_similarity

from tokenry.compare.tasks.base import Pass, Scores
from tokenry.compare.tasks.vision import VisionTask


class Agreement(VisionTask):
    """Cosine between the embedding and the untouched model's.

    The secondary score `top1` is whether both name the same class, when the model has a head.
    """

    slug = "agreement"
    title = "Agreement with the untouched model"
    metric = "cosine"
    explanation = (
        "Cosine between the embedding of an image and the one that the untouched model gives; "
        "1 means that nothing changed. Needs no labels."
    )

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """The cosine of each image."""
        ours, theirs = seen.outputs, untouched.outputs
        cosine = cosine_similarity(ours.pooled.double(), theirs.pooled.double(), dim=1).clamp(max=1)
        if ours.logits is None:
            return Scores(cosine.tolist())
        same = ours.logits.argmax(1) == theirs.logits.argmax(1)
        return Scores(cosine.tolist(), {"top1": same.double().tolist()})
