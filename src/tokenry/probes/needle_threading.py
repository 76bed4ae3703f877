"""Needle threading: values to look up, and chains of them to follow, in a haystack of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import fmean
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Condition, In, Item, Measurement, Probe, Response, Score
from tokenry.method.probe import paired
from tokenry.ops import haystack
from tokenry.ops.answers import accuracy, effective_length

_LENGTHS = (1000, 2000, 3000, 4000, 6000, 8000, 10_000, 12_000, 16_000, 20_000, 24_000, 32_000)


@final
@dataclass(frozen=True, kw_only=True)
class NeedleThreading(Probe):
    """Looks up values in a JSON object of random pairs, or follows threads of them.

    Args:
        task: "single": the value of one key; "multiple": of several; "conditional": all values
            whose key holds an asterisk; "thread": each value is the next key, and the last value
            is asked for; "multi-thread": several threads at once.
        lengths: Lengths of the haystack in characters (paper: context length, in tokens).
        depths: How many depths, evenly from the first pair to the last, a single needle or a
            cluster takes.
        repeats: Haystacks for each length and depth.
        needles: Keys that are asked for at once.
        placement: Whether several needles stand anywhere or one after the other.
        steps: Pairs in a thread (paper: thread length).
        threads: Threads that are asked for at once.
        direction: Whether the next pair of a thread stands later in the text, earlier, or anywhere.
        digits: Hexadecimal digits of a key, for small models; None for UUIDs.
        threshold: Accuracy that the effective length asks for.

    Raises:
        UsageError: If a setting is out of range, or a haystack is too short for its needles.

    >>> len(NeedleThreading().items())
    660

    Source: Roberts et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="needle-threading",
        name="Needle Threading",
        title="Needle Threading: Can LLMs Follow Threads through Near-Million-Scale Haystacks?",
        summary="Asks a model for values, and chains of values, in a haystack of random pairs.",
        family="probes",
        have="a language model or a cache policy, and long contexts",
        want="to know from which length on it no longer finds or follows what stands there",
        dial="keep does not apply: a probe measures a model, with a cache policy or without",
        year=2024,
        arxiv="2411.05000",
        venue="ICLR 2025",
        code="https://github.com/jonathan-roberts1/needle-threading",
        code_license="MIT",
        claims=(
            Claim(
                paper="Following a thread is harder than finding a needle.",
                effect="Accuracy on single needles is higher than on threads of two steps.",
                test="tests/probes/test_needle_threading.py::test_claim_needles_before_threads",
                measured="0.27 (95 % interval 0.12 to 0.42) against 0.00, 33 items each, haystacks "
                "of 400 characters with digits=4. zoo:smollm2-135m.",
            ),
            Claim(
                paper="The longer a thread, the more seldom it is followed.",
                effect="Threads of two steps are followed more often than those of five.",
                test="tests/probes/test_thread_induction.py::test_claim_long_threads_get_lost",
                measured="1.00 of needles, 0.95 of threads of two, 0.79 of five; a two-layer model "
                "trained here, which writes step by step. zoo:smollm2-135m follows none of 24.",
            ),
            Claim(
                paper="Forward threads are easier than backward ones.",
                effect="Forward threads of five steps are followed more often than backward ones.",
                not_shown="The model trained here follows 0.79 forward and 0.88 backward ones.",
            ),
            Claim(
                paper="Many models follow several threads at once as well as one.",
                effect="Each of two threads is followed no less often than one alone.",
                test="tests/probes/test_thread_induction.py::"
                "test_claim_two_threads_are_followed_no_worse_than_one",
                measured="0.96 and 0.94 of 900 threads of two steps; the same two-layer model.",
            ),
            Claim(
                paper="Models use far shorter contexts well than they support; in the middle of "
                "a long one they find least.",
                effect="The effective length, at an accuracy of 0.75, is below the first that is "
                "tried, a small part of the model's positions.",
                test="tests/probes/test_needle_threading.py::test_claim_needles_before_threads",
                measured="Under 400 characters, where 0.27 is right (interval below 0.75); the "
                "model reads 8,192 tokens. zoo:smollm2-135m. Depths were not compared: three items "
                "each are too few.",
            ),
            Claim(
                paper="Tokenizers differ strongly in how many tokens they spend on UUIDs.",
                effect="The factor between characters per token of prose and of UUIDs differs.",
                test="tests/probes/test_characters_per_token.py::"
                "test_uuids_take_more_tokens_than_prose_and_by_different_factors",
                measured="4.1 (zoo:smollm2-135m), 3.5 (zoo:minilm-l6), 2.9 (DeepSeek V4).",
            ),
        ),
        differs=(
            "Default lengths are ours, up to 32,000 characters; the paper goes on to 630k tokens.",
            "Questions end with the beginning of an answer, so that any model can be asked.",
            "Surplus elements count against an answer, and one that cannot be read is wrong.",
            "digits=... makes short keys, which small models can copy.",
        ),
    )
    asks: ClassVar[Literal["answer", "surprisals", "state"]] = "answer"

    task: Annotated[haystack.Task, "what is asked"] = "single"
    lengths: Annotated[
        tuple[int, ...], In(100, 10_000_000), "the lengths of the haystack in characters"
    ] = _LENGTHS
    depths: Annotated[int, In(2, 101), "the number of depths of a needle or a cluster"] = 11
    repeats: Annotated[int, In(1, 1000), "the haystacks for each length and depth"] = 5
    needles: Annotated[int, In(2, 25), "the keys that are asked for at once"] = 3
    placement: Annotated[Literal["random", "clustered"], "where several needles stand"] = "random"
    steps: Annotated[int, In(2, 25), "the pairs in a thread"] = 2
    threads: Annotated[int, In(2, 25), "the threads that are asked for at once"] = 2
    direction: Annotated[Literal["forward", "backward", "random"], "where the next pair stands"] = (
        "forward"
    )
    digits: Annotated[int | None, In(2, 31), "the hexadecimal digits of a key, or UUIDs"] = None
    threshold: Annotated[
        float, In(0, 1, open="left"), "the accuracy that the effective length asks for"
    ] = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lengths:
            raise UsageError("NeedleThreading: lengths=() is empty; give at least one length.")
        fewest, most = self._pairs(min(self.lengths)), self._pairs(max(self.lengths))
        taken = {"single": 1, "multiple": self.needles, "conditional": self.needles}
        # Between two pairs of a thread stands at least one other pair.
        needed = taken.get(self.task, 2 * self._threads * self.steps - 1)
        if fewest < needed:
            raise UsageError(
                f"NeedleThreading: {min(self.lengths)} characters hold {fewest} pairs, and "
                f"{self.task} needs {needed}; ask for less, or for lengths of at least "
                f"{needed * self._width}."
            )
        if self.digits is not None and 4 * most > 16**self.digits:
            raise UsageError(
                f"NeedleThreading: digits={self.digits} makes too few keys for the {most} pairs "
                f"in {max(self.lengths)} characters; give more digits."
            )

    @property
    def _width(self) -> int:
        """Characters that one pair takes."""
        return 80 if self.digits is None else 2 * self.digits + 8

    @property
    def _threads(self) -> int:
        return self.threads if self.task == "multi-thread" else 1

    def _pairs(self, length: int) -> int:
        return length // self._width

    def items(self, seed: int = 0) -> tuple[Item, ...]:
        """One item for each length, depth (where the task has one) and repeat."""
        return tuple(
            self._item(f"{self.task}-{length}-{number}-{repeat}", length, depth, repeat, seed)
            for length in self.lengths
            for number, depth in enumerate(self._depths())
            for repeat in range(self.repeats)
        )

    def measure(self, items: Sequence[Item], responses: Sequence[Response]) -> Measurement:
        """Accuracy of each answer, and the effective length in characters and in tokens."""
        scores = tuple(
            Score(i.id, i.conditions, accuracy(r.answer, i.answers), {"tokens": float(r.tokens)})
            for i, r in paired(type(self).__name__, items, responses)
        )
        lengths = sorted({int(item.conditions["length"]) for item in items})
        groups = [[s for s in scores if s.conditions["length"] == n] for n in lengths]
        means = [fmean(score.value for score in group) for group in groups]
        tokens = [fmean(score.more["tokens"] for score in group) for group in groups]
        findings = {
            "effective characters": effective_length(lengths, means, self.threshold),
            "effective tokens": effective_length(tokens, means, self.threshold),
        }
        return Measurement("accuracy", "mean", ("length",), scores, findings)

    def _depths(self) -> tuple[float | None, ...]:
        if self.task == "single" or self._clustered:
            return tuple(i / (self.depths - 1) for i in range(self.depths))
        return (None,)

    @property
    def _clustered(self) -> bool:
        return self.task in ("multiple", "conditional") and self.placement == "clustered"

    def _item(self, name: str, length: int, depth: float | None, repeat: int, seed: int) -> Item:
        rng = Random(f"{seed}/{name}")  # noqa: S311 - haystacks, not secrets
        n = self._pairs(length)
        drawn = haystack.strings(rng, 2 * n, self.digits)
        keys, values = drawn[:n], drawn[n:]
        places = self._places(rng, n, depth)
        if self.task == "conditional":
            marked = haystack.marked_strings(rng, len(places), self.digits)
            for (place,), key in zip(places, marked, strict=True):
                keys[place] = key
        for thread in places:
            for here, there in pairwise(thread):
                values[here] = keys[there]
        return Item(
            id=name,
            context=haystack.text(list(zip(keys, values, strict=True))),
            rest=haystack.question(self.task, [keys[thread[0]] for thread in places]),
            conditions={"length": length, "pairs": n, "repeat": repeat, **self._fields(depth)},
            answers=tuple(values[thread[-1]] for thread in places),
        )

    def _places(self, rng: Random, n: int, depth: float | None) -> list[list[int]]:
        """Where the pairs of each thread stand; a needle is a thread of one pair."""
        if self.task in ("thread", "multi-thread"):
            return haystack.threads(rng, self._threads, self.steps, n, self.direction)
        if depth is None:
            found = rng.sample(range(n), self.needles)
        else:
            found = haystack.cluster(depth, 1 if self.task == "single" else self.needles, n)
        if self.task == "conditional":
            found.sort()  # the answers are asked for in the order of the text
        else:
            rng.shuffle(found)
        return [[place] for place in found]

    def _fields(self, depth: float | None) -> dict[str, Condition]:
        """What sets the items of these settings apart, besides length and repeat."""
        fields: dict[str, Condition] = {"task": self.task}
        if depth is not None:
            fields["depth"] = depth
        if self.task in ("multiple", "conditional"):
            fields |= {"needles": self.needles, "placement": self.placement}
        if self.task in ("thread", "multi-thread"):
            fields |= {"steps": self.steps, "direction": self.direction, "threads": self._threads}
        return fields
