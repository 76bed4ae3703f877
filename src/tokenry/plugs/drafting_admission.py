"""Which model and which call of `generate` drafts can work under; others are refused in words."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.generation.configuration_utils import GenerationMode
from transformers.generation.logits_process import (
    PrefixConstrainedLogitsProcessor,
    SynthIDTextWatermarkLogitsProcessor,
)
from transformers.generation.logits_process import (
    UnbatchedClassifierFreeGuidanceLogitsProcessor as _Guidance,
)
from transformers.generation.utils import GenerationMixin

from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import CachePolicy, MarkedPolicy, Method
from tokenry.plugs.attachment import MARK
from tokenry.plugs.attention import BASES
from tokenry.plugs.caching import Caching
from tokenry.plugs.decoders import FIXED_ROTATIONS
from tokenry.plugs.drafting_ground import DraftLayer

_MODES = (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)

_SINGLE: dict[type, str] = {
    PrefixConstrainedLogitsProcessor: "prefix_allowed_tokens_fn",
    SynthIDTextWatermarkLogitsProcessor: "a SynthID watermark",
}
"""Processors that go through a batch row by row, with state of their own."""


def refuse_model(owner: str, model: nn.Module) -> None:
    """Refuse a model whose passes cannot verify a tree.

    Raises:
        UnsupportedModelError: If it is one.
        UsageError: If it must only be loaded in another way.
    """
    name, config = type(model).__name__, getattr(model, "config", None)
    if not isinstance(model, GenerationMixin) or config is None:
        raise UnsupportedModelError(f"{owner}: {name} does not generate text with model.generate.")
    text: Any = config.get_text_config(decoder=True)
    why = _why_not(model, text, bool(getattr(config, "is_encoder_decoder", False)))
    if why:
        raise UnsupportedModelError(f"{owner}: cannot draft for {name}: {why}.")
    _refuse_settings(owner, name, text)


def _why_not(model: Any, text: Any, reads: bool) -> str:
    """Why a model, which may read with an encoder, can verify no draft; empty if it can."""
    if getattr(model, "_is_stateful", False):
        return "it has a recurrent state, which cannot go back to an earlier token"
    if reads and type(model).generate is not GenerationMixin.generate:
        return "it has a generate of its own"
    placed = "position_ids" in inspect.signature(model.forward).parameters
    if not reads and (not placed or getattr(text, "alibi", False)):
        return "it takes no position_ids, but tokens of a tree must be told where they stand"
    for layer in DynamicCache(config=text).layers:
        if type(layer) is not DynamicLayer:
            kind = type(layer).__name__
            return f"its cache has a {kind}, of which tokens in the middle cannot be taken back"
    return ""


def _refuse_settings(owner: str, name: str, config: Any) -> None:
    if config._attn_implementation not in BASES:
        raise UsageError(
            f"{owner}: the attention implementation of this {name} is "
            f"{config._attn_implementation!r}, which cannot carry the mask of a tree; load it with "
            f"attn_implementation={' or '.join(map(repr, BASES))}."
        )
    parameters = getattr(config, "rope_parameters", None) or {}
    every = (parameters, *parameters.values())
    kinds = {one["rope_type"] for one in every if isinstance(one, dict) and "rope_type" in one}
    if kinds - FIXED_ROTATIONS:
        raise UnsupportedModelError(
            f"{owner}: the rotary embedding of this {name} is of the kind {sorted(kinds)}, whose "
            "frequencies change with the length of the text, drafted tokens included; allowed are "
            f"{', '.join(sorted(FIXED_ROTATIONS))}."
        )


def refuse_carried(owner: str, model: nn.Module, below: Caching | None) -> None:
    """Refuse a model that carries a method already, but for the policy `below`.

    Raises:
        AttachError: If it does.
    """
    for module in model.modules():
        other = module.__dict__.get(MARK)
        if other is not None and other is not below:
            raise AttachError(
                f"attach: {type(model).__name__} already carries {other.method.describe()}, and "
                f"{owner} is not put on top of it; leave its with-block or call its detach() "
                "first. A drafter and a cache policy are given to attach together, as a list."
            )


def refuse_policy(owner: str, model: nn.Module, policy: Method) -> None:
    """Refuse a method that cannot lie under drafts.

    Raises:
        UsageError: If it is one.
    """
    name, config = type(policy).__name__, getattr(model, "config", None)
    reasons = {
        "it puts landmarks into the text and writes the attention over them itself": isinstance(
            policy, MarkedPolicy
        ),
        "it is no policy for a key-value cache": not isinstance(policy, CachePolicy),
        "it selects what each token reads, so that each is a pass of its own and nothing can be "
        "verified ahead": isinstance(policy, CachePolicy) and policy.selects,
        "an encoder-decoder keeps its encoder's keys, which no policy cuts": getattr(
            config, "is_encoder_decoder", False
        ),
    }
    for why in (why for why, holds in reasons.items() if holds):
        raise UsageError(
            f"attach: {owner} and {name} cannot be combined: {why}. Allowed are a drafter and a "
            "policy that evicts, such as 'snapkv' or 'streaming-llm', on a causal model."
        )


def refuse_call(owner: str, arguments: dict[str, Any]) -> None:
    """Refuse what `generate` was given but would not pass on.

    Raises:
        UsageError: If it cannot work together with drafts.
    """
    for name in ("custom_generate", "assistant_model", "synced_gpus"):
        if arguments.get(name):
            raise UsageError(
                f"{owner}: generate was given {name}, which decodes in a way of its own; leave it "
                "out, or call generate outside the with-block."
            )


def refuse_config(
    owner: str, config: Any, processors: list[Any], batch: int, kwargs: dict[str, Any]
) -> None:
    """Refuse settings of `generate` under which drafts cannot work.

    Raises:
        UsageError: If one is.
    """
    mode = config.get_generation_mode()
    shown = config.output_attentions or config.output_hidden_states
    kinds = {type(processor) for processor in processors}
    single = [_SINGLE[kind] for kind in kinds & _SINGLE.keys() if batch > 1]
    reasons = {
        f"generate was told to decode by {mode.value.replace('_', ' ')}": mode not in _MODES,
        "use_cache=False leaves nothing to verify drafts against": not kwargs.get("use_cache"),
        "token_healing needs the tokenizer, which is not passed on": config.token_healing,
        "attentions and hidden states are not those of one token at a time": shown,
        "guidance_scale runs the model a second time, token by token": _Guidance in kinds,
        f"{' and '.join(single)} works on one text at a time, not on {batch}": single,
    }
    for why in (why for why, holds in reasons.items() if holds):
        raise UsageError(
            f"{owner}: {why}; allowed are greedy search and sampling with a dynamic cache."
        )
    _refuse_places(owner, kwargs)


def _refuse_places(owner: str, kwargs: dict[str, Any]) -> None:
    if kwargs.get("encoder_outputs") is not None:
        mask = kwargs.get("decoder_attention_mask")
        if mask is not None and not bool(mask.all()):
            raise UsageError(
                f"{owner}: decoder_attention_mask hides part of a decoder prompt, but all rows "
                "must stand at the same place; give decoder prompts of one length."
            )
        return
    places = kwargs.get("position_ids")
    if places is None or places.ndim != 2:
        raise UsageError(
            f"{owner}: positions have several parts each, and drafted tokens cannot be placed; "
            "allowed are models with one position per token."
        )


def admit_cache(owner: str, model: Any, given: Any) -> Cache:
    """The decoder's own cache, all of whose layers are ready for drafts from now on.

    Raises:
        UsageError: If tokens cannot be taken back from it.
    """
    given = getattr(given, "self_attention_cache", given)
    expected = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    if not isinstance(given, Cache) or getattr(given, "offloading", False):
        raise UsageError(
            f"{owner}: the cache is {type(given).__name__}, offloaded or of another kind; give a "
            "DynamicCache that is not offloaded, or none."
        )
    if not given.layers:
        given.layers.extend(expected)
    wrong = [layer for layer in given.layers if type(layer) is not DynamicLayer]
    if wrong or len(given.layers) != len(expected):
        raise UsageError(
            f"{owner}: the cache has {len(given.layers)} layers of which {len(wrong)} are not "
            f"dynamic ones, but this model needs {len(expected)} dynamic ones (not static, "
            "quantized, or cut by a cache policy); give such a cache, or none."
        )
    plain: list[Any] = given.layers
    given.layers[:] = [DraftLayer.adopt(layer) for layer in plain]
    return given


def release_cache(cache: Cache) -> None:
    """Give the cache its plain layers back."""
    for i, layer in enumerate(cache.layers):
        if isinstance(layer, DraftLayer):
            cache.layers[i] = layer.release()
