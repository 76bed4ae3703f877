"""The kinds of models that can be compared, and what belongs to each: one row of a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from tokenry import data as datasets
from tokenry.compare.haystacks import texts
from tokenry.compare.linked import LinkingData
from tokenry.compare.linking_data import linking_data
from tokenry.errors import UsageError
from tokenry.method import (
    CachePolicy,
    Drafter,
    IndexReducer,
    LateScorer,
    Linker,
    Method,
    SearchPlan,
    TokenReducer,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model, and what it is compared with.

    Attributes:
        title: What it is called.
        family: Family of the methods that fit.
        contracts: Their classes.
        processor: The class in transformers that turns examples into its input.
        reads: What that is called.
        data: Class of its data.
        load: From what a user names to such data.
        loader: What that function is called.
        task: What is scored when nothing is asked for.
        batch_size: Examples per pass when nothing is asked for.
        batches: Into so many passes the examples go when nothing is asked for, whatever their
            number; 0 where `batch_size` counts.
        beside: Classes of the methods that one of `contracts` makes a stack with.
    """

    title: str
    family: str
    contracts: tuple[type[Method], ...]
    processor: str
    reads: str
    data: type[Any]
    load: Callable[[Any], Any]
    loader: str
    task: str
    batch_size: int
    batches: int = 0
    beside: tuple[type[Method], ...] = ()

    def pass_of(self, examples: int, limit: int | None) -> int:
        """How many go into one pass when nothing is asked for.

        Args:
            examples: How many there are in all.
            limit: How many are used at most; None for all.
        """
        used = min(examples, limit or examples)
        return max(1, -(-used // self.batches)) if self.batches else self.batch_size

    def takes(self, stack: Sequence[Method]) -> bool:
        """Whether these methods go on a model of this kind together."""
        others = [method for method in stack if not isinstance(method, self.contracts)]
        beside = all(isinstance(method, self.beside) for method in others)
        return len(stack) - len(others) == 1 and len(others) <= 1 and beside


_TOKENS: dict[str, Any] = {"processor": "AutoTokenizer", "reads": "tokenizer", "batch_size": 1}
_TEXTS = {**_TOKENS, "data": datasets.TextData, "loader": "tokenry.data.load_text"}

KINDS: dict[str, Kind] = {
    "vision": Kind(
        title="vision model",
        family="vision",
        contracts=(TokenReducer,),
        processor="AutoImageProcessor",
        reads="image processor",
        data=datasets.ImageData,
        load=datasets.load,
        loader="tokenry.data.load",
        task="agreement",
        batch_size=8,
    ),
    "causal-lm": Kind(
        title="causal language model",
        family="cache",
        contracts=(CachePolicy,),
        load=texts,
        task="lm-agreement",
        **_TEXTS,
    ),
    "writer": Kind(
        title="language model that writes",
        family="decoding",
        contracts=(Drafter,),
        load=datasets.load_text,
        task="writing",
        beside=(CachePolicy,),
        **_TEXTS,
    ),
    "text-encoder": Kind(
        title="text encoder",
        family="retrieval",
        contracts=(LateScorer, IndexReducer, SearchPlan),
        data=datasets.Collection,
        load=datasets.load_collection,
        loader="tokenry.data.load_collection",
        task="search",
        **_TOKENS,
    ),
    "linker": Kind(
        title="text encoder for linking",
        family="linking",
        contracts=(Linker,),
        data=LinkingData,
        load=linking_data,
        loader="tokenry.data.load_linked",
        task="linking",
        batches=4,
        **_TOKENS,
    ),
}

_GENERATES = ("ForCausalLM", "LMHeadModel")
_TRANSLATES = ("ForConditionalGeneration", "MTModel")


def kind_of(model: nn.Module, methods: Sequence[Method] = ()) -> str:
    """The kind of a loaded model, by its class and by what is compared on it."""
    name = type(model).__name__
    if name.endswith(_TRANSLATES):
        return "writer"
    if name.endswith(_GENERATES):
        return kind_by("causal-lm", methods)
    return kind_by("text-encoder" if _reads_text_alone(model) else "vision", methods)


def kind_by(loaded_as: str, methods: Sequence[Method] = ()) -> str:
    """The kind of a model before it is loaded, by what is compared on it.

    Args:
        loaded_as: What `tokenry.zoo.load` will make of it, as `tokenry.zoo.kind_of` says.
        methods: What is compared.
    """
    if loaded_as == "causal-lm":
        return "writer" if any(isinstance(one, Drafter) for one in methods) else "causal-lm"
    if loaded_as in {"text-encoder", "masked-lm"}:
        return "linker" if any(isinstance(one, Linker) for one in methods) else "text-encoder"
    return "vision"


def _reads_text_alone(model: nn.Module) -> bool:
    """Whether it is a model of transformers for token ids and for nothing else."""
    reads = getattr(model, "main_input_name", "")
    return reads == "input_ids" and not hasattr(model.config, "vision_config")


def load_data(kind: Kind, data: Any, who: str) -> Any:
    """The data that a model of this kind reads.

    Args:
        kind: The kind.
        data: A set of examples, or what the kind's loader takes.
        who: The model's name.

    Raises:
        UsageError: If it is a set of examples for another kind.
    """
    if isinstance(data, kind.data):
        return data
    if any(isinstance(data, other.data) for other in KINDS.values()):
        raise UsageError(
            f"compare: data is {type(data).__name__}, but {who} is a {kind.title}; give "
            f"{kind.data.__name__}, or what {kind.loader} takes."
        )
    return kind.load(data)


def check_methods(kind: Kind, stacks: Sequence[Sequence[Method]], who: str) -> None:
    """Raise UsageError unless the methods fit models of this kind; nothing is the untouched one."""
    for stack in stacks:
        if stack and not kind.takes(stack):
            method = next((one for one in stack if not isinstance(one, kind.contracts)), stack[-1])
            raise UsageError(
                f"compare: {method.card.slug} is a {method.card.family} method, but {who} is a "
                f"{kind.title}; `tokenry list --family {kind.family}` shows what fits it."
            )


def fingerprint(processor: Any) -> str:
    """A digest of all that an image processor's or tokenizer's output depends on."""
    if hasattr(processor, "to_json_string"):
        text = processor.to_json_string()
    elif hasattr(processor, "get_vocab"):
        backend = getattr(processor, "backend_tokenizer", None)
        vocab = sorted(processor.get_vocab().items()) if backend is None else backend.to_str()
        text = json.dumps([vocab, str(processor.special_tokens_map), processor.chat_template])
    else:
        text = ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
