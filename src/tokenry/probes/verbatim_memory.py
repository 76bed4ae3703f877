"""Verbatim memory: a list of nouns, other text, the list again; how much less surprising is it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from statistics import fmean
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Condition, In, Item, Measurement, Probe, Response, Score
from tokenry.method.probe import paired
from tokenry.probes import stimuli

SECOND = ("repeat", "permute", "novel")
"""What the second list is: the first one, its words in another order, or other words."""

_PREFACE, _PROMPT = (
    "Before the appointment, Anna wrote down the following words:",
    "When everyone was ready, Anna read the words aloud:",
)
_SHORT_PREFACE, _SHORT_PROMPT = "Anna wrote:", "Anna read:"


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
        claims=(
            Claim(
                paper="In transformers a repeated list is far less surprising, a permuted one "
                "somewhat, a new one not.",
                effect="Median repeat surprisal: repeat < permute < novel.",
                test="tests/probes/test_induction.py::"
                "test_claim_a_transformer_remembers_words_and_their_order",
                measured="12.7, 100.9 and 112.2 in a two-layer transformer trained on lists of "
                "ten, 230 lists each; 6.2 (95 % interval 5.3 to 7.7), 35.8 (33.8 to 40.1) and 94.9 "
                "(93.0 to 98.1) in zoo:smollm2-135m, 90 items, lists of five.",
            ),
            Claim(
                paper="A recurrent model remembers less.",
                effect="A GRU of the same size and training has a higher repeat surprisal.",
                test="tests/probes/test_induction.py::test_claim_a_gru_of_its_size_remembers_less",
                measured="92.3 (permute 93.0, novel 102.7) against the transformer's 12.7.",
            ),
            Claim(
                paper="Retrieval is gone when the learned attention patterns are randomised.",
                effect="With each query's attention weights shuffled over the positions, repeat "
                "surprisal returns to about 100.",
                test="tests/probes/test_induction.py::"
                "test_claim_without_its_attention_pattern_nothing_is_remembered",
                measured="97.0, from 12.7, in the same transformer.",
            ),
            Claim(
                paper="Nearly independent of the delay.",
                effect="The same repeat surprisal after a longer text.",
                not_shown="It rises a little: 9.2 (7.0 to 10.9) after 200 words and marks, from "
                "6.2 (5.3 to 7.7) after 33. zoo:smollm2-135m, 10 and 27 items.",
            ),
            Claim(
                paper="Memory grows with the layers of a transformer and the text it has read.",
                effect="Lower repeat surprisal in a deeper model, and after longer training.",
                not_shown="Only two transformers were measured, which differ in everything.",
            ),
        ),
        differs=(
            "Nouns, lists and texts are our own; the official ones have no licence.",
            "A delay counts words and punctuation marks, not one model's tokens, and ends with a "
            "sentence.",
            "A word's surprisal is the sum over the tokens that hold one of its characters, by the "
            "tokenizer's offsets; no beginning-of-text token stands in front unless asked for.",
        ),
    )
    asks: ClassVar[Literal["answer", "surprisals", "state"]] = "surprisals"

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
        lists = stimuli.base_lists(self.pool, seed)
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
        first = stimuli.shifted(lists[number], shift)[:length]
        other = lists[(number + rng.randrange(1, len(lists))) % len(lists)]
        second = {
            "repeat": lambda: first,
            "permute": lambda: stimuli.permuted(rng, first),
            "novel": lambda: stimuli.shifted(other, shift)[:length],
        }[kind]()
        between = stimuli.between(self.context, delay, rng)
        short = self.context == "short"
        preface, prompt = (_SHORT_PREFACE, _SHORT_PROMPT) if short else (_PREFACE, _PROMPT)
        context = f"{preface} {', '.join(first)}.{between}"
        second_at = len(f"{context} {prompt} ")
        conditions: dict[str, Condition] = {
            "length": length,
            "delay": stimuli.size(between),
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
            words=(*stimuli.spans(first, len(preface) + 1), *stimuli.spans(second, second_at)),
        )
