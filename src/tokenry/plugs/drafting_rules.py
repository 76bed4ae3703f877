"""What `generate` was told about scores and ends, asked for one text at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.generation import logits_process, stopping_criteria
from transformers.generation.stopping_criteria import StoppingCriteriaList

_BY_ROW = (
    logits_process.RepetitionPenaltyLogitsProcessor,
    logits_process.EncoderRepetitionPenaltyLogitsProcessor,
    logits_process.EncoderNoRepeatNGramLogitsProcessor,
)
"""Processors of transformers that hold something for each row of the batch."""

_MODULES = (logits_process.__name__, stopping_criteria.__name__)


class Rules:
    """Processors and criteria made for a batch, asked about one row whose prefix is its own.

    Those that may tell rows apart get the row repeated to the size of the batch, and the answer
    that counts is the one at the row's own place.

    Args:
        processors: Logits processors, in order.
        criteria: Stopping criteria.
        batch: Rows of the batch.

    Attributes:
        free: Whether nothing changes the scores.
        pads: Whether rows that have ended are padded.
        limit: Most tokens of a text.
    """

    def __init__(self, processors: list[Any], criteria: StoppingCriteriaList, batch: int) -> None:
        self._processors = [(one, batch > 1 and _tells_rows(one)) for one in processors]
        self._criteria = [(one, batch > 1 and _tells_rows(one)) for one in criteria]
        self._batch = batch
        longest: Any = criteria.max_length  # generate always sets one
        self.limit = int(longest)
        self.free = not processors
        self.pads = any(hasattr(one, "eos_token_id") for one in criteria)

    def scores(
        self, row: int, text: Int[Tensor, "1 n"], raw: Float[Tensor, "1 v"]
    ) -> Float[Tensor, "1 v"]:
        """The scores of the row's next token as the processors leave them."""
        for processor, told in self._processors:
            if told:
                raw = processor(text.repeat(self._batch, 1), raw.repeat(self._batch, 1))
                raw = raw[row : row + 1]
            else:
                raw = processor(text, raw)
        return raw

    def stops(self, row: int, text: Int[Tensor, "1 n"], scores: tuple[Tensor, ...] | None) -> bool:
        """Whether the row ends with its last token; every criterion is asked."""
        found = torch.zeros((), dtype=torch.bool, device=text.device)
        for criterion, told in self._criteria:
            if told:
                done = torch.as_tensor(criterion(text.repeat(self._batch, 1), scores))[row]
            else:
                done = torch.as_tensor(criterion(text, scores)).any()
            found = found | done.to(text.device)
        return bool(found)


def _tells_rows(one: Any) -> bool:
    """Whether an answer may depend on the place of a row in the batch."""
    known = type(one).__module__ in _MODULES
    return not known or isinstance(one, _BY_ROW)
