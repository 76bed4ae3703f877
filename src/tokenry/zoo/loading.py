"""One way to load a model: from the zoo, from a folder, or from the Hugging Face Hub."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tokenry.errors import UsageError
from tokenry.progress import shown
from tokenry.zoo.cache import folder
from tokenry.zoo.hub import check_hub
from tokenry.zoo.registry import PREFIX, Kind, find, models
from tokenry.zoo.saving import no_bars
from tokenry.zoo.weights import first_not_finite

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from tokenry.zoo.saliency import SaliencyDecoder

# The part that sees the picture, by the architecture that the checkpoint declares.
_TOWERS = {
    "CLIPModel": "CLIPVisionModelWithProjection",
    "CLIPVisionModelWithProjection": "CLIPVisionModelWithProjection",
    "SiglipModel": "SiglipVisionModel",
}
_HUB_SETTINGS = ("revision", "subfolder", "token", "cache_dir", "local_files_only")


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, and what turns pictures or text into its input.

    Attributes:
        model: a transformers model, parameters checked for NaN.
        processor: an image processor for vision, a tokenizer for text.
    """

    model: PreTrainedModel
    processor: Any


def load(
    name_or_path: str | PathLike[str],
    *,
    kind: Kind | None = None,
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> Loaded:
    """Load a model and its processor, the same way wherever they are.

    Args:
        name_or_path: ``zoo:NAME``, a local folder, or a name on the Hugging Face Hub.
        kind: ``"vision"``, ``"causal-lm"``, ``"masked-lm"``, ``"text-encoder"`` or
            ``"image-text"``; by default what the configuration says. A masked language model is
            taken as ``"text-encoder"``: without its head; ``"masked-lm"`` loads that, too. A CLIP
            or SigLIP model is taken as ``"vision"``: its vision tower alone; ``"image-text"``
            loads both towers.
        trust_remote_code: run code that the checkpoint brings along.
        **kwargs: for ``from_pretrained``: ``dtype``, ``attn_implementation``, ``revision``,
            ``local_files_only`` and so on. Weights are read from safetensors only.

    Returns:
        The model, in evaluation mode, and its processor.

    Raises:
        UnknownNameError: no zoo model has this name.
        MissingExtraError: the zoo model's package is not installed.
        UsageError: there is no such folder or Hub model, or it cannot be loaded, or weights are
            missing, NaN or infinite.
    """
    name, source, kind = _resolve(name_or_path, kind)
    import transformers

    hub = {key: kwargs[key] for key in _HUB_SETTINGS if key in kwargs}
    hub["trust_remote_code"] = trust_remote_code
    with explained(name, hub):
        config = transformers.AutoConfig.from_pretrained(source, **hub)
        kind = kind or _detect(config)
        model, info = _model_class(config, kind).from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            **kwargs,
        )
        processor = _processor_class(kind).from_pretrained(source, **hub)
    _refuse_random_weights(name, model, info["missing_keys"])
    _refuse_nan_weights(name, model)
    return Loaded(model.eval(), processor)


def kind_of(name_or_path: str | PathLike[str]) -> Kind:
    """What `load` makes of a model, by its entry in the zoo or its configuration alone.

    Args:
        name_or_path: ``zoo:NAME``, a local folder, or a name on the Hugging Face Hub.

    Raises:
        UnknownNameError: no zoo model has this name.
        UsageError: there is no such folder or Hub model.
    """
    name = str(name_or_path)
    if name.startswith(PREFIX):
        return find(name).kind
    from transformers import AutoConfig

    with explained(name):
        return _detect(AutoConfig.from_pretrained(_local(name) or name))


def check_name(name: str) -> None:
    """Refuse a name under which nothing can be loaded, as far as can be told at once.

    Args:
        name: `zoo:NAME`, a folder, or a name on the Hub.

    Raises:
        UnknownNameError: no zoo model has this name.
        UsageError: there is no such folder, and the Hub cannot have the name or does not answer.
    """
    if name.startswith(PREFIX):
        find(name)
        return
    with explained(name):
        return


def load_saliency_decoder() -> SaliencyDecoder:
    """The dense head of ``zoo:dinov2-small-saliency``, in evaluation mode.

    Returns:
        A module from patch tokens (b, n, 384) and their grid (h, w) to a map (b, 14 h, 14 w).

    Raises:
        MissingExtraError: the package that carries it is not installed.
    """
    from safetensors.torch import load_file

    from tokenry.zoo.dinov2 import DECODER_FILE
    from tokenry.zoo.saliency import SaliencyDecoder

    decoder = SaliencyDecoder()
    decoder.load_state_dict(load_file(folder("dinov2-small-saliency") / DECODER_FILE))
    return decoder.eval()


def fills_in(name_or_path: str | PathLike[str]) -> bool:
    """Whether a model, by its configuration, is a masked language model with its head.

    Raises:
        UsageError: there is no such folder or Hub model.
    """
    from transformers import AutoConfig

    name, source, _ = _resolve(name_or_path, None)
    with explained(name):
        return _architecture(AutoConfig.from_pretrained(source)).endswith("ForMaskedLM")


def _resolve(
    name_or_path: str | PathLike[str], kind: Kind | None
) -> tuple[str, str | Path, Kind | None]:
    if kind is not None and kind not in get_args(Kind):
        allowed = ", ".join(map(repr, get_args(Kind)))
        raise UsageError(f"load: kind is {kind!r}; allowed are {allowed}, or None to detect it.")
    name = str(name_or_path)
    if name.startswith(PREFIX):
        return name, folder(name), kind or find(name).kind
    return name, _local(name) or name, kind


def _local(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if name and path.is_dir() else None


def _detect(config: PreTrainedConfig) -> Kind:
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    if _architecture(config).endswith(("ForCausalLM", "LMHeadModel")):
        return "causal-lm"
    sees = type(config) in IMAGE_PROCESSOR_MAPPING or hasattr(config, "image_size")
    return "vision" if sees else "text-encoder"


def _architecture(config: PreTrainedConfig) -> str:
    return (config.architectures or [""])[0]


def _model_class(config: PreTrainedConfig, kind: Kind) -> Any:
    import transformers

    architecture = _architecture(config)
    if kind == "causal-lm":
        return transformers.AutoModelForCausalLM
    if kind == "masked-lm":
        return transformers.AutoModelForMaskedLM
    if kind == "vision" and architecture in _TOWERS:
        return getattr(transformers, _TOWERS[architecture])
    if kind == "vision" and "ForImageClassification" in architecture:
        return transformers.AutoModelForImageClassification
    return transformers.AutoModel


def _processor_class(kind: Kind) -> Any:
    import transformers

    if kind == "vision":
        # Before transformers 5.18 the top-level name asks for torchvision, this one does not.
        return import_module("transformers.models.auto.image_processing_auto").AutoImageProcessor
    return transformers.AutoProcessor if kind == "image-text" else transformers.AutoTokenizer


def _refuse_random_weights(name: str, model: PreTrainedModel, missing: set[str]) -> None:
    """A pooler without weights is taken off (it would be random); anything else is refused."""
    absent = sorted(key for key in missing if not key.startswith("pooler."))
    if absent:
        raise UsageError(
            f"load: {name!r} has no weights for {absent[0]!r} and {len(absent) - 1} more, which "
            f"would be random in a {type(model).__name__}. Name another kind, or get a checkpoint "
            "that holds them."
        )
    if missing:
        model._modules["pooler"] = None


def _refuse_nan_weights(name: str, model: PreTrainedModel) -> None:
    damaged = first_not_finite(model)
    if damaged:
        raise UsageError(
            f"load: {name!r} holds NaN or infinite values in the parameter {damaged!r}; only "
            "finite weights give results. The file is damaged or its training diverged: get the "
            "checkpoint again, or take another."
        )


@contextmanager
def explained(name: str, settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Errors of transformers in words, for what is loaded by that name.

    A name that the Hub cannot have, and a Hub that does not answer, are found out at once.

    Args:
        name: `zoo:NAME`, a folder, or a name on the Hub; empty for what has none.
        settings: For `from_pretrained`.
    """
    from safetensors import SafetensorError

    try:
        if name and not (name.startswith(PREFIX) or _local(name)):
            check_hub(name, settings or {})
        with _quiet(progress=not name.startswith(PREFIX) and shown()):
            yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if _local(name):
            tried = "this folder"
        else:
            tried = "a local folder (there is none of this name) and the Hugging Face Hub"
        zoo = [PREFIX + model.name for model in models()]
        near = difflib.get_close_matches(name, zoo, n=3, cutoff=0.5) or zoo
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"load: {name!r} cannot be loaded; tried {tried}: {reason}. Download it while "
            "online, pass a folder with config.json and model.safetensors, or take a zoo model: "
            f"{', '.join(near)}. (HF_HUB_OFFLINE=1 skips the network.)"
        ) from error


@contextmanager
def _quiet(progress: bool) -> Iterator[None]:
    """Without the loader's remarks: unused weights are by design, missing ones are refused."""
    remarks: Any = import_module("transformers.utils.logging")
    level = remarks.get_verbosity()
    remarks.set_verbosity_error()
    try:
        with nullcontext() if progress else no_bars():
            yield
    finally:
        remarks.set_verbosity(level)
