"""The verb: attach a method to a model, and take it off again without a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import nn

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import CachePolicy, Drafter, MarkedPolicy, Method, RowSampler, TokenReducer
from tokenry.plugs.attachment import Attachment
from tokenry.plugs.caching import Caching
from tokenry.plugs.drafting import Drafting
from tokenry.plugs.drafting_admission import refuse_policy
from tokenry.plugs.landmarks import Landmarks
from tokenry.plugs.own_rows import OwnRows
from tokenry.plugs.reduction import Reduction

_PLUGS: dict[type[Method], Callable[[nn.Module, Any], Attachment[Method]]] = {
    TokenReducer: Reduction,
    MarkedPolicy: Landmarks,
    CachePolicy: Caching,
    Drafter: Drafting,
    RowSampler: OwnRows,
}


def attach(
    model: nn.Module, method: str | Method | Sequence[str | Method], **settings: Any
) -> Attachment[Method]:
    """Switch a method on; use it in a `with` statement, or call `detach()` when done.

    Args:
        model: Any model that holds a supported vision encoder, for a cache policy a supported
            causal language model, or for a drafter one that generates text.
        method: Name of a method, alone or with settings as in "pitome(margin=0.5)"; a configured
            instance; or a list of them, a stack: a drafter and a cache policy that evicts, as in
            `["prompt-lookup", "snapkv(keep=0.5)"]` or "prompt-lookup+snapkv(keep=0.5)".
        **settings: Settings of the method, when it is one and given by name: `keep=0.6`.

    Returns:
        The attachment; its `trace` tells what became of the tokens in the last pass.

    Raises:
        UnknownNameError: If no method has this name.
        UsageError: If a setting is out of range, the methods cannot be combined, or the model is
            not loaded.
        UnsupportedModelError: If tokenry does not know the architecture.
        AttachError: If the model already carries a method.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"attach: model is a {type(model).__name__}; give the loaded model itself, such as "
            "tokenry.zoo.load('zoo:smollm2-135m').model."
        )
    if isinstance(method, str):
        method = catalog.split(method, "+") or [method]
    methods = list(method) if isinstance(method, Sequence) else [method]
    if len(methods) != 1:
        return _stacked(model, methods, settings)
    one = catalog.configured(methods[0], Method, "attach", **settings)
    for kind, plug in _PLUGS.items():
        if isinstance(one, kind):
            return plug(model, one)
    raise UsageError(
        f"attach: {type(one).__name__} is not switched on by attach; `tokenry show "
        f"{one.card.slug}` says how it is used."
    )


def _stacked(
    model: nn.Module, methods: Sequence[str | Method], settings: dict[str, Any]
) -> Attachment[Method]:
    """A drafter over a cache policy."""
    if settings:
        raise UsageError(
            f"attach: {', '.join(settings)} is given for {len(methods)} methods; set it on the one "
            'it belongs to, as in "snapkv(keep=0.5)".'
        )
    made = [catalog.configured(one, Method, "attach") for one in methods]
    drafters = [one for one in made if isinstance(one, Drafter)]
    others = [one for one in made if not isinstance(one, Drafter)]
    if len(drafters) != 1 or len(others) != 1:
        names = " and ".join(one.describe() for one in made) or "nothing"
        raise UsageError(
            f"attach: {names} cannot be combined; a stack is one drafter and one cache policy, as "
            'in ["prompt-lookup", "snapkv(keep=0.5)"].'
        )
    refuse_policy(type(drafters[0]).__name__, model, others[0])
    below = Caching(model, cast("CachePolicy", others[0]))
    try:
        return Drafting(model, drafters[0], below)
    except BaseException:
        below.detach()
        raise
