"""A cross-encoder that reads two texts together and says whether they belong together."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.batches import rounds
from tokenry.ops.contrastive import softmax_loss
from tokenry.plugs.tuning import Tuned, descend, number, set_rate, share, training

_BATCH = 32


class Choice(NamedTuple):
    """A text with others, one of which belongs to it.

    Attributes:
        text: What is asked about.
        others: The candidates, as many in each choice of a training.
        right: The place of the one that belongs.
    """

    text: str
    others: Sequence[str]
    right: int


class PairReader:
    """A referee of pairs: any encoder with a head of one number on its first token.

    Args:
        model: Of transformers, for sequence classification with one label.
        tokenizer: Its own.
        longest: Tokens of both texts together, at most; the second one is cut.

    Raises:
        UsageError: If the model has another number of labels.
    """

    def __init__(self, model: Any, tokenizer: Any, longest: int = 128) -> None:
        if model.config.num_labels != 1:
            raise UsageError(
                f"PairReader: the model has {model.config.num_labels} labels; load it with "
                "num_labels=1."
            )
        self.model, self.tokenizer, self.longest = model, tokenizer, longest

    def scores(self, pairs: Sequence[tuple[str, str]]) -> Float[Tensor, " m"]:
        """One number for each pair, with a gradient where there is one to be had."""
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        read = self.tokenizer(
            first,
            second,
            padding=True,
            truncation="only_second",
            max_length=self.longest,
            return_tensors="pt",
        ).to(self.model.device)
        logits: Tensor = self.model(**read).logits
        return logits[:, 0]

    @torch.no_grad()
    def yes(self, prompts: Sequence[str]) -> Float[np.ndarray, " m"]:
        """The probability that the first two lines of each prompt belong together."""
        pairs = [(lines[0], lines[1]) for lines in (f"{one}\n".split("\n") for one in prompts)]
        steps = range(0, len(pairs), _BATCH)
        parts = [self.scores(pairs[at : at + _BATCH]).sigmoid() for at in steps]
        return torch.cat([torch.zeros(0), *parts]).double().cpu().numpy()

    def options(self, prompts: Sequence[str], count: int) -> NoReturn:
        """Not for a reader of pairs.

        Raises:
            UsageError: Always.
        """
        raise UsageError("PairReader: scores pairs and chooses no letters; take a language model.")

    def write(self, prompts: Sequence[str], tokens: int) -> NoReturn:
        """Not for a reader of pairs.

        Raises:
            UsageError: Always.
        """
        raise UsageError("PairReader: scores pairs and writes nothing; take a language model.")


def tune_reader(
    reader: PairReader,
    choices: Sequence[Choice],
    *,
    steps: int,
    batch_size: int = 8,
    rate: float = 2e-5,
    seed: int = 0,
) -> Tuned:
    """Train a reader in place: the right candidate against the others, by a softmax over each list.

    Args:
        reader: The reader.
        choices: What it learns from.
        steps: Steps, at least one.
        batch_size: Choices of a step.
        rate: Highest learning rate.
        seed: Of the order, and of dropout.

    Raises:
        UsageError: If choices are too few, or differ in how many candidates they have.
        TokenryError: If the loss is no number.
    """
    sizes = {len(one.others) for one in choices}
    if len(choices) < batch_size or len(sizes) != 1 or steps < 1:
        raise UsageError(
            f"tune_reader: {len(choices)} choices of {sorted(sizes)} candidates, steps={steps}; "
            f"give {batch_size} at least, all with as many candidates, and one step or more."
        )
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - an order
    optimizer = torch.optim.AdamW(reader.model.parameters(), lr=rate)
    with training(reader.model, seed):
        for step, chosen in enumerate(islice(rounds(len(choices), batch_size, draw), steps)):
            set_rate(optimizer, rate * share(step, steps, 0.1))
            some = [choices[i] for i in chosen]
            scores = reader.scores([(one.text, other) for one in some for other in one.others])
            right = torch.tensor([one.right for one in some], device=scores.device)
            loss = softmax_loss(scores.reshape(len(some), -1), right).mean()
            losses.append(number("tune_reader", loss, step, rate))
            descend(reader.model, loss, optimizer)
    seconds = time.perf_counter() - start
    return Tuned(method="softmax over lists", losses=tuple(losses), seconds=seconds, folder=None)
