"""Embeddings of its own for every text, in a causal language model."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import RowSampler
from tokenry.plugs.attachment import MARK, Attachment
from tokenry.plugs.past import cache_in


class OwnRows(Attachment[RowSampler]):
    """A sampler of rows on a model. Made by `attach`; not safe for two threads at once.

    A call without a cache, or with an empty one, begins new texts: their rows are drawn, once for
    texts of a batch that are equal, such as the beams of one prompt. Calls that go on with a cache
    read with the rows that it was filled with. Gradients reach the model and, in the rows that are
    kept, its own embeddings.

    Attributes:
        rows: The rows of the texts of the last call.
    """

    rows: Float[Tensor, "b v d"] | None = None

    def __init__(self, model: nn.Module, method: RowSampler) -> None:
        self.method = method
        self._owner = type(method).__name__
        self._model: Any = model
        self._input, self._output = _embeddings(self._owner, model)
        self._scale = _scale(self._owner, model, self._input)
        if any(MARK in module.__dict__ for module in model.modules()):
            raise AttachError(
                f"attach: {type(model).__name__} already carries a method, and {self._owner} is "
                "not combined with another; leave its with-block or call its detach() first."
            )
        self._source = torch.Generator(self._input.weight.device).manual_seed(
            getattr(method, "seed", 0)
        )
        self._special = _special(self._model, len(self._input.weight))
        self._handle = model.register_forward_pre_hook(self._begin, with_kwargs=True)
        model.__dict__[MARK] = self
        self._input.__dict__["forward"] = self._read
        self._output.__dict__["forward"] = self._write

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing."""
        if self._model.__dict__.get(MARK) is not self:
            return
        del self._model.__dict__[MARK]
        del self._input.__dict__["forward"], self._output.__dict__["forward"]
        self._handle.remove()

    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is None:
            raise UsageError(
                f"{self._owner}: the model was given no input_ids; embeddings of the tokens are "
                "drawn here, so inputs_embeds cannot be taken."
            )
        cache = cache_in(kwargs)
        if cache is None or not cache.get_seq_length():
            _, text = ids.unique(dim=0, return_inverse=True)
            count, learned = int(text.max()) + 1, self._input.weight
            self.rows = self.method.rows(learned, self._special, count, self._source)[text]
        elif self.rows is None or len(self.rows) != len(ids):
            known = 0 if self.rows is None else len(self.rows)
            raise UsageError(
                f"{self._owner}: the cache holds {len(ids)} texts, but rows were drawn for {known};"
                " go on with the texts of the last call, or begin without a cache."
            )

    def _read(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        rows = self._drawn()
        read = rows.gather(1, ids[..., None].expand(-1, -1, rows.shape[-1]))
        return read if self._scale is None else read * self._scale.to(read.dtype)

    def _write(self, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n v"]:
        return hidden @ self._drawn().transpose(1, 2)

    def _drawn(self) -> Float[Tensor, "b v d"]:
        if self.rows is None:
            raise UsageError(f"{self._owner}: call the whole model; rows are drawn per text.")
        return self.rows


def _embeddings(owner: str, model: Any) -> tuple[nn.Embedding, nn.Linear]:
    read: Any = getattr(model, "get_input_embeddings", lambda: None)()
    write: Any = getattr(model, "get_output_embeddings", lambda: None)()
    same = isinstance(read, nn.Embedding) and isinstance(write, nn.Linear)
    if not same or write.weight.shape != read.weight.shape or write.bias is not None:
        raise UnsupportedModelError(
            f"{owner}: {type(model).__name__} does not read and write tokens with one vector each; "
            "give a causal language model whose head has the size of its embeddings and no bias."
        )
    config = model.config.get_text_config(decoder=True)
    if config.is_encoder_decoder or getattr(config, "hidden_size_per_layer_input", 0):
        raise UnsupportedModelError(
            f"{owner}: {type(model).__name__} reads tokens with more tables than one, those of its "
            "encoder or of its layers; give a causal language model with one."
        )
    return read, write


def _scale(owner: str, model: nn.Module, read: nn.Embedding) -> Tensor | None:
    """What an embedding multiplies its rows by, as those of Gemma do; None for nothing."""
    scale = getattr(read, "embed_scale", None)
    if scale is None and type(read) is not nn.Embedding:
        raise UnsupportedModelError(
            f"{owner}: {type(model).__name__} reads its tokens with a {type(read).__name__}, which "
            "does more than look up rows; give a model that reads them with nn.Embedding."
        )
    return None if scale is None else torch.as_tensor(scale, device=read.weight.device)


def _special(model: Any, size: int) -> Tensor:
    """Which tokens the configuration names as beginning, end or padding."""
    config = model.config.get_text_config(decoder=True)
    named = [
        getattr(config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    ]
    ids = [i for one in named if one is not None for i in (one if isinstance(one, list) else [one])]
    found = torch.zeros(size, dtype=torch.bool, device=model.device)
    found[[i for i in ids if 0 <= i < size]] = True
    return found
