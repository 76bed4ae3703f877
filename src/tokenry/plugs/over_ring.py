"""A causal language model whose attention runs over a ring of ranks, each with its own tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from tokenry.errors import AttachError, UsageError
from tokenry.method import SequenceRing
from tokenry.ops.ring import places
from tokenry.plugs.circulation import Traffic, membership
from tokenry.plugs.distributed import token_ring

_NAME = "tokenry-ring"
_IGNORED = -100  # a label that counts for no loss
_RINGS: dict[int, Shards] = {}  # by the id of the model's config, while the model is on a ring


@dataclass(frozen=True, eq=False)
class Shards:
    """This rank's part of what a model over a ring sees. Made by `over_ring`.

    Attributes:
        ring: How sequences are cut, and who holds whose queries when.
        group: The ranks.
        rank: This rank's number in the group.
        world: How many ranks there are.
        traffic: What this rank sent and computed, over all passes and layers.
    """

    ring: SequenceRing
    group: dist.ProcessGroup
    rank: int
    world: int
    traffic: Traffic = field(default_factory=Traffic)

    def places(self, length: int) -> Int[Tensor, "n"]:
        """Which tokens of a sequence of `length` this rank holds.

        Raises:
            UsageError: If the ranks do not divide the length.
        """
        chunks = self.ring.chunks(self.rank, self.world)
        count = self.world * len(chunks)
        if length % count or not length:
            raise UsageError(
                f"over_ring: {length} tokens cannot be cut into equal shards; "
                f"{self.ring.describe()} on {self.world} ranks needs a multiple of {count}. Pad "
                "the text on the right, with 0 in its attention mask."
            )
        return places(chunks, length // count)

    def cut(
        self,
        input_ids: Int[Tensor, "b n"],
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b n"] | None = None,
    ) -> dict[str, Any]:
        """The model's arguments for this rank's tokens; every rank is given the same whole.

        Args:
            input_ids: The whole sequences.
            attention_mask: `(b, n)`, 0 where a token is padding.
            labels: As for a model without a ring: place i is what place i shall read as. The
                loss is then this rank's share: the ranks' losses add up to the whole text's, and
                so do the gradients of the weights.

        Raises:
            UsageError: If the ranks do not divide the length.
        """
        mine = self.places(input_ids.shape[1]).to(input_ids.device)
        found: dict[str, Any] = {
            "input_ids": input_ids[:, mine],
            "position_ids": mine.unsqueeze(0),
            "use_cache": False,
        }
        if attention_mask is not None:
            found["attention_mask"] = attention_mask[:, mine]
        if labels is not None:
            # The next token of a chunk's last one lies on another rank: shift before cutting.
            following = pad(labels[:, 1:], (0, 1), value=_IGNORED)
            found["labels"] = found["shift_labels"] = following[:, mine]
            found["num_items_in_batch"] = (following != _IGNORED).sum()
        return found


@contextmanager
def over_ring(
    model: nn.Module, ring: SequenceRing, group: dist.ProcessGroup | None = None
) -> Iterator[Shards]:
    """Let a model's attention run over all ranks, each of which gives the model its own tokens.

    Every rank enters with the same weights and runs the same passes: `model(**shards.cut(ids))`.
    What comes out are the rows of this rank's tokens, the same as without a ring. A backward
    pass leaves on each rank its tokens' share of the weights' gradients: add them up over the
    ranks (`all_reduce`). On exit, after an exception too, the model is as it was.

    Args:
        model: A causal language model of transformers with full attention in every layer.
        ring: Who holds whose queries when: `TokenRing()`.
        group: The ranks; all of the job when not given.

    Yields:
        What cuts sequences for this rank, and counts its traffic.

    Raises:
        UsageError: If there is no process group with this rank in it, or the model's attention
            cannot be replaced or is not full attention.
        AttachError: If the model is on a ring already.
    """
    shards = Shards(ring, *membership("over_ring", group))
    config = _replaceable(model)
    before = config._attn_implementation
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, _padding)
    _RINGS[id(config)] = shards
    body = cast(PreTrainedModel, model).base_model
    # Not a bound method: whoever copies the model would copy the process group.
    door = body.register_forward_pre_hook(
        lambda _, args, kwargs: _check_places(shards, kwargs.get("position_ids")), with_kwargs=True
    )
    try:
        config._attn_implementation = _NAME
        yield shards
    finally:
        door.remove()
        config._attn_implementation = before
        del _RINGS[id(config)]


def _replaceable(model: nn.Module) -> Any:
    """The config of a model whose every attention can go over a ring."""
    who = type(model).__name__
    if not isinstance(model, PreTrainedModel) or not model._can_set_attn_implementation():
        raise UsageError(
            f"over_ring: the attention of {who} cannot be replaced, because it does not use the "
            "attention interface of transformers; take a model that does, such as Llama's."
        )
    config: Any = model.config
    if id(config) in _RINGS:
        raise AttachError(f"over_ring: {who} is on a ring already; leave its with-block first.")
    parts = {id(m.config) for m in model.modules() if isinstance(m, PreTrainedModel)}
    if len(parts) > 1 or config.is_encoder_decoder:
        raise UsageError(
            f"over_ring: {who} is made of several models; give its language model alone."
        )
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    windowed = getattr(config, "sliding_window", None) and not getattr(config, "layer_types", None)
    if set(kinds) != {"full_attention"} or windowed:
        found = "sliding_attention" if windowed else ", ".join(sorted(set(kinds)))
        raise UsageError(
            f"over_ring: the layers of {who} are {found}; only full_attention in every layer can "
            "run over a ring."
        )
    return config


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What a model on a ring calls instead of its own attention."""
    shards = _RINGS.get(id(cast(Any, module).config))
    if shards is None:
        raise AttachError(
            "over_ring: this model was copied from one on a ring; copy it outside the with-block."
        )
    _refuse(query, key, attention_mask, dropout, others)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    out = token_ring(
        query,
        key,
        value,
        shards.ring,
        causal=bool(causal),
        scale=scaling,
        valid=None if attention_mask is None else attention_mask.bool(),
        group=shards.group,
        traffic=shards.traffic,
    )
    return out.transpose(1, 2).contiguous(), None


def _refuse(
    query: Tensor,
    key: Tensor,
    attention_mask: Tensor | None,
    dropout: float,
    others: dict[str, Any],
) -> None:
    """Whatever a ring cannot compute, or would compute wrongly."""
    unknown = [n for n in ("softcap", "s_aux", "position_bias") if others.get(n) is not None]
    if dropout or unknown:
        raise UsageError(
            f"over_ring: attention with {'dropout' if dropout else unknown[0]} cannot run over a "
            "ring; switch it off."
        )
    if key.shape[2] != query.shape[2]:
        raise UsageError(
            f"over_ring: {query.shape[2]} queries meet {key.shape[2]} keys of this rank; a ring "
            "takes the whole text in one pass: use_cache=False, no cache, no generate."
        )
    if attention_mask is not None and attention_mask.ndim != 2:
        raise UsageError(
            f"over_ring: an attention mask of shape {tuple(attention_mask.shape)} cannot be cut; "
            "give the (b, n) mask of padding to shards.cut."
        )


def _check_places(shards: Shards, given: Tensor | None) -> None:
    """At the model's door: the places given are those of this rank's tokens."""
    if given is not None:
        expected = shards.places(given.shape[-1] * shards.world).to(given.device)
        if torch.equal(given, expected.expand_as(given)):
            return
    words = "missing" if given is None else f"{given.flatten()[:4].tolist()} and so on"
    raise UsageError(
        f"over_ring: position_ids are {words}, which are not the places of rank {shards.rank}'s "
        "tokens in the whole text; take the model's arguments from shards.cut."
    )


def _padding(attention_mask: Tensor | None = None, **others: Any) -> Tensor | None:
    """The mask twin: the padding of this rank's tokens; who sees whom the ring knows itself."""
    return attention_mask
