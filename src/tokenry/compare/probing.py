"""The verb `probe`: what a model does with its tokens, measured on texts with exact answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import nn

from tokenry import catalog, zoo
from tokenry.compare.configurations import REFERENCE, Configuration, configure, keeps
from tokenry.compare.probed import PolicyProbed, Probed, ProbedPolicies, differences
from tokenry.compare.records import Skipped
from tokenry.compare.subject import shown, undisturbed
from tokenry.errors import UsageError
from tokenry.method import CachePolicy, Item, Measurement, Method, Probe
from tokenry.ops.sampling import balanced
from tokenry.plugs.attach import attach
from tokenry.plugs.device import device_of
from tokenry.plugs.scoring import Reader
from tokenry.progress import showing, track

KEEPS = (1.0, 0.5, 0.25)
"""Values of the dial when nothing else is asked for."""

if TYPE_CHECKING:
    Query = Literal["aware", "free"]
    Methods = str | Sequence[str | Method]


@overload
def probe(model: Any, probe: str | Probe, *, methods: None = None, **more: Any) -> Probed: ...
@overload
def probe(model: Any, probe: str | Probe, *, methods: Methods, **more: Any) -> ProbedPolicies: ...
def probe(
    model: Any,
    probe: str | Probe,
    *,
    methods: Methods | None = None,
    keep: float | Sequence[float] | None = None,
    tokenizer: Any = None,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int = 4,
    query: Query = "free",
    bos: bool = False,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Probed | ProbedPolicies:
    """Put the texts of a probe to a causal language model and measure its responses.

    With `methods`, the untouched model and every cache policy at every keep read the same texts,
    and the results stand side by side. Without, the model is measured with what `tokenry.attach`
    has attached to it.

    Args:
        model: A name for `tokenry.zoo.load`, a `zoo.Loaded`, or a model that transformers loaded.
        probe: Name of a probe, alone or with settings as in "verbatim-memory(lengths=(3, 10))",
            or a configured instance.
        methods: Cache policies by name, alone or with settings as in "snapkv(last=16)", or
            configured instances, whose `keep` is replaced.
        keep: Shares of cache slots to hold, or read, each in (0, 1]; 1, 0.5 and 0.25 when not
            given.
        tokenizer: The model's; needed only when it was not loaded by name.
        seed: Of the items and of the resampling.
        limit: At most so many items of those that the model takes, with every length, depth and
            kind as often as can be.
        batch_size: Texts in a pass.
        query: What a cache policy has seen when it cuts: "free", only what stands before the
            question (or the second list); "aware", all of it.
        bos: Put the beginning-of-text token in front of each text.
        device: Where to run; None stays where the model is.
        progress: Show a bar; None shows one on a terminal.
        **settings: Settings of the probe, when it is given by name.

    Returns:
        The scores, their groups with intervals, and a table of them as a string; with `methods`
        the same of each.

    Raises:
        UnknownNameError: If no probe, method or setting has this name.
        UsageError: If an argument is out of range, or no item fits into the model's positions.
    """
    _check(limit, batch_size, query)
    one = catalog.configured(probe, Probe, "probe", **settings)
    wanted, skipped = _policies(methods, keep)
    place = device_of(device)
    loaded, name = _found(model, tokenizer)
    reading: Any = {"batch_size": batch_size, "bos": bos, "in_parts": query == "free"}
    reader = Reader(model=loaded.model, tokenizer=loaded.processor, **reading)
    items = one.items(seed)
    order = _fitting(items, reader, f"{one.describe()} on {name}")
    left_out = len(items) - len(order)
    if limit is not None:
        order = [order[i] for i in balanced([items[i].conditions for i in order], limit, seed)]
    home = next(loaded.model.parameters()).device
    with showing(progress), undisturbed(loaded.model, home if place is None else place):
        every = _measurements(one, items, order, reader, wanted, skipped)
        found = [
            (configuration, Probed(name, one.describe(), seed, measured, left_out, query, bos))
            for configuration, measured in every
        ]
    untouched = found[0][1]
    if methods is None:
        return untouched
    runs = [PolicyProbed(c.label, c.keep, p, differences(p, untouched)) for c, p in found]
    return ProbedPolicies(tuple(runs), tuple(skipped))


def _check(limit: int | None, batch_size: int, query: str) -> None:
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"probe: {name}={value} is not positive; give at least 1.")
    if query not in ("aware", "free"):
        raise UsageError(f"probe: query={query!r}; allowed: 'aware' or 'free'.")


def _policies(methods: Any, keep: Any) -> tuple[list[Configuration], list[Skipped]]:
    """The untouched model and the policies to run, and what cannot be."""
    if methods is None:
        if keep is not None:
            raise UsageError(f"probe: keep={keep!r} is for cache policies; give methods too.")
        return [REFERENCE], []
    dial = keeps(KEEPS if keep is None else keep, "probe")
    _, wanted, skipped = configure(methods, dial, "probe")
    for one in wanted:
        for method in one.methods:
            if not isinstance(method, CachePolicy):
                raise UsageError(
                    f"probe: {method.card.slug} is a {method.card.family} method, but a language "
                    "model takes cache policies; `tokenry list --family cache` shows them."
                )
    return wanted, skipped


def _measurements(
    one: Probe,
    items: Sequence[Item],
    order: Sequence[int],
    reader: Reader,
    wanted: Sequence[Configuration],
    skipped: list[Skipped],
) -> list[tuple[Configuration, Measurement]]:
    """What comes of the items, read in `order`, under each policy; what is refused is skipped."""
    found = []
    total = len(order) * len(wanted)
    with track(total=total, unit="item") as bar:
        for number, configuration in enumerate(wanted, 1):
            methods, responses = configuration.methods, {}
            try:
                with attach(reader.model, methods) if methods else nullcontext():
                    for i, response in zip(
                        order, reader.respond([items[i] for i in order]), strict=True
                    ):
                        responses[i] = response
                        bar.update()
            except UsageError as error:
                if not methods:
                    raise
                skipped.append(Skipped(configuration.label, configuration.keep, str(error)))
                bar.update(number * len(order) - bar.n)
                continue
            kept = sorted(order)
            measured = one.measure([items[i] for i in kept], [responses[i] for i in kept])
            found.append((configuration, measured))
    return found


def _fitting(items: Sequence[Item], reader: Reader, what: str) -> list[int]:
    """Which items the model takes, shortest first: neighbours of one length need no padding."""
    most = reader.positions
    sizes = sorted((reader.room(item), i) for i, item in enumerate(items))
    order = [i for size, i in sizes if most is None or size <= most]
    if not order:
        raise UsageError(
            f"probe: {what}: the shortest item takes {sizes[0][0]} tokens, and the model has "
            f"{most} positions; ask for shorter ones."
        )
    return order


def _found(model: Any, tokenizer: Any) -> tuple[zoo.Loaded, str]:
    """The model with its tokenizer, and its name."""
    if isinstance(model, str | Path):
        loaded = zoo.load(model, kind="causal-lm")
        return zoo.Loaded(loaded.model, tokenizer or loaded.processor), shown(str(model))
    if isinstance(model, zoo.Loaded):
        source = str(getattr(model.model, "name_or_path", ""))
        kept = zoo.Loaded(model.model, tokenizer or model.processor)
        return kept, shown(source) or type(model.model).__name__
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"probe: model is a {type(model).__name__}; give a name such as 'zoo:smollm2-135m', "
            "a folder, or a loaded model."
        )
    source = str(getattr(model, "name_or_path", ""))
    if tokenizer is None:
        tokenizer = _tokenizer(model, source)
    anything: Any = model  # a model of one's own need not be transformers'
    return zoo.Loaded(anything, tokenizer), shown(source) or type(model).__name__


def _tokenizer(model: nn.Module, source: str) -> Any:
    from transformers import AutoTokenizer

    problem: Exception | str = "it was not loaded by name"
    if source:
        try:
            return AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            problem = error
    raise UsageError(
        f"probe: {type(model).__name__} has no known tokenizer ({problem}); give tokenizer=."
    )
