"""Less is better: units that are kept because they make the reading of text shorter."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Annotated, Any, ClassVar, final

from tokenizers import Tokenizer, models

from tokenry.alphabet import LETTERS, to_letters
from tokenry.card import Card, Claim
from tokenry.method import END, In, TokenizerTrainer
from tokenry.ops.byte_level import by_lines
from tokenry.ops.lexicon import Lexicon
from tokenry.progress import track


@final
@dataclass(frozen=True, kw_only=True)
class LessIsBetter(TokenizerTrainer):
    r"""Reads text again and again, and keeps the units that make it the fewest.

    The lexicon is a list, the best unit first. A line is read with the longest unit $c_1$ that
    begins what is left of it; $c_2$ is the second longest. Neighbours that are read twice in one
    document become a unit at the end of the list. Each $c_1$ is tested: if going on after $c_2$
    needs fewer unknown characters, or as many and fewer units, or as many and better ones, until
    both ways meet, then $c_1$ is punished and $c_2$ rewarded, else $c_1$ is rewarded. After the
    document a unit at place $i$ moves by $\lfloor i \delta \rfloor + 1$ places; one that passes
    the tail is forgotten, and so is one that was at the tail and did not prove itself in time.

    The tokenizer writes a line with the longest token that begins it, then the rest; tokens may
    hold spaces, and are in the order of the list, behind the end of a text and the 256 bytes.

    Args:
        size: Most tokens, special ones included; the best-placed units are taken.
        longest: Characters of the longest unit (the paper's code: max_len).
        remember: How likely two neighbours are noted (alpha, memory_in).
        step: Share of its place that a unit moves by (delta, update_rate).
        forget: Share of the list that is on probation after a document (omega, memory_out).
        life: Documents that a unit on probation has to prove itself.
        gap: Most unknown characters in a row that become a unit (mini_gap).
        lines: Lines of a document.
        documents: How many are read; when all were read, again in another order.
        seed: Of what is noted, and of the order of documents.

    Raises:
        UsageError: If a setting is out of range.

    Source: Yang 2024, section 5; Yang, Frank and van den Bosch 2020, section 2.
    """

    card: ClassVar[Card] = Card(
        slug="less-is-better",
        name="Less-is-Better",
        title="Rethinking Tokenization: Crafting Better Tokenizers for Large Language Models",
        summary="Learns units from parts of words to phrases by reading; keeps what shortens it.",
        family="vocab",
        have="texts",
        want="a vocabulary with phrases in it, that finds its own size",
        dial="none: there is no keep; `size` is a bound, and `forget` says how many units stay",
        year=2024,
        arxiv="2403.00417",
        venue="International Journal of Chinese Linguistics 2024",
        code="https://github.com/ray306/LiB",
        code_license="MIT",
        claims=(
            Claim(
                paper="On child-directed speech without spaces, borders between words are found "
                "with F1 rising from 51 % to over 80 % within some 400 documents, words to over "
                "60 %, with a lexicon of under 1,500 units (2020).",
                effect="Both rise by more than 20 points; the lexicon stays small.",
                test="tests/vocab/test_less_is_better.py::"
                "test_claim_words_are_found_without_spaces",
                measured="The same speech, three seeds (recipes/less_is_better_speech.py): borders "
                "from 0.52 to 0.54 up to 0.83, words from 0.11 to 0.15 up to 0.61 to 0.62, with "
                "994 to 1,041 units after 400 documents; without the ends of sentences, which none "
                "can miss, borders reach 0.78. The speech does not ship, so the test reads 2,139 "
                "sentences of manual pages, whose words are longer and rarer: 0.40 to 0.69, 0.11 "
                "to 0.45, 2,724 units.",
            ),
            Claim(
                paper="Units range from parts of words to phrases, and fewer tokens are needed "
                "than words.",
                effect="Over a tenth of the tokens hold a space; fewer are needed than BPE's.",
                test="tests/vocab/test_less_is_better.py::"
                "test_claim_units_hold_spaces_and_fewer_tokens_than_bpes_are_needed",
                measured="16 % of 8,000 tokens hold a space; 105,474 tokens against BPE's 111,190 "
                "on held-out Python sources, learned from 2.4 MB. Fewer than words only with more "
                "text: learned from 9 MB, 16,000 tokens write 960 kB with 204,488, BPE's with "
                "249,709, and it has 235,747 words. Learned from 380 kB of manual pages it needs "
                "7 % more than BPE on other lines of them (14,559 and 13,559).",
            ),
            Claim(
                paper="Without forgetting (omega = 0) the vocabulary grows by some 40 %.",
                effect="A vocabulary that never puts units on probation is over 15 % larger.",
                test="tests/vocab/test_less_is_better.py::"
                "test_claim_without_forgetting_the_vocabulary_grows",
                measured="2,519 units against 1,968 with forget=0.01, 28 % more, after 400 "
                "documents of 50 lines of manual pages; 9,016 against 6,691, 35 %, after 1,000 of "
                "200 lines. At the default of 1e-4 one unit a document is on probation, and 8,773 "
                "stay, 3 % fewer; of the speech above 4 % fewer after 1,500 documents.",
            ),
            Claim(
                paper="Better bits per character than words and BPE.",
                effect="A language model over its units needs fewer bits per character.",
                not_shown="Better than words, not than BPE. By counts of runs of three tokens 1.89 "
                "bits per byte, BPE's 1.83 and words (the rest by bytes) 2.14; by a small Llama "
                "2.43, 2.43 and 2.66. 4,000 tokens each, learned from manual pages in Turkish, "
                "whose other pages it writes with 3 % fewer tokens than BPE "
                "(recipes/vocabulary_worth.py).",
            ),
        ),
        differs=(
            "Units move one after the other, each from the place it has then. The official code "
            "looks for a unit from a place that earlier moves have made stale.",
            "A test is decided when the unit is read; the end of a line is a meeting too. The "
            "official code decides later in the line, and never when it ends first.",
            "Both ways count known units alike. The official code counts the unknown characters "
            "of the second way as units too.",
            "Single characters are never forgotten and never on probation; the official code can "
            "lose them, and then text is unknown.",
            "Characters of the first document are taken in order, and documents in an order that "
            "the seed decides; the official code goes through a set, and draws documents with "
            "replacement. Lines stand for sentences, cut at 512 characters.",
            "A vocabulary for any text: the 256 bytes are tokens, and `size` cuts the list.",
            "Skip-grams, which the official code can also learn, are left out.",
        ),
    )

    for_few_texts: ClassVar[Mapping[str, Any]] = {"documents": 50}

    longest: Annotated[int, In(2, 64), "characters of the longest unit"] = 12
    remember: Annotated[float, In(0, 1, open="left"), "how likely neighbours are noted"] = 0.25
    step: Annotated[float, In(0, 1), "share of its place that a unit moves by"] = 0.2
    forget: Annotated[float, In(0, 1), "share of the list that is on probation"] = 1e-4
    life: Annotated[int, In(1, 10_000), "documents that a unit on probation has"] = 10
    gap: Annotated[int, In(1, 64), "most unknown characters that become a unit"] = 2
    lines: Annotated[int, In(1, 1_000_000), "lines of a document"] = 200
    documents: Annotated[int, In(1, 10_000_000), "documents that are read"] = 1000
    seed: Annotated[int, In(0, 2**31 - 1), "of what is noted, and of the order"] = 0

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If `size` is below 257, or the texts hold nothing to learn from.
        """
        room = self.room(1 + len(LETTERS))
        units = (to_letters(unit.encode()) for unit in self.learn(texts))
        tokens = [END, *LETTERS, *islice((unit for unit in units if len(unit) > 1), room)]
        vocab = {token: place for place, token in enumerate(tokens)}
        model = models.WordPiece(
            vocab, unk_token=END, continuing_subword_prefix="", max_input_chars_per_word=10**9
        )
        tokenizer = by_lines(model)
        tokenizer.add_special_tokens([END])
        return tokenizer

    def learn(self, texts: Iterable[str]) -> list[str]:
        """The units learned from texts, the best first.

        Raises:
            UsageError: If the texts hold nothing to learn from.
        """
        split = by_lines(models.WordPiece({END: 0}, unk_token=END)).pre_tokenizer
        every = [
            text[start:stop]
            for text in self.some(texts)
            for _, (start, stop) in split.pre_tokenize_str(text)
        ]
        documents = [every[i : i + self.lines] for i in range(0, len(every), self.lines)]
        source = random.Random(self.seed)  # noqa: S311 - which neighbours are noted, no secret
        lexicon = Lexicon(self, source)
        reading = islice(_shuffled(documents, source), self.documents)
        bar = track(reading, self.card.slug, total=self.documents)
        for number, document in enumerate(bar):
            if not number:
                lexicon.begin(document)
            lexicon.read(document)
        return lexicon.units


def parts(unit: str, places: Mapping[str, int]) -> tuple[str, ...]:
    """The two units that a unit falls into, if both have better places than it; else itself.

    Of several ways the one with the best first place is taken.

    Args:
        unit: A unit.
        places: The place of each unit, the best lowest.
    """
    cuts = ((unit[:i], unit[i:]) for i in range(1, len(unit)))
    better = [cut for cut in cuts if all(places.get(part, inf) < places[unit] for part in cut)]
    return min(better, key=lambda cut: (places[cut[0]], places[cut[1]]), default=(unit,))


def _shuffled(documents: list[list[str]], source: random.Random) -> Iterator[list[str]]:
    """All documents in some order, then in another, without end."""
    while True:
        yield from source.sample(documents, len(documents))
