"""A tokenizer of whole words and tiny causal models for the probes."""

import re

import pytest
import torch

PIECES = re.compile(r"\w+|[^\w\s]")


@pytest.fixture(scope="session")
def word_tokenizer():
    """Build a fast tokenizer whose tokens are the words and marks of some texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def build(texts):
        words = sorted({piece for text in texts for piece in PIECES.findall(text)})
        vocabulary = {word: i for i, word in enumerate(["[pad]", "[bos]", *words])}
        inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[pad]"))
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
        )
        inner.decoder = decoders.Fuse()
        special = {"pad_token": "[pad]", "bos_token": "[bos]"}
        return PreTrainedTokenizerFast(tokenizer_object=inner, **special)

    return build


@pytest.fixture(scope="session")
def byte_tokenizer():
    """A fast tokenizer whose tokens are bytes, the space before a word in its first token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {c: i for i, c in enumerate(["<bos>", *pre_tokenizers.ByteLevel.alphabet()])}
    merges = [("Ġ", "w"), ("o", "r"), ("Ġw", "or")]
    for pair in merges:
        letters["".join(pair)] = len(letters)
    inner = Tokenizer(models.BPE(letters, merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("bos_token", "pad_token"), "<bos>")
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


@pytest.fixture(scope="session")
def llama():
    """Build a tiny Llama: `llama(len(tokenizer), num_hidden_layers=2)`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    def build(vocabulary, seed=0, **changes):
        shape = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **{**shape, **changes}))
            for weight in model.parameters():
                if weight.ndim > 1:
                    torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        return model.eval()

    return build
