"""Tiny models of every supported architecture, with and without heads."""

import pytest
import torch
import transformers

from tokenry.checks.models import SHAPE, liven

TEXT = {
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "eos_token_id": 2,
}

LANGUAGE = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}


@pytest.fixture(scope="session")
def build():
    """Build a tiny model by its class name: `build("ViTForImageClassification", num_labels=5)`."""

    def build(name, **changes):
        cls = getattr(transformers, name)
        shape = {**SHAPE, **changes}
        if "vision_config" in cls.config_class.sub_configs:
            labels = {"num_labels": shape.pop("num_labels")} if "num_labels" in shape else {}
            config = cls.config_class(text_config=TEXT, vision_config=shape, **labels)
        else:
            config = cls.config_class(**shape)
        with torch.random.fork_rng(devices=[]):
            return liven(cls(config))

    return build


@pytest.fixture(scope="session")
def tensors():
    """All tensors of a model's output, by name, nested outputs included."""

    def tensors(output, prefix=""):
        found = {}
        for key, value in output.items():
            if isinstance(value, torch.Tensor):
                found[prefix + key] = value
            elif hasattr(value, "items"):
                found |= tensors(value, f"{prefix}{key}.")
        return found

    return tensors


@pytest.fixture(scope="session")
def inputs(images):
    """What a model is called with: pictures, and words where it has a text side."""

    def inputs(model, count=2):
        words = {}
        if hasattr(model, "text_model"):
            words = {"input_ids": torch.tensor([[5, 6, 2]] * count)}
        return {"pixel_values": images(count), **words}

    return inputs


@pytest.fixture(scope="session")
def causal():
    """Build a tiny language model by its family: `causal("Llama", num_hidden_layers=2)`."""

    def build(family, **changes):
        shape = {**LANGUAGE, **changes}
        if family == "Phi3":
            del shape["head_dim"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = getattr(transformers, f"{family}Config")(**shape)
            model = getattr(transformers, f"{family}ForCausalLM")(config)
            for weight in model.parameters():  # larger than at the start: context matters
                weight.data *= 1 if weight.dim() < 2 else 3
        return model.eval()

    return build


@pytest.fixture(scope="module")
def llama(causal):
    """A tiny Llama with grouped heads."""
    return causal("Llama")
