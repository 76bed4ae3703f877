"""A dense task: does the map that a head draws from the patches survive merging and unmerging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from tokenry.compare.tasks.base import Pass, Scores, Subject
from tokenry.compare.tasks.vision import VisionTask
from tokenry.errors import UsageError
from tokenry.plugs.trace import Trace
from tokenry.zoo import folder, load_saliency_decoder, weights_hash

Decoder = Callable[[Float[Tensor, "b n d"], tuple[int, int]], Float[Tensor, "b y x"]]


class Dense(VisionTask):
    """Correlation between a dense head's map and the one from the untouched model.

    The rows that are left are given back to every patch that merged into them (zeros where a
    patch was dropped), then the head draws its map. Unmerging and the head are not timed.

    Args:
        decoder: The head: from patch rows `(b, n, d)` and their grid (rows, columns) to maps
            `(b, y, x)`, on the device of the model. When not given, the saliency head of
            `zoo:dinov2-small-saliency`, which fits that model only.
    """

    slug = "dense"
    title = "Agreement of the dense map"
    metric = "correlation"
    explanation = (
        "Pearson correlation between the map (such as saliency) that a dense head draws after "
        "unmerging, and the map that it draws from the untouched model."
    )

    def __init__(self, decoder: Decoder | None = None) -> None:
        self.decoder = decoder
        self._head = decoder
        self._known: tuple[Pass, Tensor] | None = None

    def describe(self) -> str:
        """The task and what tells its decoder from another."""
        if self.decoder is None:
            return "dense"
        if isinstance(self.decoder, nn.Module):
            return f"dense(decoder={weights_hash(self.decoder)})"
        return f"dense(decoder={self.decoder.__module__}.{self.decoder.__qualname__})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Get the decoder.

        Raises:
            UsageError: If there is none for this model.
        """
        super().prepare(subject, examples)
        self._known = None
        if self.decoder is None:
            self._head = _saliency_head(subject).to(subject.device)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """The correlation of each image's map; 0 where a map is constant."""
        if seen.trace is None:
            return Scores([1.0] * len(examples))
        ours = self._map(seen.trace.unmerge(seen.outputs.rows), seen.trace)
        if self._known is None or self._known[0] is not untouched:
            self._known = (untouched, self._map(untouched.outputs.rows, seen.trace))
        theirs = self._known[1]
        a, b = (one - one.mean(1, keepdim=True) for one in (ours, theirs))
        # Rounding must not make a difference where there is none.
        same = (ours == theirs).all(1)
        return Scores(cosine_similarity(a, b, dim=1).masked_fill(same, 1.0).tolist())

    def _map(self, rows: Float[Tensor, "b n0 d"], trace: Trace) -> Float[Tensor, "b pixels"]:
        if self._head is None:
            raise UsageError("dense: call prepare before score.")
        return self._head(rows[:, trace.protected :], trace.grid).double().flatten(1)


def _saliency_head(subject: Subject) -> nn.Module:
    name = "dinov2-small-saliency"
    if getattr(subject.model, "name_or_path", "") != str(folder(name)):
        raise UsageError(
            f"dense: {subject.name} has no dense head of its own and the built-in one fits only "
            f"zoo:{name}; give Dense(decoder=...) with a head for your model."
        )
    return load_saliency_decoder()
