"""DNABERT-2: byte pair encoding of genomes, and an encoder without positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from tokenry.card import Card, Claim
from tokenry.method import In, TokenizerTrainer
from tokenry.ops.alibi import alibi
from tokenry.ops.genome import BASES, UNKNOWN, bases, pieces
from tokenry.progress import shown

_SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


@final
@dataclass(frozen=True, kw_only=True)
class DNABERT2(TokenizerTrainer):
    """Byte pair encoding on bases: frequent runs become tokens, whatever their length.

    Genomes have no words: they are cut into chunks, at runs of N too, and pairs are counted
    within those. The tokenizer writes any string of A, C, G, T, N, small letters as capitals, and
    puts [CLS] in front and [SEP] behind; other letters become [UNK].

    Args:
        size: Most tokens, special ones included (the paper tries 2^8 to 2^15).
        chunk: Bases of a chunk.

    Raises:
        UsageError: If `size` does not hold the special tokens and the letters.

    Source: Zhou et al. 2024, sections 3.1 and 3.2.
    """

    card: ClassVar[Card] = Card(
        slug="dnabert2",
        name="DNABERT-2",
        title="DNABERT-2: Efficient Foundation Model and Benchmark For Multi-Species Genome",
        summary="Learns tokens of a genome by byte pair encoding, for an encoder with ALiBi.",
        family="vocab",
        have="genomes",
        want="fewer tokens than k-mers need, that an insertion does not shift",
        dial="none: there is no keep; `size` says how many tokens there may be",
        year=2024,
        arxiv="2306.15006",
        venue="ICLR 2024",
        code="https://github.com/MAGICS-LAB/DNABERT_2",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="Text becomes some 5 times shorter.",
                effect="4 to 6 bases a token on other parts of genomes, most on trained ones.",
                test="tests/vocab/test_dnabert2.py::"
                "test_claim_four_to_six_bases_a_token_and_more_on_what_it_was_trained_on",
                measured="4.77 to 4.93 bases a token on other parts of four bacteria, 5.18 to 5.40 "
                "on what it was trained on; 4.77 for the species left out. 4,096 tokens from "
                "300,000 bases.",
            ),
            Claim(
                paper="k-mers side by side change throughout when a base is put in (section 3.1).",
                effect="An insertion changes less than a fifth of the tokens it does with k-mers.",
                test="tests/vocab/test_dnabert2.py::test_claim_an_insertion_changes_few_tokens",
                measured="1.8 tokens against 67.0 of 84 with 6-mers, windows of 500 bases.",
            ),
            Claim(
                paper="Overlapping k-mers leak what is masked (section 3.1).",
                effect="One masked k-mer can be told for certain; k in a row leave one base open.",
                test="tests/vocab/test_dnabert2.py::test_claim_overlapping_kmers_leak",
                measured="1 way to fill in one masked 3-mer, 4 ways for as many in a row as a "
                "k-mer has bases: every filling tried.",
            ),
            Claim(
                paper="Better than k-mers on 23 of 28 data sets.",
                effect="Species are told apart at least as well as with 6-mers at equal compute.",
                test="tests/vocab/test_dnabert2.py::"
                "test_claim_species_are_told_apart_no_worse_than_by_kmers",
                measured="0.75, 0.78 and 0.84 right of four bacteria against 0.66, 0.71 and 0.68 "
                "with 6-mers, three seeds, 600,000 tokens of training each, 1,024 tokens; with "
                "4,096 tokens 0.70, 0.75 and 0.75. 1,000 windows of 500 bases of other parts of "
                "the genomes; encoder of width 32 from scratch. The test trains half as long.",
            ),
            Claim(
                paper="As good as Nucleotide Transformer 2.5B with 21 times fewer parameters.",
                effect="A pre-trained encoder of 117 million parameters, fine-tuned on 28 sets.",
                not_shown="Needs pre-training on 32 billion bases.",
            ),
        ),
        differs=(
            "Other letters than A, C, G, T, N are refused in training and [UNK] at use; small "
            "letters, soft-masked ones, are read as capitals.",
            "The encoder is a plain module of any size with the paper's parts: ALiBi in both "
            "directions, which cannot tell left from right, and gated feed-forward layers. Its "
            "attention is PyTorch's own; the official checkpoint's code pins an old Triton.",
        ),
    )

    size: Annotated[int, In(2, 10_000_000), "most tokens, special ones included"] = 4096
    chunk: Annotated[int, In(2, 1_000_000), "bases of a chunk"] = 1000

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If `size` does not hold the special tokens and the letters, a text holds
                another letter than A, C, G, T, N, or there is nothing to learn from.
        """
        self.room(len(_SPECIAL) + len(BASES) + 1)
        chunks = (
            piece
            for text in texts
            for piece in pieces(bases(text, type(self).__name__), self.chunk)
        )
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))  # noqa: S106 - a token
        capitals = [normalizers.Replace(base.lower(), base) for base in BASES + UNKNOWN]
        tokenizer.normalizer = normalizers.Sequence(capitals)
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.decoder = decoders.Fuse()
        trainer = BpeTrainer(
            vocab_size=self.size,
            special_tokens=_SPECIAL,
            initial_alphabet=[*BASES, UNKNOWN],
            show_progress=shown(),
        )
        tokenizer.train_from_iterator(self.some(chunks), trainer)
        ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
        )
        return tokenizer


class GenomeEncoder(nn.Module):
    r"""A bidirectional encoder with ALiBi and gated feed-forward layers; it has no positions.

    Each layer is $x + \mathrm{Att}(\mathrm{LN}(x))$, then $x + W_o(\mathrm{gelu}(W_g z) \odot W_v
    z)$ with $z = \mathrm{LN}(x)$. Texts may be longer than any it was trained on.

    Args:
        tokens: Size of the vocabulary.
        width: Of the states.
        layers: How many.
        heads: Of attention; a divisor of `width`.

    Source: Zhou et al. 2024, section 3.3 (12 layers of width 768).
    """

    def __init__(self, tokens: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.heads = heads

    def forward(self, ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """States of each token.

        Args:
            ids: Tokens.
            mask: True where there is one, False for padding.
        """
        bias = alibi(self.heads, ids.shape[1]).to(self.embed.weight)
        bias = bias.masked_fill(~mask[:, None, None, :], float("-inf"))
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, bias)
        out: Tensor = self.norm(x)
        return out


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate, self.down = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], bias: Float[Tensor, "b h n n"]
    ) -> Float[Tensor, "b n d"]:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).chunk(3, -1)
        )
        read = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(read.transpose(1, 2).flatten(2))
        gate, value = self.gate(self.norms[1](x)).chunk(2, -1)
        out: Tensor = x + self.down(gelu(gate) * value)
        return out
