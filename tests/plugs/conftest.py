"""Tiny models of every supported architecture, with and without heads."""

import pytest
import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

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


class FullCache:
    """An untouched model over its full cache, from each head of which some tokens are hidden.

    `held[p]` says for each layer with full attention which tokens its heads still held before
    pass `p`; tokens of the pass itself are always there. One head after the other, with a plain
    softmax.
    """

    def __init__(self, model, held):
        self.model, self.held, self.now = model, [None, *held], -1
        self.config = model.config.get_text_config(decoder=True)
        self.full = [
            i
            for i, x in enumerate(DynamicCache(config=model.config).layers)
            if type(x) is DynamicLayer
        ]

    def __enter__(self):
        AttentionInterface.register("oracle", self.attention)
        AttentionMaskInterface.register("oracle", ALL_MASK_ATTENTION_FUNCTIONS["eager"])
        self.before = self.config._attn_implementation
        self.config._attn_implementation = "oracle"
        self.hook = self.model.base_model.register_forward_pre_hook(self.next_pass)
        return self.model

    def __exit__(self, *_):
        self.config._attn_implementation = self.before
        self.hook.remove()

    def next_pass(self, *_):
        self.now += 1

    def attention(self, module, q, k, v, mask, scaling=None, softcap=None, s_aux=None, **_):
        hidden = torch.zeros(k.shape[:3], dtype=torch.bool)
        if self.held[self.now] is not None and module.layer_idx in self.full:
            held = self.held[self.now][self.full.index(module.layer_idx)]
            hidden[:, :, : k.shape[2] - q.shape[2]] = True
            hidden.scatter_(-1, held, False)
        heads = []
        for h in range(q.shape[1]):
            g = h // (q.shape[1] // k.shape[1])
            score = q[:, h] @ k[:, g].transpose(1, 2) * scaling
            score = score if softcap is None else softcap * (score / softcap).tanh()
            score = score + mask[:, 0]
            score = score.masked_fill(hidden[:, g, None], torch.finfo(score.dtype).min)
            if s_aux is not None:
                score = torch.cat([score, s_aux[h].expand(*score.shape[:2], 1)], -1)
            heads.append(score.softmax(-1)[..., : k.shape[2]] @ v[:, g])
        return torch.stack(heads, 2), None


@pytest.fixture(scope="session")
def full_cache():
    """`with full_cache(model, held) as model: model(...)`; see `FullCache`."""
    return FullCache


@pytest.fixture(scope="session")
def held_slots():
    """`held_slots(model, attachment)` is a list that gets the tokens held after each pass."""

    def held_slots(model, attachment):
        held = []
        model.base_model.register_forward_hook(lambda *_: held.append(attachment.trace.tokens))
        return held

    return held_slots


@pytest.fixture
def traces():
    """All that a policy could leave behind on a model."""

    def found_on(model):
        found = {}
        for name, module in model.named_modules():
            held = {key: value for key, value in vars(module).items() if not key.startswith("_")}
            found[name] = (
                type(module),
                sorted(vars(module)),
                held.get("config"),
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
            )
        return found, model.config._attn_implementation

    return found_on
