"""A network that predicts the embeddings of a token from how an old tokenizer writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, scaled_dot_product_attention


@dataclass(frozen=True, kw_only=True, slots=True)
class HypernetShape:
    """The sizes of a hypernetwork.

    Attributes:
        width: Of the model's embeddings.
        vocabulary: Old tokens; ids from here on have learned rows of their own.
        hidden: Width of the network.
        inner: Width inside its blocks.
        heads: Heads of its attention.
        layers: Its layers.
        pieces: Most old tokens of a new one; further ones are cut off.
        padding: The id that fills up shorter ones.
        extra: Learned rows.
        separate: Whether the model's output embeddings are not its input embeddings.
        bias: Whether a bias of the output is predicted.
        languages: Languages that it can be told; 0 if it is told none.
    """

    width: int
    vocabulary: int
    hidden: int
    inner: int
    heads: int
    padding: int
    layers: int = 3
    pieces: int = 7
    extra: int = 0
    separate: bool = False
    bias: bool = False
    languages: int = 0


class Rows(NamedTuple):
    """What is predicted of each token: what the model reads, what it scores with, a bias."""

    input: Float[Tensor, "n d"]
    output: Float[Tensor, "n d"] | None
    bias: Float[Tensor, " n"] | None


class Rescaler(nn.Module):
    """$w x + b$, elementwise, fitted once and never trained."""

    w: Tensor
    b: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("w", torch.ones(1, width))
        self.register_buffer("b", torch.zeros(1, width))

    @torch.no_grad()
    def fit(
        self,
        x: Float[Tensor, "n d"],
        mean: float | Float[Tensor, " d"],
        std: float | Float[Tensor, " d"],
    ) -> None:
        """Give the columns of `x` this mean and standard deviation."""
        self.w[:] = std / (x.std(0, unbiased=False) + 1e-8)
        self.b[:] = mean - (self.w * x).mean(0)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The columns, rescaled."""
        return self.w * x + self.b


class _Block(nn.Module):
    """$LN(gelu(W_2 gelu(W_1 z)) + z)$."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.dense1, self.dense2 = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.ln = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, z: Tensor) -> Tensor:
        inside = gelu(self.dense1(z), approximate="tanh")
        out: Tensor = self.ln(gelu(self.dense2(inside), approximate="tanh") + z)
        return out


class _Layer(nn.Module):
    """A layer of RoBERTa; parts are called as transformers calls them."""

    def __init__(self, hidden: int, inner: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        projections = {name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict(
            {"self": nn.ModuleDict(projections), "output": _end(hidden, hidden)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, inner)})
        self.output = _end(inner, hidden)

    def forward(self, x: Tensor, seen: Bool[Tensor, "n l"]) -> Tensor:
        inside: Any = self.attention["self"]
        q, k, v = (
            inside[name](x).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        read = scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
        x = _add(self.attention["output"], read.transpose(1, 2).flatten(2), x)
        return _add(self.output, gelu(self.intermediate["dense"](x)), x)


def _end(width: int, hidden: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"dense": nn.Linear(width, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=1e-5)}
    )


def _add(end: Any, inside: Tensor, x: Tensor) -> Tensor:
    added: Tensor = end["LayerNorm"](end["dense"](inside) + x)
    return added


class Hypernetwork(nn.Module):
    """Predicts embeddings of new tokens from the rows of the old tokens that write them.

    Old rows are rescaled and projected, an encoder of RoBERTa's layers reads those of one token,
    and what stands at the first of them is projected to the new rows, which are rescaled. The
    parts have the names of the published checkpoints.

    Args:
        shape: Its sizes.

    Source: Minixhofer et al. 2024, sections 3.2 and 3.3.
    """

    def __init__(self, shape: HypernetShape) -> None:
        super().__init__()
        self.shape = shape
        d, h, m = shape.width, shape.hidden, shape.inner
        wide = 2 * d if shape.separate else d
        embeddings = {
            "position_embeddings": nn.Embedding(shape.pieces, h),
            "token_type_embeddings": nn.Embedding(1, h),
            "LayerNorm": nn.LayerNorm(h, eps=1e-5),
        }
        layers = nn.ModuleList(_Layer(h, m, shape.heads) for _ in range(shape.layers))
        self.model = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict(embeddings),
                "encoder": nn.ModuleDict({"layer": layers}),
            }
        )
        self.model.apply(_start)
        self.fallback_embeddings = nn.Embedding(max(1, shape.extra), wide)
        self.input_projection = nn.Sequential(nn.Linear(wide, h), _Block(h, m))
        self.output_projection = nn.Sequential(_Block(h, m), nn.Linear(h, d))
        self.in_scaler, self.scaler = Rescaler(wide), Rescaler(d)
        if shape.separate:
            self.output_projection_out = nn.Sequential(_Block(h, m), nn.Linear(h, d))
            self.out_scaler = Rescaler(d)
        if shape.bias:
            self.bias_projection = nn.Linear(h, 1)
        if shape.languages:
            self.lang_embeddings = nn.Embedding(shape.languages, h)

    def forward(
        self,
        forms: Int[Tensor, "n l"],
        source: Float[Tensor, "v s"],
        language: int | None = None,
    ) -> Rows:
        """The rows of new tokens.

        Args:
            forms: The old tokens that write each new one, filled up with `shape.padding`.
            source: The old input embeddings; behind them the output embeddings, if separate.
            language: Of the new tokens, for a hypernetwork that can be told.
        """
        seen = forms != self.shape.padding
        forms = forms[:, : max(1, int(seen.sum(1).max()))]  # the rest is padding everywhere
        seen = seen[:, : forms.shape[1]].clone()
        seen[:, 0] = True
        roberta: Any = self.model
        x = roberta["embeddings"]["LayerNorm"](self._read(forms, source, seen, language))
        if x.shape[1] > forms.shape[1]:
            seen = torch.cat([seen, seen[:, :1]], 1)
        for layer in roberta["encoder"]["layer"]:
            x = layer(x, seen)
        return self._predict(x[:, 0])

    def _read(
        self, forms: Tensor, source: Tensor, seen: Tensor, language: int | None
    ) -> Float[Tensor, "n l h"]:
        """What the encoder reads; a language stands last, without a position."""
        old = self.shape.vocabulary
        known = embedding(forms.masked_fill(~seen, 0).clamp(max=old - 1), source)
        learned = self.fallback_embeddings(
            (forms - old).clamp(0, self.fallback_embeddings.num_embeddings - 1)
        )
        x = torch.where((forms >= old)[..., None], learned, self.in_scaler(known))
        parts: Any = self.model["embeddings"]
        x = self.input_projection(x) + parts["token_type_embeddings"].weight[0]
        x = x + parts["position_embeddings"].weight[: x.shape[1]]
        if language is not None:
            told = self.lang_embeddings.weight[language].expand(len(x), 1, -1)
            x = torch.cat([x, told], 1)
        return x

    def _predict(self, hidden: Float[Tensor, "n h"]) -> Rows:
        output = bias = None
        if self.shape.separate:
            output = self.out_scaler(self.output_projection_out(hidden))
        if self.shape.bias:
            bias = self.bias_projection(hidden)[:, 0]
        return Rows(self.scaler(self.output_projection(hidden)), output, bias)

    @torch.no_grad()
    def fit_rescalers(
        self, forms: Int[Tensor, "n l"], source: Float[Tensor, "v s"], spread: float = 0.02
    ) -> None:
        """Fit what is not trained, once, before training.

        Args:
            forms: Of some tokens, best all old ones.
            source: As in `forward`.
            spread: Standard deviation of what the network reads.
        """
        d = self.shape.width
        self.in_scaler.fit(source, 0.0, spread)
        first = self(forms, source)
        wanted = source.mean(0), source.std(0, unbiased=False)
        self.scaler.fit(first.input, *(value[:d] for value in wanted))
        if first.output is not None:
            self.out_scaler.fit(first.output, *(value[d:] for value in wanted))

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a checkpoint that has RoBERTa's word table and longer positions."""
        table, prefix = "model.embeddings.position_embeddings.weight", "model.embeddings.word_"
        ours = {
            k: v for k, v in state.items() if not k.startswith((prefix, "model.embeddings.pos"))
        }
        self.load_state_dict({**ours, table: state[table][: self.shape.pieces]})


def _start(module: nn.Module) -> None:
    """RoBERTa's way to begin."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def identity_loss(rows: Rows, source: Float[Tensor, "n s"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{n}\sum_t \|\hat e_t - e_t\|^2$, the mean over input and output if both are there.

    Args:
        rows: Predicted for old tokens.
        source: The rows that these have.
    """
    both = rows.input if rows.output is None else torch.cat(rows[:2], 1)  # type: ignore[arg-type]
    return (both - source).square().sum(1).mean() * rows.input.shape[1] / both.shape[1]


def lexical_loss(
    rows: Rows, source: Float[Tensor, "v s"], forms: Int[Tensor, "n l"], padding: int
) -> Float[Tensor, ""]:
    r"""Tokens that are one old token shall keep its row.

    $\frac{1}{|T|}\sum_{t \in T} \|\hat e_t - e_t\|^2$ over the mean $\|e_t\|$, averaged over input
    and output if both are there. $T$ are the tokens that one old token writes; 0 if there is none.

    Args:
        rows: Predicted.
        source: The old rows, input before output.
        forms: The old tokens that write each token.
        padding: What fills them up.
    """
    single = (forms[:, 1:] == padding).all(1) & (forms[:, 0] < len(source))
    if not bool(single.any()):
        return rows.input.new_zeros(())
    wanted, losses = source[forms[single, 0]], []
    d = rows.input.shape[1]
    for made, old in ((rows.input, wanted[:, :d]), (rows.output, wanted[:, d:])):
        if made is not None:
            distance = (made[single] - old).square().sum(1).mean()
            losses.append(distance / old.norm(dim=1).mean())
    return torch.stack(losses).mean()
