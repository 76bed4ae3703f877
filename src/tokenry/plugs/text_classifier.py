"""Sequence classifiers of transformers over texts or pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError
from tokenry.ops.fields import SEPARATOR
from tokenry.plugs.device import device_of
from tokenry.progress import track
from tokenry.zoo.loading import explained

_LONGEST = 512  # tokens, where the tokenizer does not say


class TextClassifier:
    """A model that gives a text, or two as one, the probability of each label.

    Args:
        model: A model for the classification of sequences.
        tokenizer: Its tokenizer.

    Attributes:
        labels: The names of its labels; one where the model gives a single number.

    Raises:
        UnsupportedModelError: If the model has no labels.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        config: Any = model.config
        if not hasattr(model, "num_labels") or "SequenceClassification" not in type(model).__name__:
            raise UnsupportedModelError(
                f"{type(model).__name__}: gives texts no labels; take a model for sequence "
                "classification."
            )
        self.model, self.tokenizer = model.eval(), tokenizer
        self.labels = tuple(str(config.id2label[i]) for i in range(config.num_labels))
        # One number, or labels that do not shut each other out, have a probability each.
        self._apart = len(self.labels) == 1 or config.problem_type == "multi_label_classification"

    @classmethod
    def load(cls, source: str | PathLike[str], device: str | None = None) -> TextClassifier:
        """The classifier in a folder, or of a name on the Hub; safetensors only.

        Raises:
            UsageError: If there is none, or no such device.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        place, name = device_of(device), str(source)
        with explained(name):
            model = AutoModelForSequenceClassification.from_pretrained(name, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(name)
        return cls(model if place is None else model.to(place), tokenizer)

    @property
    def separator(self) -> str:
        """What stands between the columns of a row."""
        return getattr(self.tokenizer, "sep_token", None) or SEPARATOR

    def __call__(
        self, texts: Sequence[str], others: Sequence[str] | None = None, batch_size: int = 32
    ) -> Float[np.ndarray, "n c"]:
        """The probability of each label; too long texts are cut.

        Args:
            texts: The texts.
            others: What stands beside each; None for texts alone.
            batch_size: How many are read at once, those of about one length together.
        """
        beside = [""] * len(texts) if others is None else others
        lengths = [len(one) + len(other) for one, other in zip(texts, beside, strict=True)]
        order = np.argsort(lengths, kind="stable")[::-1]  # what fills the memory comes first
        found = np.zeros((len(texts), len(self.labels)))
        starts = range(0, len(texts), batch_size)
        for start in track(starts, "classifying", unit="batch"):
            rows = order[start : start + batch_size]
            pair = None if others is None else [others[i] for i in rows]
            found[rows] = self._read([texts[i] for i in rows], pair)
        return found

    def logits(self, texts: list[str], others: list[str] | None) -> Float[Tensor, "b c"]:
        """Scores of the labels, with a gradient where there is one to be had."""
        room = min(self.tokenizer.model_max_length, _positions(self.model))
        given = self.tokenizer(
            texts, others, padding=True, truncation=True, max_length=room, return_tensors="pt"
        )
        device = next(self.model.parameters()).device
        made: Tensor = self.model(**given.to(device)).logits
        return made

    @torch.no_grad()
    def _read(self, texts: list[str], others: list[str] | None) -> Float[np.ndarray, "b c"]:
        logits = self.logits(texts, others).double()
        shares = logits.sigmoid() if self._apart else logits.softmax(-1)
        made: Float[np.ndarray, "b c"] = shares.cpu().numpy()
        return made


def _positions(model: nn.Module) -> int:
    return int(getattr(model.config, "max_position_embeddings", None) or _LONGEST)
