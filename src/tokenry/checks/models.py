"""Tiny models with random weights, the same on every run, for checks and tests."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor, nn

TOWERS: dict[str, tuple[str, str]] = {
    "vit": ("ViTConfig", "ViTModel"),
    "deit": ("DeiTConfig", "DeiTModel"),
    "dinov2": ("Dinov2Config", "Dinov2Model"),
    "dinov2-registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
    "clip": ("CLIPVisionConfig", "CLIPVisionModel"),
    "siglip": ("SiglipVisionConfig", "SiglipVisionModel"),
}

SHAPE: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 4,
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}

DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "phi3": ("Phi3", {"sliding_window": None, "pad_token_id": 0}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma3": ("Gemma3", {"head_dim": 8, "sliding_window": 16}),
    "gpt2": ("GPT2", {"num_key_value_heads": 4}),
}

WORDS: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 1024,
    "bos_token_id": None,
    "eos_token_id": None,
}


def tiny(name: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A tiny encoder of the architecture `name`, in eval mode: 64 patches, 6 layers, width 32.

    Args:
        name: One of `TOWERS`.
        seed: Of the weights.
        **changes: Settings of the config that differ from `SHAPE`.
    """
    config, model = TOWERS[name]
    changes = {**SHAPE, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return liven(getattr(transformers, model)(getattr(transformers, config)(**changes)), seed)


def tiny_decoder(name: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A tiny causal language model: 97 tokens, 6 layers, 4 query heads over 2 key heads.

    Args:
        name: One of `DECODERS`.
        seed: Of the weights.
        **changes: Settings of the config that differ from `WORDS`.
    """
    family, own = DECODERS[name]
    text = "Text" if family == "Gemma3" else ""
    head = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    config = getattr(transformers, f"{family}{text}Config")(**{**WORDS, **own, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return liven(getattr(transformers, f"{family}{head}")(config), seed)


def liven(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights large enough that attention is far from uniform and no bias or scale is idle."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=source)
            if weight.ndim > 1 and weight.numel():
                weight.copy_(noise * weight[0].numel() ** -0.5)
            else:
                weight.add_(noise * 0.1)
    return model.eval()


def images(count: int, side: int = 32, seed: int = 0) -> Float[Tensor, "b c y x"]:
    """Random images, the same on every run."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def words(count: int, length: int, seed: int = 0) -> Int[Tensor, "b n"]:
    """Random tokens for a tiny decoder, the same on every run; 0 is left for padding."""
    return torch.randint(1, 97, (count, length), generator=torch.Generator().manual_seed(seed))
