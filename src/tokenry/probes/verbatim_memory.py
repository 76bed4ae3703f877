"""Verbatim memory: a list of nouns, other text, the list again; how much less surprising is it?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Annotated, Any, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Condition, In, Item, Measurement, Probe, Response, Score
from tokenry.method.probe import Span, paired

SECOND = ("repeat", "permute", "novel")
"""What the second list is: the first one, its words in another order, or other words."""

_PREFACE, _PROMPT = (
    "Before the appointment, Anna wrote down the following words:",
    "When everyone was ready, Anna read the words aloud:",
)
_SHORT_PREFACE, _SHORT_PROMPT = "Anna wrote:", "Anna read:"


@cache
def _stimuli() -> Any:
    return json.loads(Path(__file__).with_name("stimuli.json").read_text(encoding="utf-8"))


def base_lists(pool: Literal["arbitrary", "semantic"], seed: int = 0) -> list[list[str]]:
    """23 lists of ten nouns, each noun in one of them.

    Args:
        pool: "semantic": the nouns of one category; "arbitrary": of ten different ones.
        seed: Of the order, and of what stands together.
    """
    rng = Random(f"{seed}/{pool}")  # noqa: S311 - lists, not secrets
    nouns = _stimuli()["nouns"].values()
    categories = [rng.sample(words.split(), 10) for words in nouns]
    if pool == "semantic":
        return categories
    offsets = rng.sample(range(len(categories)), 10)
    return [
        [categories[(i + offset) % len(categories)][j] for j, offset in enumerate(offsets)]
        for i in range(len(categories))
    ]


def shifted(words: Sequence[str], shift: int) -> list[str]:
    """The last `shift` words come first.

    >>> shifted(["a", "b", "c"], 1)
    ['c', 'a', 'b']
    """
    cut = len(words) - shift
    return [*words[cut:], *words[:cut]]


def size(text: str) -> int:
    """Words and punctuation marks of a text."""
    return len(re.findall(r"\w+|[^\w\s]", text))


@final
@dataclass(frozen=True, kw_only=True)
class VerbatimMemory(Probe):
    r"""Compares the surprisal of a list of nouns with that of the same list some text later.

    Repeat surprisal is $100\,\bar s_2 / \bar s_1$ with the mean surprisal of the nouns in the
    second and in the first list: 100 when nothing is remembered, 0 when all is.

    Args:
        lengths: Nouns in a list.
        delays: Words and punctuation marks between the lists (paper: intervening text length,
            in tokens); whole sentences, the first ones that reach the number.
        context: The text between the lists: "intact" goes on with the scene, "incongruent" does
            not belong to it, "scrambled" is the intact one in random order, "short" is none.
        pool: Nouns of ten categories in a list, or of one.
        skip_first: Leave the first noun of each list out: nothing can predict it.

    Raises:
        UsageError: If a setting is out of range.

    >>> len(VerbatimMemory().items())
    690

    Source: Armeni et al. 2022, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="verbatim-memory",
        name="Verbatim memory",
        title="Characterizing Verbatim Short-Term Memory in Neural Language Models",
        summary="Measures how much less surprising a list of nouns is when it comes again.",
        family="probes",
        have="a language model or a cache policy",
        want="to know whether it still remembers earlier words and their order, in a minute",
        dial="keep does not apply: a probe measures a model, with a cache policy or without",
        year=2022,
        arxiv="2210.13569",
        venue="CoNLL 2022",
        code="https://github.com/KristijanArmeni/verbatim-memory-in-NLMs",
        claims=(Claim(paper="x", effect="y", not_shown="z"),),
        differs=(),
    )
    asks: ClassVar[Literal["answer", "surprisals"]] = "surprisals"

    lengths: Annotated[tuple[int, ...], In(2, 10), "the nouns in a list"] = (5,)
    delays: Annotated[
        tuple[int, ...], In(1, 435), "the words and punctuation marks between the lists"
    ] = (26,)
    context: Annotated[
        Literal["intact", "incongruent", "scrambled", "short"], "the text between the lists"
    ] = "intact"
    pool: Annotated[Literal["arbitrary", "semantic"], "which nouns stand together"] = "arbitrary"
    skip_first: Annotated[bool, "whether the first noun of each list is left out"] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lengths", "delays"):
            if not getattr(self, name):
                raise UsageError(f"VerbatimMemory: {name}=() is empty; give at least one number.")
        if self.context == "short" and len(self.delays) > 1:
            raise UsageError(
                f"VerbatimMemory: delays={self.delays} with context='short', which has no text "
                "between the lists; give one of them."
            )

    def items(self, seed: int = 0) -> tuple[Item, ...]:
        """230 items for each length, delay and kind of second list: every noun in every place."""
        lists = base_lists(self.pool, seed)
        return tuple(
            self._item(lists, number, shift, length, delay, kind, seed)
            for length, delay, kind in product(self.lengths, self.delays, SECOND)
            for number, shift in product(range(len(lists)), range(10))
        )

    def measure(self, items: Sequence[Item], responses: Sequence[Response]) -> Measurement:
        """Repeat surprisal of each item.

        Raises:
            UsageError: If a response does not fit its item, or its first list is no surprise.
        """
        scores = tuple(
            self._score(item, response.surprisals)
            for item, response in paired(type(self).__name__, items, responses)
        )
        return Measurement("repeat surprisal", "median", ("length", "delay", "second"), scores)

    def _score(self, item: Item, surprisals: Sequence[float]) -> Score:
        half = len(surprisals) // 2
        first, second = (
            fmean(part[self.skip_first :]) for part in (surprisals[:half], surprisals[half:])
        )
        if not first > 0:
            raise UsageError(
                f"VerbatimMemory: {item.id}: the first list has a surprisal of {first}; a model "
                "that foresees random nouns cannot be measured. Look for a leak of later tokens."
            )
        more = {"first": first, "second": second, "contrast": (second - first) / (second + first)}
        return Score(item.id, item.conditions, 100 * second / first, more)

    def _item(
        self,
        lists: list[list[str]],
        number: int,
        shift: int,
        length: int,
        delay: int,
        kind: str,
        seed: int,
    ) -> Item:
        name = f"{self.pool}-{self.context}-{length}-{delay}-{kind}-{number}-{shift}"
        rng = Random(f"{seed}/{name}")  # noqa: S311 - stimuli, not secrets
        first = shifted(lists[number], shift)[:length]
        other = lists[(number + rng.randrange(1, len(lists))) % len(lists)]
        second = {
            "repeat": lambda: first,
            "permute": lambda: _permuted(rng, first),
            "novel": lambda: shifted(other, shift)[:length],
        }[kind]()
        between = self._between(delay, rng)
        short = self.context == "short"
        preface, prompt = (_SHORT_PREFACE, _SHORT_PROMPT) if short else (_PREFACE, _PROMPT)
        context = f"{preface} {', '.join(first)}.{between}"
        second_at = len(f"{context} {prompt} ")
        conditions: dict[str, Condition] = {
            "length": length,
            "delay": size(between),
            "second": kind,
            "context": self.context,
            "pool": self.pool,
            "list": number,
            "shift": shift,
        }
        return Item(
            id=name,
            context=context,
            rest=f" {prompt} {', '.join(second)}.",
            conditions=conditions,
            words=(*_spans(first, len(preface) + 1), *_spans(second, second_at)),
        )

    def _between(self, delay: int, rng: Random) -> str:
        """The text between the lists, with the space before it."""
        if self.context == "short":
            return ""
        sentences = _stimuli()["incongruent" if self.context == "incongruent" else "intact"]
        text = ""
        while size(text) < delay:
            text, sentences = f"{text} {sentences[0]}", sentences[1:]
        if self.context == "scrambled":
            words = text.split()
            return "".join(f" {word}" for word in rng.sample(words, len(words)))
        return text


def _permuted(rng: Random, words: list[str]) -> list[str]:
    found = words
    while found == words:
        found = rng.sample(words, len(words))
    return found


def _spans(words: Sequence[str], start: int) -> Iterator[Span]:
    """Where the words of a list stand that begins at `start`."""
    for word in words:
        yield start, start + len(word)
        start += len(word) + len(", ")
