"""Many answers of one model to one question, and several ways of reasoning with a vote."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import LIST, WAYS, Form, Navigator
from tokenry.ops.answers import first_number
from tokenry.plugs.stem import Stem

_BATCH = 16  # answers that are completed at once
SUFFIX = "\n\nThe answer, as a number: "
"""What asks for the final answer of a way of reasoning."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and how it was come by.

    Attributes:
        text: The answer, without the mark that ends it; empty when nothing was written.
        first: Text of its first token.
        token: Id of its first token.
        rank: Place of the first token in the ranking that it was taken from, from 1 on.
        round: Which ranking that was, from 1 on.
        closed: Whether the model ended it; else it was cut after `Form.length` tokens.
    """

    text: str
    first: str
    token: int
    rank: int
    round: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was found.

    Attributes:
        question: The question.
        answers: One per probed first token, in the order of the probes.
        shifts: For each round after the first: by how much the scores of the first tokens that
            were tried before rise on average through the answers in the prompt. Less than 0: the
            answers steer away from them. Empty for the baselines.
    """

    question: str
    answers: tuple[Answer, ...]
    shifts: tuple[float, ...]

    @property
    def distinct(self) -> tuple[str, ...]:
        """The answers, each once, in the order they were found."""
        return tuple(dict.fromkeys(answer.text for answer in self.answers if answer.text))


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Several ways to one answer.

    Attributes:
        ways: The ways.
        numbers: The final answer of each way; None where it wrote no number.
        answer: The number that most ways arrive at; of equals, the one found first.
    """

    ways: Exploration
    numbers: tuple[str | None, ...]
    answer: str


def explore(
    model: Any,
    tokenizer: Any,
    question: str,
    count: int = 20,
    method: str | Navigator = "icn",
    *,
    form: Form = LIST,
    seed: int = 0,
    temperature: float = 1.0,
    **settings: Any,
) -> Exploration:
    """Find many answers to one question.

    The question is encoded once. All answers are completed from there, in batches; the answers
    found so far are only read to rank the first tokens of the next round.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        question: A question or instruction: "Name a colour."
        count: How many first tokens to probe; the answers are as many, some perhaps equal.
        method: Name of a rule, or a configured instance.
        form: How answers stand in the prompt.
        seed: Of the draws, for a rule that draws.
        temperature: Of the draws.
        **settings: Settings of the rule, when it is given by name: `strategy="top"`.

    Returns:
        The answers, with their first tokens, ranks and rounds.

    Raises:
        UnsupportedModelError: If the model does not continue texts.
        UsageError: If nothing was answered, the question is empty or too long, `count` is not
            positive, or the tokenizer is another model's.
        UnknownNameError: If no rule has this name.
    """
    if count < 1:
        raise UsageError(f"explore: count={count} is less than 1; it is a number of answers.")
    rule = catalog.configured(method, Navigator, "explore", **settings)
    stem = Stem(model, tokenizer, form.write(_asked(question)))
    shifts: list[float] = []
    if rule.draws:
        found = _drawn(stem, form, count, seed, temperature)
    else:
        found, shifts = _navigated(stem, rule, question, form, count)
    if not any(answer.text for answer in found):
        raise UsageError(
            f"explore: nothing was written before the mark {form.closing!r} in {len(found)} "
            "tries; the model does not follow this form. Word the question otherwise, or give "
            "another form."
        )
    return Exploration(question, tuple(found), tuple(shifts))


def reason(
    model: Any,
    tokenizer: Any,
    question: str,
    ways: int = 4,
    method: str | Navigator = "icn",
    *,
    suffix: str = SUFFIX,
    **settings: Any,
) -> Reasoning:
    """Answer a question with a number by the vote of several ways of reasoning.

    Each way begins with another first token, ranked with the ways before it in the prompt.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        question: A question whose answer is a number.
        ways: How many ways.
        method: Name of a rule, or a configured instance.
        suffix: What asks for the final answer behind each way.
        **settings: What `explore` takes, and settings of the rule when it is given by name; one
            way per ranking unless `per_round` says otherwise.

    Returns:
        The ways, their numbers and the vote.

    Raises:
        UsageError: As `explore` does; also if no way ends with a number.
    """
    if isinstance(method, str):
        settings.setdefault("per_round", 1)
    form = settings.setdefault("form", WAYS)
    found = explore(model, tokenizer, question, ways, method, **settings)
    stem = Stem(model, tokenizer, form.write(question))
    numbers = []
    for answer in found.answers:
        stem.move(form.write(question) + answer.text + suffix)
        first = int(stem.scores.argmax())
        ((text, _),) = stem.complete([first], "\n", 16)
        numbers.append(first_number(text))
    votes = Counter(number for number in numbers if number is not None)
    if not votes:
        raise UsageError(
            f"reason: none of {len(numbers)} ways ends with a number; the model does not follow "
            "the suffix. Give another suffix, or a question whose answer is a number."
        )
    return Reasoning(found, tuple(numbers), votes.most_common(1)[0][0])


def _navigated(
    stem: Stem, rule: Navigator, question: str, form: Form, count: int
) -> tuple[list[Answer], list[float]]:
    """Round for round: rank with the answers in the prompt, complete without them."""
    walk = stem.fork()
    found: list[Answer] = []
    shifts = []
    while len(found) < count:
        shown = rule.shown([answer.text for answer in found if answer.text])
        walk.move(form.write(question, shown))
        probed = [answer.token for answer in found]
        if shown:
            shifts.append(float((walk.scores - stem.scores)[probed].mean()))
        tried = {answer.first for answer in found}
        new = rule.first_tokens(walk.ranking(), tried, count - len(found), form.closing)
        if not new:
            break
        number = found[-1].round + 1 if found else 1
        found += _completed(stem, new, walk.scores, number, form, 0.0)
    return found, shifts


def _drawn(stem: Stem, form: Form, count: int, seed: int, temperature: float) -> list[Answer]:
    if temperature <= 0:
        raise UsageError(f"explore: temperature={temperature} is not positive; draws need it.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chances = (stem.scores / temperature).softmax(-1)
        first = chances.multinomial(count, replacement=True).tolist()
        return _completed(stem, first, stem.scores, 1, form, temperature)


def _completed(
    stem: Stem,
    tokens: list[int],
    scores: Float[Tensor, " v"],
    number: int,
    form: Form,
    temperature: float,
) -> list[Answer]:
    found = []
    for start in range(0, len(tokens), _BATCH):
        part = tokens[start : start + _BATCH]
        texts = stem.complete(part, form.closing, form.length, temperature)
        for token, (text, closed) in zip(part, texts, strict=True):
            rank = int((scores > scores[token]).sum()) + 1
            found.append(Answer(text, stem.text(token), token, rank, number, closed))
    return found


def _asked(question: str) -> str:
    if not question.strip():
        raise UsageError("explore: the question is empty; ask for something.")
    return question
