"""Word-pooled tokenization: a word is read byte by byte, modelled as one, and spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from tokenry.card import Card, Claim
from tokenry.method import Pooling

_BLANK = r"[ \t\n\r\f\v]"
_SHOWN = r"[^ \t\n\r\f\v]"


@final
@dataclass(frozen=True, kw_only=True)
class WordPooling(Pooling):
    r"""Words between white space, one block of slots each, spelled from the block before.

    A word is all that stands between white space, with the one space before it, if there is one:
    `a`, ` word`. Any other run of white space is a word too, so that nothing is lost; a word of
    more than `longest` bytes is cut into chunks. Where a word ends is known from its own bytes and
    the next one.

    In the encoder, the slots and the bytes of a word all see each other and nothing else. In the
    main model, the slots of word $i$ see those of word $j$ for $j \le i$ and stand at position
    $i$. The decoder reads the slots of word $i$ and spells word $i + 1$ behind them, causally, up
    to a symbol that ends it. The loss is the mean of $-\ln p(u)$ over bytes and ends.

    Args:
        prefix: Slots of a word in the main model (paper: the number of CLS tokens n).
        longest: Most bytes of a word.
        encoder_layers: Layers that read the bytes of a word.
        decoder_layers: Layers that spell the next word.

    Raises:
        UsageError: If a setting is out of range.

    >>> WordPooling(longest=4).words(b"a  big word\n")
    [b'a', b'  ', b'big', b' wor', b'd', b'\n']
    >>> WordPooling(prefix=2).between(torch.ones(1, 2, dtype=torch.bool)).int().tolist()
    [[[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]]

    Source: Thawani et al. 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="word-pooling",
        name="Word-pooled tokenization",
        title="Learn Your Tokens: Word-Pooled Tokenization for Language Modeling",
        summary="A language model over words without a vocabulary: a small encoder pools the bytes "
        "of each word, a small decoder spells the next one.",
        family="vocab",
        have="a language model to train, and text of words between spaces",
        want="a main model that sees words, not bytes, and no vocabulary",
        dial="none: the main model reads prefix slots for each word, whatever the word's length",
        needs="training",
        year=2023,
        arxiv="2310.11628",
        venue="Findings of EMNLP 2023",
        code="https://github.com/avi-jit/etok",
        claims=(
            Claim(
                paper="More than 300 % better next-word accuracy than subword, byte and character "
                "models (abstract).",
                effect="More next words of pages that neither has seen than a byte model of as "
                "many parameters, trained on the same bytes in as many steps.",
                test="tests/vocab/test_word_pooling_claims.py::"
                "test_claim_more_next_words_from_the_same_bytes",
                measured="Of 8,076 words of manual pages 401, 401 and 424 by words and 259, 112 "
                "and 77 by bytes after 100 steps with three seeds, none of them rare. After 600 "
                "steps 465 and 411, 13 % more, far from 300 %; bits per byte 2.85, ends of words "
                "included, and 3.05. Llamas of 4 layers, 0.2 million parameters.",
            ),
            Claim(
                paper="30 times better on rare words (abstract).",
                effect="Words that training showed at most three times are foreseen more often.",
                not_shown="Neither model foresees them at this size: of 2,540 such words 1 by "
                "words and 3 by bytes, of 1,602 never shown none (recipes/word_pooling_toy.py, "
                "600 steps). That takes names copied from the text before, which models of 0.2 "
                "million parameters and two minutes of training do not do.",
            ),
            Claim(
                paper="The main model reads words, not bytes.",
                effect="As many positions of the main model as words, times prefix.",
                test="tests/plugs/test_pooling.py::test_main_model_reads_words_and_not_bytes",
                measured="Equal for prefix 1, 2 and 4. A word of manual pages has 6.0 bytes, "
                "chunks of at most 16 counted as words.",
            ),
        ),
        differs=(
            "A word keeps the one space before it, and all other white space forms words of its "
            "own; the paper splits at white space, which would lose runs of it.",
            "Units are bytes; the paper has characters too.",
            "A word of no bytes stands before each text and ends it, so that the first word is "
            "spelled like all others.",
            "Encoder and decoder have layers of the main model's architecture, whatever it is; the "
            "paper's are minGPT's. The defaults of prefix, longest and both depths are ours.",
            "Equal words of a batch are encoded once, which changes no result.",
            "Text without spaces is cut every `longest` bytes; put spaces between its words first.",
            "The official code was not read.",
        ),
    )

    pattern: ClassVar[str] = f" ?{_SHOWN}+|{_BLANK}+"

    def words(self, text: bytes) -> list[bytes]:
        """The words of a text, none empty; joined they are the text."""
        c, found = self.longest, re.findall(self.pattern.encode(), text)
        return [word[i : i + c] for word in found for i in range(0, len(word), c)]

    def inside(self, real: Bool[Tensor, "m c"]) -> Bool[Tensor, "m q q"]:
        """Slots and bytes of a word see all slots and all its bytes."""
        seen = torch.cat([real.new_ones(len(real), self.prefix), real], 1)
        return seen.unsqueeze(1).expand(-1, seen.shape[1], -1)

    def between(self, real: Bool[Tensor, "b w"]) -> Bool[Tensor, "b s s"]:
        """The slots of a word see all slots of it, and of the words before it that are real."""
        w = real.shape[1]
        same = torch.eye(w, dtype=torch.bool, device=real.device)
        seen = torch.ones_like(same).tril() & real.unsqueeze(1) | same
        return seen.repeat_interleave(self.prefix, 1).repeat_interleave(self.prefix, 2)

    def places(self, start: int, stop: int) -> Int[Tensor, " s"]:
        """The number of its word, for each slot."""
        return torch.arange(start, stop).repeat_interleave(self.prefix)

    def loss(self, logits: Float[Tensor, "*w v"], labels: Int[Tensor, "*w"]) -> Float[Tensor, ""]:
        """The mean cross-entropy of bytes and ends, in nats."""
        return cross_entropy(logits.flatten(0, -2).float(), labels.flatten(), ignore_index=-100)
