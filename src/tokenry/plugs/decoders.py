"""The table of causal language models: one row of names per architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError
from tokenry.ops.attention import Weighing

_UNROTATED = "does not rotate its keys"
_NEIGHBOURS = "rotates neighbouring channels of its keys, not halves"
_PLANE = "rotates its keys by time, height and width"


@dataclass(frozen=True, slots=True)
class Decoder:
    """How an architecture names the parts that the cache runs through.

    Attributes:
        layers: Path from the decoder to its list of layers.
        attention: The self-attention in a layer; layers without one keep no keys.
        rotary: Path to the rotary embedding; empty when positions are learned.
        still: Why its keys cannot be placed anew; empty when they can.
        cap: The attention's attribute for the cap of its scores; empty when it has none.
        sinks: The attention's parameter with a sink for each head; empty when it has none.
    """

    layers: str = "layers"
    attention: str = "self_attn"
    rotary: str = "rotary_emb"
    still: str = ""
    cap: str = ""
    sinks: str = ""

    def attentions(self, decoder: nn.Module) -> dict[int, nn.Module]:
        """The self-attention of each layer that has one, by the number of the layer."""
        layers = enumerate(decoder.get_submodule(self.layers).children())
        first = self.attention.partition(".")[0]
        return {
            index: layer.get_submodule(self.attention)
            for index, layer in layers
            if hasattr(layer, first)
        }

    def frequencies(self, decoder: nn.Module) -> Tensor | None:
        """Rotary frequencies of the layers with full attention; None when keys stay in place."""
        if self.still or not self.rotary:
            return None
        buffers = dict(decoder.get_submodule(self.rotary).named_buffers())
        return buffers.get("full_attention_inv_freq", buffers.get("inv_freq"))

    def weighing(self, attention: nn.Module) -> Weighing | None:
        """What the softmax of an attention has beside scores; None for the plain one."""
        cap = getattr(attention, self.cap) if self.cap else None
        sinks: Tensor | None = getattr(attention, self.sinks).detach() if self.sinks else None
        return None if cap is None and sinks is None else Weighing(cap, sinks)


_LLAMA = Decoder()
_VISUAL = Decoder(still=_PLANE)

DECODERS: dict[str, Decoder] = {
    "LlamaModel": _LLAMA,
    "MistralModel": _LLAMA,
    "Ministral3Model": _LLAMA,
    "MixtralModel": _LLAMA,
    "Qwen2Model": _LLAMA,
    "Qwen2MoeModel": _LLAMA,
    "Qwen3Model": _LLAMA,
    "Qwen3MoeModel": _LLAMA,
    "Qwen3NextModel": _LLAMA,
    "Phi3Model": _LLAMA,
    "PhiModel": _LLAMA,
    "GemmaModel": _LLAMA,
    "Gemma2Model": Decoder(cap="attn_logit_softcapping"),
    "Gemma3TextModel": _LLAMA,
    "OlmoModel": _LLAMA,
    "Olmo2Model": _LLAMA,
    "Olmo3Model": _LLAMA,
    "GraniteModel": _LLAMA,
    "Starcoder2Model": _LLAMA,
    "StableLmModel": _LLAMA,
    "SmolLM3Model": Decoder(still="rotates the keys of some of its layers only"),
    "CohereModel": Decoder(still=_NEIGHBOURS),
    "Cohere2Model": Decoder(still="does not rotate the keys of its layers with full attention"),
    "GlmModel": Decoder(still=_NEIGHBOURS),
    "Glm4Model": Decoder(still=_NEIGHBOURS),
    "GptOssModel": Decoder(sinks="sinks"),
    "Lfm2Model": _LLAMA,
    "GPTNeoXModel": Decoder(attention="attention"),
    "GPT2Model": Decoder(layers="h", attention="attn", rotary="", still=_UNROTATED),
    "Qwen2VLTextModel": _VISUAL,
    "Qwen2_5_VLTextModel": _VISUAL,
    "Qwen3VLTextModel": _VISUAL,
    "Qwen3_5TextModel": _VISUAL,
}

FIXED_ROTATIONS = frozenset({"default", "linear", "llama3", "proportional", "yarn"})
"""Kinds of rotary embedding whose frequencies do not depend on the length of the text."""


def find_decoder(model: nn.Module) -> tuple[nn.Module, Decoder]:
    """The decoder inside `model`, and the names of its parts.

    Raises:
        UnsupportedModelError: If no module of `model` has a row in `DECODERS`, or its cache holds
            more than keys and values of one text.
    """
    config = getattr(model, "config", None)
    reason = _unlike(config) if hasattr(config, "get_text_config") else ""
    if reason:
        raise UnsupportedModelError(f"{type(model).__name__}: not supported: {reason}.")
    for module in model.modules():
        row = DECODERS.get(type(module).__name__)
        if row is not None:
            return module, row
    raise UnsupportedModelError(
        f"{type(model).__name__}: holds no causal language model whose cache tokenry knows; it "
        f"knows {', '.join(sorted(DECODERS))}. One with keys and values for each token is added "
        "with one row of names in tokenry.plugs.decoders.DECODERS."
    )


def _unlike(config: Any) -> str:
    """Why no row of names would do for a model; empty when one may."""
    if getattr(config, "is_encoder_decoder", False):
        return (
            "an encoder-decoder keeps a second cache, of what its encoder read; cache policies "
            "work on causal language models"
        )
    text = config.get_text_config(decoder=True)
    if getattr(text, "kv_lora_rank", None):
        return (
            "it caches one latent vector for each token (MLA) in the place of keys and values, "
            "from which the slots of single heads cannot go"
        )
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds & {"hybrid", "hybrid_sliding"}:
        return "each of its layers keeps a recurrent state that goes with the whole text"
    if kinds and not kinds & {"full_attention", "sliding_attention", "chunked_attention"}:
        return "it keeps a state of fixed size, and no slot for each token that could go"
    return ""
