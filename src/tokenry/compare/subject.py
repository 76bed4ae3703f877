"""The model that is compared: found, named, moved to its device, and given back as it was."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tokenry import zoo
from tokenry.compare.kinds import KINDS, fingerprint, kind_by, kind_of
from tokenry.compare.tasks.base import Subject
from tokenry.errors import UsageError
from tokenry.method import Method


def foreseen(model: Any, image_size: int | None, methods: Sequence[Method] = ()) -> tuple[str, str]:
    """The kind and the name of a model, told without reading its weights.

    Args:
        model: As in `find`.
        image_size: As in `find`.
        methods: As in `find`.

    Raises:
        UsageError: If there is no such model, or it takes no image size.
    """
    source = _source(model)
    if isinstance(model, str | Path):
        kind = kind_by(zoo.kind_of(model), methods)
    else:
        kind = kind_of(model.model if isinstance(model, zoo.Loaded) else model, methods)
    if image_size is not None and kind != "vision":
        raise UsageError(
            f"compare: image_size={image_size} is for vision models, but {source or 'the model'} "
            f"is a {KINDS[kind].title}; leave it out."
        )
    return kind, shown(source) or type(getattr(model, "model", model)).__name__


def find(
    model: Any,
    device: torch.device | None,
    image_size: int | None,
    methods: Sequence[Method] = (),
) -> Subject:
    """The model with its processor.

    Args:
        model: A name for `tokenry.zoo.load`, a `zoo.Loaded`, or a model that transformers loaded.
        device: Where to run; None stays where the model is.
        image_size: Side in pixels that images are brought to.
        methods: What is compared on it.

    Raises:
        UsageError: If no processor belongs to the model.
    """
    source = _source(model)
    if isinstance(model, str | Path):
        loaded = zoo.load(model)
    else:
        loaded = model if isinstance(model, zoo.Loaded) else _with_processor(model, source)
    home = next(loaded.model.parameters()).device
    kind = kind_of(loaded.model, methods)
    return Subject(
        model=loaded.model,
        processor=loaded.processor,
        name=shown(source) or type(loaded.model).__name__,
        device=home if device is None else device,
        image_size=image_size,
        source=source,
        kind=kind,
    )


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, on `device`, without gradients; afterwards all is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    home = next(model.parameters()).device
    try:
        model.eval()
        if home != device:
            model.to(device)
        # Not inference_mode: what a model caches in it could not be trained with later.
        with torch.no_grad():
            yield
    finally:
        if home != device:
            model.to(home)
        for module, training in modes:
            module.training = training


def facts(subject: Subject) -> dict[str, Any]:
    """All of the model and the machine that scores or seconds depend on."""
    model = subject.model
    return {
        "model": zoo.weights_hash(model),
        "attention": str(getattr(model.config, "_attn_implementation", "")),
        "processor": fingerprint(subject.processor),
        "image_size": subject.image_size,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "device": _device_name(subject.device),
        "threads": torch.get_num_threads(),
        "tokenry": version("tokenry"),
        "torch": torch.__version__,
    }


def environment(subject: Subject, found: dict[str, Any]) -> dict[str, str]:
    """The facts for people, and what else may explain a figure."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("transformers", "numpy")},
        "system": platform.platform(terse=True),
        "cores": str(os.cpu_count()),
        "class": type(subject.model).__name__,
        **{name: str(value) for name, value in found.items() if value is not None},
    }


def shown(source: str) -> str:
    """A folder's own name: where it lies on this machine concerns nobody else."""
    return Path(source).resolve().name if source and Path(source).is_dir() else source


def _source(model: Any) -> str:
    """What a model is called where it comes from; nothing where that is not known."""
    if isinstance(model, str | Path):
        return str(model)
    if not isinstance(model, zoo.Loaded | nn.Module):
        raise UsageError(
            f"compare: model is a {type(model).__name__}; give a name such as "
            "'zoo:dinov2-small-saliency', a folder, or a loaded model."
        )
    inner = model.model if isinstance(model, zoo.Loaded) else model
    return str(getattr(inner, "name_or_path", ""))


def _with_processor(model: Any, name: str) -> zoo.Loaded:
    kind = KINDS[kind_of(model)]
    problem: Exception | str = "it was not loaded by name"
    if name:
        try:
            return zoo.Loaded(model, _processor_class(kind.processor).from_pretrained(name))
        except (OSError, ValueError) as error:
            problem = error
    raise UsageError(
        f"compare: {type(model).__name__} has no known {kind.reads} ({problem}); give its name "
        f"instead, or tokenry.zoo.Loaded(model, {kind.reads.split()[-1]})."
    )


def _processor_class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {_processor_name()}"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
