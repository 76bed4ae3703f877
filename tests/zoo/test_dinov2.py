"""From an ONNX graph to a folder, and the decoder on its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from tokenry.errors import DataError, UsageError
from tokenry.zoo import dinov2
from tokenry.zoo.onnx_weights import anonymous, named_tensors
from tokenry.zoo.saliency import SaliencyDecoder

RANDOM = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def write_graph(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Two linear layers as PyTorch exports them; the bias stands left or right of the sum."""
    layer = "backbone.encoder.layer.0.mlp"
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["p"]),
        helper.make_node("Add", [f"{layer}.fc1.bias", "p"], ["y"]),
        helper.make_node("MatMul", ["y", "onnx::MatMul_2"], ["q"]),
        helper.make_node("Add", ["q", f"{layer}.fc2.bias"], ["z"]),
        helper.make_node("Add", ["z", "y"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph), path)


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    layer = "backbone.encoder.layer.0.mlp"
    return {
        f"{layer}.fc1.bias": array(6),
        "onnx::MatMul_1": array(4, 6),
        f"{layer}.fc2.bias": array(6),
        "onnx::MatMul_2": array(6, 6),
        "onnx::Reshape_4": array(1, 9, 4),
        "onnx::Concat_3": array(1, 1, 4),
        "decoder.bn1.weight": array(4),
    }


def test_linear_weights_are_found_through_their_bias(tmp_path, tensors) -> None:
    write_graph(tmp_path / "tiny.onnx", tensors)
    found = named_tensors(tmp_path / "tiny.onnx")
    layer = "backbone.encoder.layer.0.mlp"
    np.testing.assert_array_equal(found[f"{layer}.fc1.weight"], tensors["onnx::MatMul_1"].T)
    np.testing.assert_array_equal(found[f"{layer}.fc2.weight"], tensors["onnx::MatMul_2"].T)
    assert set(anonymous(found)) == {"onnx::Reshape_4", "onnx::Concat_3"}
    assert all(value.flags.c_contiguous for value in found.values())


def test_convert_writes_backbone_positions_and_decoder(tmp_path, tensors) -> None:
    write_graph(tmp_path / "tiny.onnx", tensors)
    target = tmp_path / "folder"
    target.mkdir()
    dinov2.convert(tmp_path / "tiny.onnx", target)
    backbone = load_file(target / "model.safetensors")
    positions = backbone.pop("embeddings.position_embeddings")
    np.testing.assert_array_equal(positions[:, :1], tensors["onnx::Concat_3"])
    np.testing.assert_array_equal(positions[:, 1:], tensors["onnx::Reshape_4"])
    layer = "encoder.layer.0.mlp"
    assert set(backbone) == {f"{layer}.fc{i}.{part}" for i in (1, 2) for part in ("weight", "bias")}
    decoder = load_file(target / dinov2.DECODER_FILE)
    np.testing.assert_array_equal(decoder["bn1.weight"], tensors["decoder.bn1.weight"])
    assert json.loads((target / "config.json").read_text())["architectures"] == ["Dinov2Model"]


def test_another_graph_is_refused(tmp_path, tensors) -> None:
    del tensors["onnx::Concat_3"]
    write_graph(tmp_path / "tiny.onnx", tensors)
    with pytest.raises(DataError, match=r"position tables.*\(1, 9, 4\)"):
        dinov2.convert(tmp_path / "tiny.onnx", tmp_path)


def test_decoder_keeps_rows_and_columns_apart() -> None:
    torch.manual_seed(0)
    decoder = SaliencyDecoder().eval()
    tokens = torch.randn(2, 6, 384)
    with torch.no_grad():
        saliency = decoder(tokens, (2, 3))
        moved = decoder(torch.cat([tokens[:, :5], tokens[:, 5:] + 9], 1), (2, 3))
    assert saliency.shape == (2, 28, 42)
    assert 0 <= saliency.min() <= saliency.max() <= 1
    changed = (saliency - moved).abs()
    assert changed[:, 20:, 34:].mean() > 20 * changed[:, :8, :8].mean()  # last patch, last corner


def test_decoder_refuses_merged_tokens() -> None:
    with pytest.raises(UsageError, match=r"\(1, 5, 384\) do not fill a grid of 2 x 3"):
        SaliencyDecoder()(torch.zeros(1, 5, 384), (2, 3))
