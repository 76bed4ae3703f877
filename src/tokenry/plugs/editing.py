"""A prompt cache that can be edited: change the text, keep what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from tokenry import catalog
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import CacheEditor, EditPlan
from tokenry.ops.edits import Edit, differences, spliced
from tokenry.ops.rope import rotate
from tokenry.plugs.past import CACHE

# Half-split rotation of all (phi3: of the first) channels, by one embedding for all layers.
_ROTARY = ("gemma", "llama", "mistral", "phi3", "qwen2", "qwen3")
# Frequencies that are the same for every length of text.
_FIXED = ("default", "linear", "llama3", "yarn")


class EditableCache:
    """The key-value cache of one text, carried along while the text is edited.

    The model itself is left alone. Keys are held twice: as they were encoded, and rotated to
    where they stand now. Each edit rotates from the first copy, so that rounding does not add up
    over many edits in half precision, and a token that moves away and back has its key again bit
    for bit.

    Args:
        model: A causal language model with rotary positions and full attention in every layer:
            Gemma, Llama, Mistral, Phi-3, Qwen2, Qwen3.
        tokenizer: What turns text into ids; None when only ids are given.
        content: The text, or its token ids.
        method: Name of a rule, or a configured instance.
        **settings: Settings of the rule, when it is given by name: `strategy="suffix"`.

    Raises:
        UnsupportedModelError: If keys of this model cannot be moved.
        UsageError: If text comes without a tokenizer, is empty, or holds unknown ids.
        UnknownNameError: If no rule has this name.

    Attributes:
        method: The rule.
        ids: Token ids of the text as it is now.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        content: str | Sequence[int] | Tensor,
        method: str | CacheEditor = "pie",
        **settings: Any,
    ) -> None:
        _check_model(model)
        self.method = catalog.configured(method, CacheEditor, "EditableCache", **settings)
        self._model, self._tokenizer = model, tokenizer
        self._written = isinstance(content, str)
        self._load(self._tokens(content))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def text(self) -> str:
        """The text as it is now.

        Raises:
            UsageError: If there is no tokenizer.
        """
        tokenizer = self._need_tokenizer("text")
        return cast(str, tokenizer.decode(self.ids, clean_up_tokenization_spaces=False))

    def edit(self, start: int, stop: int, new: Sequence[int] | Tensor = ()) -> EditPlan:
        """Replace the tokens from `start` up to (not with) `stop`.

        Args:
            start: First token to replace; with `stop == start` the new ones are inserted.
            stop: The token after the last one to replace.
            new: Ids of the new tokens; none deletes.

        Returns:
            What became of the slots; `encoded` is how many tokens the model ran on.

        Raises:
            UsageError: If the range is outside the text, nothing would be left, an id is unknown,
                or the text was given as text and the tokenizer would cut it differently at the
                borders of the edit: then give the new text to `update`.
        """
        return self.apply(Edit(start, stop, self._checked(new)))

    def update(self, content: str | Sequence[int] | Tensor) -> EditPlan:
        """Make the cache hold this text, by the edits that tell it from the present one.

        Ids are compared, not characters: a change that joins or splits tokens at its borders is
        found, and those tokens are encoded too.

        Args:
            content: The whole new text, or its ids.

        Returns:
            What became of the slots.

        Raises:
            UsageError: If the text is empty, holds unknown ids, or there is no tokenizer.
        """
        ids = self._tokens(content)
        plan = self._carry(differences(self.ids, ids), ids)
        self._written = isinstance(content, str)
        return plan

    def apply(self, *edits: Edit) -> EditPlan:
        """Make several edits at once; see `edit`.

        Args:
            *edits: From left to right, in places of the present text.

        Returns:
            What became of the slots.

        Raises:
            UsageError: As `edit` does; also if two edits overlap.
        """
        for edit in edits:
            self._checked(edit.new)
        ids = spliced(self.ids, edits)
        if self._written:
            self._check_borders(ids)
        return self._carry(edits, ids)

    def refresh(self) -> None:
        """Encode the whole text, as if it had been given now; for a moment of rest."""
        self._load(self.ids)

    def logits(self) -> Float[Tensor, " v"]:
        """Scores of the token that follows the text."""
        return self._logits

    @property
    def next_token(self) -> int:
        """Id of the likeliest token that follows the text."""
        return int(self._logits.argmax())

    def past(self) -> DynamicCache:
        """All slots as a cache of transformers; what a model adds to it does not come back."""
        pairs = zip(self._keys, self._values, strict=True)
        return DynamicCache(list(pairs))

    def generate(self, **kwargs: Any) -> Any:
        """Continue the text with `model.generate`; this cache stays as it is.

        Args:
            **kwargs: What `model.generate` takes: `max_new_tokens`, `do_sample`, `streamer`.

        Returns:
            What `model.generate` returns: the ids of text and continuation, shape (1, n).
        """
        ids = torch.tensor([self.ids], device=self._model.device)
        past = self.past()
        past.crop(-1)  # generate wants a token to begin with
        past.batch_repeat_interleave(_continuations(self._model, kwargs))
        mask = torch.ones_like(ids)
        return self._model.generate(input_ids=ids, attention_mask=mask, **{CACHE: past}, **kwargs)

    def _tokens(self, content: str | Sequence[int] | Tensor) -> tuple[int, ...]:
        if isinstance(content, str):
            content = self._need_tokenizer("a text")(content)["input_ids"]
        return self._checked(cast(Any, content))

    def _checked(self, ids: Sequence[int] | Tensor) -> tuple[int, ...]:
        if isinstance(ids, Tensor):
            if ids.dim() == 2 and len(ids) == 1:
                ids = ids[0]
            if ids.dim() != 1:
                raise UsageError(
                    f"EditableCache: ids of shape {tuple(ids.shape)} are not one text; give each "
                    "text a cache of its own."
                )
            ids = ids.tolist()
        try:
            found = tuple(index(token) for token in ids)
        except TypeError as error:
            raise UsageError(
                f"EditableCache: {ids!r:.60} is not a row of token ids, which are whole numbers. "
                "Of a text, give the whole of it: EditableCache(model, tokenizer, text) or "
                "update(text)."
            ) from error
        size = self._model.get_input_embeddings().num_embeddings
        wrong = [token for token in found if not 0 <= token < size]
        if wrong:
            raise UsageError(
                f"EditableCache: token id {wrong[0]} is not in the model's vocabulary; allowed "
                f"is 0 to {size - 1}. Tokenizer and model may not belong together."
            )
        return found

    def _need_tokenizer(self, what: str) -> Any:
        if self._tokenizer is None:
            raise UsageError(
                f"EditableCache: {what} needs a tokenizer, got None; give one when the cache is "
                "made, or give ids."
            )
        return self._tokenizer

    def _check_borders(self, ids: tuple[int, ...]) -> None:
        text = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        again = tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if again == ids:
            return
        places = differences(ids, again)
        raise UsageError(
            f"edit: the tokenizer would write the edited text with other tokens from place "
            f"{places[0].start} to {places[-1].stop} ({len(again)} in all, not {len(ids)}), which "
            "the model would see as another text; give the whole new text to update()."
        )

    @torch.no_grad()
    def _load(self, ids: tuple[int, ...]) -> None:
        _check_length(ids)
        past = DynamicCache(config=self._model.config)
        logits = self._run(ids, 0, past)
        self.ids, self._logits = ids, logits
        layers: list[Any] = past.layers
        self._keys: list[Tensor] = [layer.keys for layer in layers]
        self._values: list[Tensor] = [layer.values for layer in layers]
        self._base = self._keys
        self._turn = torch.zeros(len(ids), dtype=torch.int64)

    @torch.no_grad()
    def _carry(self, edits: Sequence[Edit], ids: tuple[int, ...]) -> EditPlan:
        """Follow the plan in copies, and take them over when all went well."""
        _check_length(ids)
        edits = [edit for edit in edits if not edit.is_empty]
        if not edits:
            return EditPlan(torch.arange(len(ids)), torch.zeros(len(ids), dtype=torch.int64))
        plan = self.method.plan(len(self), edits)
        kept, source = plan.source >= 0, plan.source.clamp(min=0)
        turn = (self._turn[source] + plan.shift) * kept
        base = [_taken(keys, source) for keys in self._base]
        values = [_taken(values, source) for values in self._values]
        keys = [self._moved(one, turn) for one in base]
        layers = [_Slots(k, v) for k, v in zip(keys, values, strict=True)]
        past = Cache(layers=cast(Any, layers))
        for start, stop in plan.spans:
            for layer in layers:
                layer.seen = start
            logits = self._run(ids[start:stop], start, past)
        fresh = (~kept).nonzero().flatten()
        for one, k in zip(base, keys, strict=True):
            one[:, :, fresh.to(one.device)] = _taken(k, fresh)
        self.ids, self._logits, self._turn = ids, logits, turn
        self._base, self._keys, self._values = base, keys, values
        return plan

    def _moved(
        self, base: Float[Tensor, "b g n e"], turn: Int[Tensor, " n"]
    ) -> Float[Tensor, "b g n e"]:
        moving = turn.nonzero().flatten()
        keys, places = base.clone(), moving.to(base.device)
        inv_freq = self._model.get_decoder().rotary_emb.inv_freq
        keys[:, :, places] = rotate(_taken(base, moving), turn[moving].to(base.device), inv_freq)
        return keys

    def _run(self, ids: tuple[int, ...], start: int, past: Cache) -> Float[Tensor, " v"]:
        """Encode tokens behind what `past` holds; the scores after the last one."""
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.arange(start, start + len(ids), device=device)[None],
            **{CACHE: past},
            use_cache=True,
            logits_to_keep=1,
        )
        return cast(Tensor, output.logits[0, -1])


class _Slots(DynamicLayer):  # type: ignore[no-untyped-call]
    """Slots of one layer for a whole text; the model sees and writes up to where it is sent."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.room, self.seen = (keys, values), 0

    def get_seq_length(self) -> int:
        return self.seen

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start, self.seen = self.seen, self.seen + key_states.shape[-2]
        for whole, part in zip(self.room, (key_states, value_states), strict=True):
            whole[:, :, start : self.seen] = part
        keys, values = self.room
        return keys[:, :, : self.seen], values[:, :, : self.seen]


def _continuations(model: Any, kwargs: dict[str, Any]) -> int:
    """How many rows generate makes of one prompt; of a cache it is given, it makes none."""
    config = kwargs.get("generation_config") or model.generation_config
    wanted = (
        kwargs.get(name, getattr(config, name)) for name in ("num_beams", "num_return_sequences")
    )
    return max(number or 1 for number in wanted)


def _taken(x: Tensor, slots: Tensor) -> Tensor:
    return x.index_select(2, slots.to(x.device))


def _check_length(ids: tuple[int, ...]) -> None:
    if not ids:
        raise UsageError(
            "EditableCache: no token would be left, and nothing can follow an empty text; keep at "
            "least one token."
        )


def _check_model(model: nn.Module) -> None:
    """Refuse what cannot be moved, with the reason."""
    name, settings = type(model).__name__, cast(Any, model).config
    kind = getattr(settings, "model_type", "unknown")
    rope = getattr(settings.get_text_config(), "rope_parameters", None)
    known = ", ".join(_ROTARY)
    if rope is None:
        raise UnsupportedModelError(
            f"EditableCache: {name} has no rotary positions: where a token stands is mixed into "
            f"its keys and values for good, and cannot be changed. Supported: {known}."
        )
    if kind not in _ROTARY or not cast(Any, model).can_generate():
        raise UnsupportedModelError(
            f"EditableCache: {name} ({kind}) is not a causal language model whose rotation of "
            f"keys is known here; supported: {known}."
        )
    if rope["rope_type"] not in _FIXED:
        raise UnsupportedModelError(
            f"EditableCache: {name} has rope_type={rope['rope_type']!r}, whose frequencies depend "
            "on the length of the text: keys encoded at one length do not fit another. Allowed: "
            f"{', '.join(_FIXED)}."
        )
    layers = DynamicCache(config=settings).layers
    other = [i for i, layer in enumerate(layers) if type(layer) is not DynamicLayer]
    if other:
        raise UnsupportedModelError(
            f"EditableCache: {name} has sliding-window or linear attention in {len(other)} of "
            f"{len(layers)} layers (the first is layer {other[0]}), which forget earlier tokens; "
            "only full attention in every layer is supported."
        )
