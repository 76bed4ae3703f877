"""DupMAE: a sentence is rebuilt from its first token, and its words from all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from tokenry.card import Card, Claim
from tokenry.method import Batch, DuplexObjective, In, Losses
from tokenry.ops.similarity import unit


@final
@dataclass(frozen=True, kw_only=True)
class DupMAE(DuplexObjective):
    r"""Pre-training for retrieval with two weak decoders, and a vector of two parts.

    The encoder reads a text with `encoder_share` of its words masked. The loss is
    $L_{mlm} + w_d L_{dec} + w_b L_{bag}$: what the encoder says of masked tokens; what a decoder
    of one layer says of every token, from the vector of [CLS] and those words that its row sees;
    and what the other tokens together say of the words of the text,
    $-\frac1n \sum_{t \in \mathrm{set}(x)} \ln \mathrm{softmax}(\mu)_t$, where $\mu$ is the
    greatest logit of each word over the $n$ tokens. `tokenry.plugs.duplex` makes the batch: the
    views `masked` (logits of the encoder), `decoded` and `bag` ($\mu$).

    A text is then the vector of [CLS] beside the `kept` greatest entries of $\mu$, and the
    similarity is the sum of both products.

    Args:
        encoder_share: Words that the encoder does not see.
        decoder_share: Words that a row of the decoder does not see.
        patterns: Sets of words to see that are drawn for a text; each row takes one of them.
        decode: Weight of the decoder.
        bag: Weight of the bag of words (released code: 0.1).
        kept: Entries of the bag of words in the vector of a text. In half precision, with words
            as 16-bit numbers, one takes as much as two channels.

    Raises:
        UsageError: If a setting is out of range.

    Source: Xiao and Liu 2022; Liu, Xiao, Shao and Cao 2023 (RetroMAE-2), section 3.
    """

    card: ClassVar[Card] = Card(
        slug="dupmae",
        name="DupMAE",
        title="RetroMAE v2: Duplex Masked Auto-Encoder For Pre-Training Retrieval-Oriented "
        "Language Models",
        summary="Pre-trains a text encoder for retrieval: its first token must rebuild the text, "
        "the others must name its words.",
        family="retrieval",
        have="a masked language model, and texts of one's own without labels",
        want="an encoder that retrieves, by a vector and by words",
        dial="none: it trains an encoder",
        needs="training",
        year=2022,
        arxiv="2211.08769",
        venue="ACL 2023, as RetroMAE-2",
        code="https://github.com/staoxiao/RetroMAE",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="The decoder on [CLS] does not see the token that it predicts, and so learns "
                "from all tokens of a text (RetroMAE).",
                effect="The gradient of each row at its own token is zero, and not at those that "
                "it sees; every token that is no special one has a label.",
                test="tests/plugs/test_duplex.py::test_a_row_does_not_see_its_own_token",
                measured="All rows of a text of 11 tokens, in a BERT of two layers.",
            ),
            Claim(
                paper="Rebuilding from [CLS] makes a better retriever than masked language "
                "modelling: BEIR nDCG@10 .452 (RetroMAE) and .371 (BERT).",
                effect="After as many steps on the same texts, [CLS] finds more pages.",
                not_shown="Without a test, since the pages do not ship, and only in comparison: "
                "nDCG@10 of [CLS] .072 with RetroMAE and .022 with masked language modelling "
                "(+.050 [+.034, +.067]) on 754 manual pages, but .137 before any training: 120 "
                "steps of 16 texts, a BERT of two layers whose words begin with MiniLM's vectors "
                "(recipes/dupmae_pages.py), unlearn more than they teach. With words at random, "
                "too, [CLS] is at chance after 1,200 steps of masked language modelling (.013).",
            ),
            Claim(
                paper="Both decoders together are better: .477 and .452.",
                effect="The vector of two parts finds more than either part.",
                not_shown="Not after those 120 steps, and without fine-tuning: [CLS] .053, the bag "
                "of words .063, both .053 with both decoders; .072, .082 and .072 with the first "
                "alone (-.019 [-.037, -.000] for [CLS]). Before any training both together are "
                "better than either: .155, and .137 and .108.",
            ),
        ),
        differs=(
            "The bag's weights are 1/n for each word that stands in the text, as released; the "
            "paper sums over the words.",
            "Both decoders weigh 1, as in the paper; released code weighs the bag by 0.1.",
            "The decoder's layer is our own, of the encoder's width and heads; queries are [CLS] "
            "plus positions, as in the first release.",
            "Words are what the tokenizer splits a text into before it looks for pieces; the "
            "released collator joins pieces that begin with ##.",
            "The linear map of [CLS] to half its width, which the paper adds in fine-tuning, is "
            "left to fine-tuning; `similarity` takes vectors of any width.",
        ),
    )

    decoder_share: Annotated[float, In(0, 1), "the words hidden from a row of the decoder"] = 0.5
    patterns: Annotated[int, In(1, 100_000), "the sets of words to see that are drawn"] = 256
    kept: Annotated[int, In(1, 1_000_000), "the words that stand in the vector of a text"] = 384

    def hidden(
        self, words: Int[Tensor, "b n"], share: float, draw: Generator
    ) -> Bool[Tensor, "b n"]:
        """Whole words that are not seen: this share of each text's, rounded, at least one.

        Args:
            words: The word that each token belongs to, rising; -1 for none (special, padding).
            share: Of the words.
            draw: Chooses.
        """
        b, n = words.shape
        luck = torch.rand(b, max(n, 1), generator=draw)  # one number for each word
        counts = (words.amax(1) + 1).clamp(min=0)
        luck = luck.masked_fill(torch.arange(luck.shape[1]) >= counts[:, None], torch.inf)
        take = (counts * share).round().clamp(min=1 if share else 0).minimum(counts)
        rank = luck.argsort(1).argsort(1)
        return (rank < take[:, None]).gather(1, words.clamp(min=0)) & (words >= 0)

    def visible(
        self, words: Int[Tensor, "b n"], real: Bool[Tensor, "b n"], draw: Generator
    ) -> Bool[Tensor, "b n n"]:
        """What each row of the decoder sees: one of the sets drawn, and never itself.

        Args:
            words: The word that each token belongs to; -1 for none.
            real: Which tokens are no padding.
            draw: Chooses.
        """
        b, n = words.shape
        count = min(self.patterns, n)
        some = words.repeat_interleave(count, 0)
        unseen = self.hidden(some, self.decoder_share, draw).view(b, count, n)
        row = torch.randint(count, (b, n), generator=draw)
        seen = ~unseen[torch.arange(b)[:, None], row] & real[:, None]
        return seen & ~torch.eye(n, dtype=torch.bool)

    def loss(self, batch: Batch) -> Losses:
        """The weighted sum of three; a view that is not there counts nothing."""
        parts = {
            view: cross_entropy(
                batch.vectors[view].flatten(0, 1).float(), batch.labels[view].flatten()
            )
            for view in ("masked", "decoded")
            if view in batch.vectors
        }
        if "bag" in batch.vectors:
            parts["bag"] = bag_loss(batch.vectors["bag"], batch.labels["decoded"])
        weights = {"masked": 1.0, "decoded": self.decode, "bag": self.bag}
        total = torch.stack([weights[view] * part for view, part in parts.items()]).sum()
        return Losses(total=total, parts=parts)

    def words(self, mu: Float[Tensor, "b v"]) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """The greatest entries of the bag of words, and which words they are."""
        found = mu.topk(min(self.kept, mu.shape[1]), 1)
        return found.values, found.indices

    @staticmethod
    def similarity(
        q: tuple[Float[Tensor, "q d"], Float[Tensor, "q k"], Int[Tensor, "q k"]],
        d: tuple[Float[Tensor, "c d"], Float[Tensor, "c m"], Int[Tensor, "c m"]],
        *,
        cosine: bool = False,
    ) -> Float[Tensor, "q c"]:
        """Products of the vectors, plus those of the words that both have.

        Args:
            q: Vectors, entries and words of the queries.
            d: Those of the documents.
            cosine: Scale either part to length one first, where their sizes are not trained.
        """
        (q_dense, q_values, q_words), (d_dense, d_values, d_words) = q, d
        if cosine:
            q_dense, d_dense = unit(q_dense), unit(d_dense)
            q_values, d_values = unit(q_values), unit(d_values)
        v = int(max(q_words.max(), d_words.max())) + 1 if len(q_words) and len(d_words) else 1
        rows = q_values.new_zeros(len(q_values), v).scatter(1, q_words, q_values)
        scores = [(row[d_words] * d_values).sum(1) for row in rows]
        sparse = torch.stack(scores) if scores else rows.new_zeros(0, len(d_words))
        return q_dense @ d_dense.mT + sparse


def bag_loss(mu: Float[Tensor, "b v"], labels: Int[Tensor, "b n"]) -> Float[Tensor, ""]:
    """The mean over texts of what their words cost, each word once, over the number of tokens."""
    known = labels >= 0
    log_share = mu.float().log_softmax(1)
    present = torch.zeros_like(mu, dtype=torch.bool)
    rows = torch.arange(len(mu), device=mu.device)[:, None].expand_as(labels)
    present[rows[known], labels[known]] = True
    cost = log_share.masked_fill(~present, 0.0).sum(1)
    return -(cost / known.sum(1).clamp(min=1)).mean()
