"""Mirror-BERT: a masked language model becomes an encoder by telling strings apart."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.method import Batch, In, Losses, PairObjective
from tokenry.ops.contrastive import in_batch


@final
@dataclass(frozen=True, kw_only=True)
class MirrorBert(PairObjective):
    r"""Each string is paired with itself, read twice under dropout, once with a span masked.

    Over the $2B$ vectors $f_i$ of a batch, both views of each string, the loss is the mean of

    .. math:: -\ln \frac{\exp(\cos(f_i, f_{i'}) / \tau)}{\sum_{j \ne i} \exp(\cos(f_i, f_j) / \tau)}

    where $i'$ is the other view of string $i$. In the view to the right, `span` characters of a
    string of at least `shortest` become `mask` between blanks, wherever they stand. The defaults
    are those for sentences; for words take `span=0, temperature=0.2`.

    Args:
        temperature: Divides the cosines (paper: $\tau$, 0.04 for sentences, 0.2 for words).
        span: Characters that are masked (paper: k); 0 for none.
        shortest: Characters that a string must have to be masked.
        mask: What the tokenizer of the model writes for a mask.
        drophead: Share of the attention heads that is dropped while training, in place of dropout;
            0 leaves dropout. The way to two views for models without dropout.

    Raises:
        UsageError: If a setting is out of range.

    >>> MirrorBert(shortest=10).pair("cat", "a longer string", Random(1))
    ('cat', 'a  [MASK] r string')

    Source: Liu et al. 2021, section 2.
    """

    card: ClassVar[Card] = Card(
        slug="mirror-bert",
        name="Mirror-BERT",
        title="Fast, Effective, and Self-Supervised: Transforming Masked Language Models into "
        "Universal Lexical and Sentence Encoders",
        summary="Turns a masked language model into an encoder of words or sentences in under a "
        "minute, from raw strings alone.",
        family="retrieval",
        have="a masked language model, and strings without labels",
        want="vectors of words or sentences whose cosine says how alike they are",
        dial="none: it trains an encoder",
        needs="training",
        year=2021,
        arxiv="2104.08027",
        venue="EMNLP 2021",
        code="https://github.com/cambridgeltl/mirror-bert",
        code_license="MIT",
        claims=(
            Claim(
                paper="Vectors become more evenly spread, and two views of a string end nearest to "
                "each other.",
                effect="The mean cosine of strings drawn at random falls, and of 64 strings read "
                "twice under dropout nearly all find themselves.",
                test="tests/plugs/test_tuning.py::test_claim_strings_come_apart",
                measured="In a BERT of two layers by more than .2, over .95 find themselves. With "
                "MiniLM's lower layers from .66 to .40 for words, 40 steps of 64.",
            ),
            Claim(
                paper="Tuned on 10,000 raw strings, a masked language model comes close to "
                "encoders that were tuned with labels (abstract).",
                effect="Human similarity judgements are met better than by the raw model.",
                not_shown="Not from a raw model made in minutes: MiniLM's three lower "
                "layers under a new one, 300 steps of masked language modelling "
                "(recipes/mirror_bert_minilm.py). Spearman on WordSim-353/SimLex-999/Lee .613/"
                ".400/.335 before and .609/.330/.339 after 40 steps of 64 words (mean), .535/.378/"
                ".254 and .293/.183/.146 after 50 (cls). Its lower layers know similar words "
                "already, which BERT's do not, and batches are a third of the paper's. Nor from "
                "SmolLM2's four lower layers, 40 steps with a tenth of the heads dropped: .179/"
                "-.072/.355 and .177/-.071/.361; its vectors all but coincide (mean cosine .997), "
                "and the loss stays that of vectors that do (recipes/mirror_bert_smollm2.py). "
                "Nor for sentences from a BERT of three layers and width 128, 700 steps of masked "
                "language modelling from nothing, 50 steps of 64 (recipes/mirror_bert_small.py): "
                "STS-B .505 and .501 (-.004 [-.021, +.013]), Lee .119 and .063 (mean); STS-B .381 "
                "and .206 (cls). A masked language model that learned for days is the case to try.",
            ),
        ),
        differs=(
            "The span that was drawn is masked; released code masks the first place where the same "
            "characters stand.",
            "The mean is over real tokens; the paper's, over padding too, depends on the length "
            "that texts are padded to.",
            "Equal strings of a batch are not told from each other.",
            "A text of which drophead would leave no head keeps all; the released code divides by "
            "zero.",
        ),
    )

    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.04
    span: Annotated[int, In(0, 1000), "the characters that are masked on one side"] = 5
    shortest: Annotated[int, In(0, 100_000), "the characters of the shortest string masked"] = 30
    mask: Annotated[str, "how the tokenizer writes a mask"] = "[MASK]"
    drophead: Annotated[float, In(0, 1, open="right"), "the share of heads that is dropped"] = 0.0

    @property
    def heads_dropped(self) -> float:
        """Share of the attention heads that training drops in place of dropout."""
        return self.drophead

    def pair(self, left: str, right: str, draw: Random) -> tuple[str, str]:
        """Both texts, a span of the right one masked."""
        room = len(right) - self.span
        if not self.span or len(right) < self.shortest or room < 1:
            return left, right
        start = draw.randrange(room)
        return left, f"{right[:start]} {self.mask} {right[start + self.span :]}"

    def loss(self, batch: Batch) -> Losses:
        """The mean over both views of all strings."""
        return Losses(
            total=in_batch(
                batch.vectors["left"],
                batch.vectors["right"],
                temperature=self.temperature,
                against="views",
                groups=batch.groups,
            )
        )
