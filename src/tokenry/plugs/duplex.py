"""Pre-train a masked language model with a decoder on its first token and a bag of the others."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import Batch, DuplexObjective, Losses
from tokenry.ops.batches import rounds
from tokenry.plugs.tuning import Tuned, descend, number, set_rate, share, training
from tokenry.progress import stepping

_HEADS = ("cls", "lm_head")
"""What architectures call the head that turns states into logits."""


class DuplexModel(nn.Module):
    """A masked language model with a decoder of one layer beside it, for pre-training.

    Weights of embeddings and head are shared; `model` is trained in place, and is all that stays.

    Args:
        model: A BERT or RoBERTa with its head (`AutoModelForMaskedLM`).
        method: The objective.
        seed: Of the decoder's weights.

    Raises:
        UnsupportedModelError: If the model has no head or no embeddings of a known name.
    """

    def __init__(self, model: nn.Module, method: DuplexObjective, seed: int = 0) -> None:
        super().__init__()
        inner: Any = model
        body = getattr(inner, "base_model", None)
        name = next((name for name in _HEADS if hasattr(model, name)), None)
        table = getattr(getattr(body, "embeddings", None), "position_embeddings", None)
        if name is None or table is None:
            raise UnsupportedModelError(
                f"DuplexModel: {type(model).__name__} has no head named {' or '.join(_HEADS)} over "
                "a body with learned positions; load a BERT or RoBERTa by AutoModelForMaskedLM."
            )
        self.model, self.method, self._head = model, method, name
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = _Decoder(inner.config)

    @property
    def body(self) -> Any:
        """The encoder without its head."""
        return self.model.base_model

    def head(self, states: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
        """The logits of states."""
        logits: Tensor = getattr(self.model, self._head)(states)
        return logits

    def forward(self, features: Mapping[str, Tensor]) -> Losses:
        """The losses of a batch that `DuplexCollator` made."""
        ids, real = features["input_ids"], features["attention_mask"].bool()
        states = self.body(features["masked_ids"], attention_mask=real.long()).last_hidden_state
        known = features["masked_labels"] >= 0
        vectors = {"masked": self.head(states[known])[None]}
        labels = {"masked": features["masked_labels"][known][None], "decoded": features["labels"]}
        if self.method.decode:
            vectors["decoded"] = self.head(self.decoded(states[:, 0], ids, features["visible"]))
        if self.method.bag:
            vectors["bag"] = _bag(self.head(states[:, 1:]), real[:, 1:])
        return self.method.loss(Batch(vectors=vectors, real={"tokens": real}, labels=labels))

    def decoded(
        self,
        first: Float[Tensor, "b d"],
        ids: Int[Tensor, "b n"],
        visible: Bool[Tensor, "b n n"],
    ) -> Float[Tensor, "b n d"]:
        """The decoder's states: rows of [CLS] and a position look at [CLS] and words in sight.

        Args:
            first: What the encoder made of [CLS].
            ids: The text, nothing masked.
            visible: What each row sees.
        """
        table = self.body.embeddings
        places = torch.arange(ids.shape[1], device=ids.device)
        offset = table.position_embeddings.padding_idx
        places = places if offset is None else places + offset + 1  # RoBERTa counts from there
        queries = first[:, None] + table.position_embeddings(places)
        text = torch.cat([first[:, None], table(ids)[:, 1:]], 1)
        decoded: Tensor = self.decoder(queries, text, visible)
        return decoded

    @torch.no_grad()
    def embed(
        self, features: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """The vector of each text: [CLS], the entries of its bag of words, and which words.

        Args:
            features: What the tokenizer makes of texts.
        """
        real = features["attention_mask"]
        states = self.body(features["input_ids"], attention_mask=real).last_hidden_state
        mu = _bag(self.head(states[:, 1:]), real[:, 1:].bool())
        return states[:, 0], *self.method.words(mu)


class DuplexCollator:
    """Texts as `DuplexModel` reads them; the same draws in the same order for one seed.

    Args:
        tokenizer: A fast tokenizer with [CLS] in front, a mask and padding.
        method: The objective.
        longest: Tokens of a text, at most.
        seed: Of the draws.
    """

    def __init__(
        self, tokenizer: Any, method: DuplexObjective, longest: int = 128, seed: int = 0
    ) -> None:
        self.tokenizer, self.method, self.longest = tokenizer, method, longest
        self.draw = torch.Generator().manual_seed(seed)

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids, masked ids with their labels, the labels of all, and what rows see."""
        made = self.tokenizer(
            list(texts), truncation=True, max_length=self.longest, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        ids, real = made["input_ids"], made["attention_mask"].bool()
        numbers = [[-1 if w is None else w for w in made.word_ids(i)] for i in range(len(texts))]
        words = torch.tensor(numbers)
        hidden = self.method.hidden(words, self.method.encoder_share, self.draw)
        luck = torch.rand(ids.shape, generator=self.draw)
        others = torch.randint(len(self.tokenizer), ids.shape, generator=self.draw)
        masked = ids.masked_fill(hidden & (luck < 0.8), self.tokenizer.mask_token_id)
        masked = masked.where(~(hidden & (luck >= 0.9)), others)
        return {
            "input_ids": ids,
            "attention_mask": made["attention_mask"],
            "masked_ids": masked,
            "masked_labels": ids.masked_fill(~hidden, -100),
            "labels": ids.masked_fill(words < 0, -100),
            "visible": self.method.visible(words, real, self.draw),
        }


def pretrain(
    model: DuplexModel,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    steps: int,
    batch_size: int = 32,
    rate: float = 1e-4,
    decay: float = 0.01,
    warm: float = 0.1,
    longest: int = 128,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuned:
    """Train on texts; `model.model.save_pretrained` then saves an ordinary model.

    Args:
        model: What is trained, in place.
        tokenizer: Its tokenizer.
        texts: What it reads.
        steps: Steps, at least one.
        batch_size: Texts of a step.
        rate: Highest learning rate, as in `tokenry.plugs.tuning.tune`.
        decay: Weight decay.
        warm: Share of the steps in which the rate rises.
        longest: Tokens of a text, at most.
        seed: Of all draws.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, or the texts fill no batch.
        TokenryError: If the loss is no number.
    """
    if steps < 1 or not 1 <= batch_size <= len(texts):
        raise UsageError(
            f"pretrain: steps={steps}, batch_size={batch_size}; there is at least one step, and "
            f"the {len(texts)} texts must fill a batch."
        )
    read = DuplexCollator(tokenizer, model.method, longest, seed)
    device = next(model.parameters()).device
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - an order
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    with training(model, seed), stepping(steps, progress) as bar:
        for step, rows in enumerate(islice(rounds(len(texts), batch_size, draw), steps)):
            set_rate(optimizer, rate * share(step, steps, warm))
            made = read([texts[i] for i in rows])
            loss = model({name: x.to(device) for name, x in made.items()}).total
            losses.append(number("pretrain", loss, step, rate))
            descend(model, loss, optimizer)
            bar.update()
    seconds = time.perf_counter() - start
    return Tuned(method=model.method.describe(), losses=tuple(losses), seconds=seconds, folder=None)


def _bag(logits: Tensor, real: Tensor) -> Tensor:
    return logits.masked_fill(~real[..., None], -torch.inf).amax(1)


class _Decoder(nn.Module):
    """One layer whose queries are not what it looks at; it adds to the queries."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        d, h = config.hidden_size, config.num_attention_heads
        self.heads = h
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.inner = nn.Sequential(
            nn.Linear(d, config.intermediate_size),
            nn.GELU(),
            nn.Linear(config.intermediate_size, d),
        )
        self.first, self.second = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=config.initializer_range)
                nn.init.zeros_(part.bias)

    def forward(self, queries: Tensor, text: Tensor, visible: Tensor) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

        # A row that sees nothing would be NaN; it sees [CLS], and has no label.
        blind = ~visible.any(-1, keepdim=True)
        start = torch.arange(visible.shape[-1], device=visible.device) == 0
        mask = (visible | (blind & start))[:, None]
        seen = nn.functional.scaled_dot_product_attention(
            split(self.q(queries)), split(self.k(text)), split(self.v(text)), attn_mask=mask
        )
        rows = self.first(queries + self.dropout(self.o(seen.transpose(1, 2).flatten(2))))
        out: Tensor = self.second(rows + self.dropout(self.inner(rows)))
        return out
