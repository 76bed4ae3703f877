"""Landmark attention on a model: landmarks go in and out beside the tokens, unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import MarkedPolicy, MarkedView
from tokenry.ops.landmark import Marks, place_marks
from tokenry.plugs.attention import Call
from tokenry.plugs.cache import BatchedLayer
from tokenry.plugs.cache_trace import CacheTrace
from tokenry.plugs.on_decoder import OnDecoder
from tokenry.plugs.past import cache_in, put_cache

TOKEN, BLOCK, PASS = "landmark_token_id", "landmark_block", "tokenry_pass"


@torch.no_grad()
def add_landmark(model: PreTrainedModel, block: int) -> int:
    """Give a model a landmark: one more token, whose embedding is the mean of all others.

    The id and `block` are written into the model's configuration and saved with it. Train the
    model next, with `Landmark(block=block)` attached; the tokenizer stays as it is.

    Args:
        model: A causal language model.
        block: Tokens between two landmarks; the paper has 50 and 63.

    Returns:
        The id of the landmark.

    Raises:
        UsageError: If the model has one already, or `block` is less than 1.
    """
    if block < 1:
        raise UsageError(f"add_landmark: block={block} is less than 1; it is a number of tokens.")
    if getattr(model.config, TOKEN, None) is not None:
        raise UsageError(
            f"add_landmark: the model has a landmark after every {getattr(model.config, BLOCK)} "
            "tokens already."
        )
    token = len(_tables(model)[0].weight)
    model.resize_token_embeddings(token + 1, mean_resizing=False)
    tables = {id(t.weight): t.weight for t in _tables(model)}
    for weight in tables.values():
        weight[token] = weight[:token].float().mean(0).to(weight.dtype)
    setattr(model.config, TOKEN, token)
    setattr(model.config, BLOCK, block)
    return token


def _tables(model: Any) -> list[Any]:
    """The embedding, and the head if there is one."""
    names = ("get_input_embeddings", "get_output_embeddings")
    tables = [getattr(model, name)() for name in names if hasattr(model, name)]
    return [table for table in tables if table is not None]


class MarkedLayer(BatchedLayer):
    """One layer of a cache that holds landmarks, and does not count them.

    Attributes:
        seen: Tokens that have gone in, padding included, landmarks not.
        valid: Which slots hold a token or a landmark of their text, `(b, s)`.
        columns: Which of the `seen` tokens each slot belongs to, `(s,)`.
    """

    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._forget()

    def _forget(self) -> None:
        self.seen = 0
        self.valid: Tensor | None = None
        self.columns: Tensor | None = None

    @property
    def slots(self) -> int:
        """Slots held."""
        return 0 if self.columns is None else len(self.columns)

    def expect(self, marks: Marks) -> None:
        """Say what the next `update` brings."""
        t, n = len(marks.token), marks.valid.shape[1]
        columns = torch.arange(n, device=marks.token.device)
        columns = torch.searchsorted(marks.token, columns, right=True) - 1 + self.seen
        if self.valid is not None and self.columns is not None:
            self.valid = torch.cat([self.valid, marks.valid], 1)
            self.columns = torch.cat([self.columns, columns])
        else:
            self.valid, self.columns = marks.valid, columns
        self.seen += t

    def get_seq_length(self) -> int:
        """Tokens that have gone in."""
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the mask of what is held."""
        return self.slots, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the last tokens, and their landmarks.

        Raises:
            UsageError: If the number is positive, or there are not so many.
        """
        n = abs(tokens_to_remove)
        if tokens_to_remove > 0 or n > self.seen:
            raise UsageError(f"crop: got {tokens_to_remove}; give minus the number of tokens.")
        if n == 0 or self.valid is None or self.columns is None:
            return
        self.seen -= n
        left = int((self.columns < self.seen).sum())
        self.valid, self.columns = self.valid[:, :left], self.columns[:left]
        self.keys, self.values = self.keys[:, :, :left], self.values[:, :, :left]

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._forget()

    def _each(self, change: Callable[[Tensor], Tensor]) -> None:
        if self.valid is not None:
            self.keys, self.values = change(self.keys), change(self.values)
            self.valid = change(self.valid)


@dataclass(slots=True)
class _Pass:
    """One forward pass: it travels with the call, since checkpoints run layers a second time."""

    marks: Marks
    valid: Bool[Tensor, "b s"] | None
    layers: list[MarkedLayer]
    read: dict[int, Int[Tensor, "b h k"]] = field(default_factory=dict)


class Landmarks(OnDecoder[MarkedPolicy]):
    """A landmark policy on a model: for training, with or without a cache, and for generation.

    Inputs, outputs, losses and `generate` are those of the text without landmarks. The output of
    the last token of a block is that of the landmark behind it.
    """

    _pass: _Pass | None

    def __init__(self, model: nn.Module, method: MarkedPolicy) -> None:
        super().__init__(model, method)
        self._landmark = self._admitted(model)
        self._switch_on()
        for head in _tables(model)[1:]:
            self._handles.append(head.register_forward_hook(self._drop_landmark))

    def _admitted(self, model: nn.Module) -> int:
        """The id of the landmark of a model that can be used."""
        config: Any = getattr(model, "config", self._decoder.config)
        token, block = getattr(config, TOKEN, None), getattr(config, BLOCK, None)
        if token is None:
            raise UnsupportedModelError(
                f"{self._owner}: this {type(model).__name__} has no landmark; give it one with "
                f"tokenry.plugs.landmarks.add_landmark(model, block={self.method.block}) and train "
                "it with the policy attached."
            )
        if block != self.method.block:
            raise UnsupportedModelError(
                f"{self._owner}: block={self.method.block}, but this model has a landmark after "
                f"every {block} tokens; set block={block}."
            )
        self._admission.refuse_weighing(self._decoder)
        if len(self._admission.full) < self._decoder.config.num_hidden_layers:
            raise UnsupportedModelError(
                f"{self._owner}: some layers of this {type(self._decoder).__name__} have a window "
                "or keep a state; landmarks need full attention in every layer."
            )
        self._admission.refuse_rotations(type(self._decoder).__name__)
        return int(token)

    def _drop_landmark(self, head: nn.Module, args: Any, logits: Tensor) -> None:
        if not self._decoder.training and logits.shape[-1] > self._landmark:
            logits[..., self._landmark] = torch.finfo(logits.dtype).min

    def _start(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before a pass: put landmarks among the tokens."""
        if args:
            kwargs = {"input_ids": args[0], **kwargs}
        ids, cache = kwargs.get("input_ids"), self._cache(kwargs)
        if ids is None or bool((ids == self._landmark).any()):
            raise UsageError(
                f"{self._owner}: got {'embeddings' if ids is None else 'ids with landmarks'}; give "
                "input_ids of the plain text, landmarks are put in between."
            )
        if decoder.training and getattr(self._decoder.config, "attention_dropout", 0.0) > 0:
            raise UsageError(
                f"{self._owner}: attention_dropout={self._decoder.config.attention_dropout} is not "
                "supported; set it to 0 in the model's configuration."
            )
        layers = [] if cache is None else self._marked(cache, ids.shape[0])
        seen = layers[0].seen if layers else 0
        mask = self._admission.padding(kwargs.get("attention_mask"), seen + ids.shape[1])
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, seen:]
        self._refuse_jumps(kwargs.get("position_ids"), real)
        past = layers[0].valid if layers else None
        held = None if past is None else past.sum(1)
        before = None if held is None else held - held // (self.method.block + 1)
        marks = place_marks(real, self.method.block, before)
        for layer in layers:
            layer.expect(marks)
        every = layers[0].valid if layers else marks.valid
        valid = None if every is None or bool(every.all()) else every
        self._pass = _Pass(marks, valid, layers)
        changed = {
            **kwargs,
            "input_ids": marks.inserted(ids, self._landmark),
            "attention_mask": None,
            "position_ids": marks.rank.clamp(min=0),
            PASS: self._pass,
        }
        put_cache(changed, cache)
        return (), changed

    def _cache(self, kwargs: dict[str, Any]) -> Any:
        """The cache of this pass; None when the model keeps none."""
        given, wanted = cache_in(kwargs), kwargs.get("use_cache")
        layers = self._decoder.modules() if self._decoder.training else ()
        if any(getattr(layer, "gradient_checkpointing", False) is True for layer in layers):
            kwargs["use_cache"] = False  # as transformers does, but before a cache is made
            return None
        if given is not None:
            return given
        keeps = self._decoder.config.use_cache if wanted is None else wanted
        return DynamicCache(config=self._decoder.config) if keeps else None

    def _marked(self, cache: Any, b: int) -> list[MarkedLayer]:
        """The layers of a cache, each able to hold landmarks."""
        layers: Any = None
        if isinstance(cache, Cache):
            self._admission.fill(cache)
            layers = cache.layers
        for i, layer in enumerate(layers or ()):
            if type(layer) is DynamicLayer and not layer.is_initialized:
                layers[i] = MarkedLayer()
        if layers is None or not all(isinstance(layer, MarkedLayer) for layer in layers):
            raise UsageError(
                f"{self._owner}: the cache ({type(cache).__name__}) is static, quantized or paged, "
                "or was filled without landmarks; give an empty DynamicCache or none."
            )
        for i, layer in enumerate(layers):
            if layer.slots:
                self._admission.refuse_foreign(layer.keys, i, b)
        return list(layers)

    def _refuse_jumps(self, positions: Tensor | None, real: Bool[Tensor, "b t"]) -> None:
        """Texts packed into one row would share blocks."""
        if positions is None or positions.shape[1] < 2:
            return
        both = real[:, 1:] & real[:, :-1]
        if bool(((positions.diff() != 1) & both).any()):
            raise UsageError(
                f"{self._owner}: position_ids do not rise by one from token to token; give each "
                "text a row of its own, texts packed into one are not supported."
            )

    def attend(self, call: Call) -> Tensor:
        """One attention, as the policy says."""
        now: _Pass = call.note
        frequencies: Any = self._inv_freq
        view = MarkedView(
            queries=call.queries,
            keys=call.keys,
            values=call.values,
            valid=now.valid,
            scale=call.scale,
            inv_freq=frequencies,
        )
        out, now.read[int(call.module.layer_idx)] = self.method.attend(view)
        return out

    def _finish(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """After a pass: take the landmarks out of what comes back, and keep the record."""
        now: Any = self._pass
        self._pass = None
        self.trace = self._record(now.layers, now) if now.layers else None
        n = now.marks.rank.shape[1]

        def plain(x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(plain(one) for one in x)
            if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[1] != n:
                return x
            return x.gather(1, now.marks.answers.unsqueeze(-1).expand(-1, -1, x.shape[-1]))

        if isinstance(output, tuple):
            return plain(output)
        for name in ("last_hidden_state", "hidden_states"):
            if output.get(name) is not None:
                output[name] = plain(output[name])
        return output

    def _record(self, layers: Any, now: Any) -> CacheTrace:
        slots = layers[0].slots
        tokens = tuple(now.read[index] for index in sorted(now.read))
        count = tuple(read.shape[-1] for read in tokens)
        # Each query head may read slots of its own.
        slot = sum(
            x[:, :1, :1].numel() * x.element_size() for x in (layers[0].keys, layers[0].values)
        )
        heads, full = layers[0].keys.shape[1], slots * len(layers)
        return CacheTrace(
            seen=slots,
            resident=(slots,) * len(layers),
            read=count,
            tokens=tokens,
            bytes_resident=full * heads * slot,
            bytes_read=sum(n * x.shape[1] for n, x in zip(count, tokens, strict=True)) * slot,
            bytes_full=full * heads * slot,
            selects=True,
        )
