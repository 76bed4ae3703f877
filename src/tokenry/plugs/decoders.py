"""The table of causal language models: one row of names per architecture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class Decoder:
    """How an architecture names the parts that the cache runs through.

    Attributes:
        layers: Path from the decoder to its list of layers.
        attention: The self-attention in a layer.
        rotary: Path to the rotary embedding; empty when positions are learned.
    """

    layers: str = "layers"
    attention: str = "self_attn"
    rotary: str = "rotary_emb"

    def attentions(self, decoder: nn.Module) -> list[nn.Module]:
        """The self-attention of each layer, in order."""
        layers = decoder.get_submodule(self.layers).children()
        return [layer.get_submodule(self.attention) for layer in layers]

    def frequencies(self, decoder: nn.Module) -> Tensor | None:
        """Rotary frequencies of the layers with full attention; None without rotation."""
        if not self.rotary:
            return None
        buffers = dict(decoder.get_submodule(self.rotary).named_buffers())
        return buffers.get("full_attention_inv_freq", buffers.get("inv_freq"))


_LLAMA = Decoder()

DECODERS: dict[str, Decoder] = {
    "LlamaModel": _LLAMA,
    "MistralModel": _LLAMA,
    "Qwen2Model": _LLAMA,
    "Qwen3Model": _LLAMA,
    "Phi3Model": _LLAMA,
    "GemmaModel": _LLAMA,
    "Gemma3TextModel": _LLAMA,
    "GPT2Model": Decoder(layers="h", attention="attn", rotary=""),
}

FIXED_ROTATIONS = frozenset({"default", "linear", "llama3", "proportional", "yarn"})
"""Kinds of rotary embedding whose frequencies do not depend on the length of the text."""


def find_decoder(model: nn.Module) -> tuple[nn.Module, Decoder]:
    """The decoder inside `model`, and the names of its parts.

    Raises:
        UnsupportedModelError: If no module of `model` has a row in `DECODERS`.
    """
    for module in model.modules():
        row = DECODERS.get(type(module).__name__)
        if row is not None:
            return module, row
    raise UnsupportedModelError(
        f"{type(model).__name__}: holds no causal language model whose cache tokenry knows; it "
        f"knows {', '.join(sorted(DECODERS))}. One is added with one row of names in "
        "tokenry.plugs.decoders.DECODERS."
    )
