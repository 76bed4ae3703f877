"""Read the weights of an exported PyTorch model back out of its ONNX file, under their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ANONYMOUS = "onnx::"


def named_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All weights of an ONNX file under the names that the PyTorch model gave them.

    PyTorch's exporter keeps the names of most parameters as initialisers. It folds the transpose
    of ``nn.Linear`` into its weight and then names it ``onnx::MatMul_<n>``; such a weight is found
    through the bias that is added to its product: ``x @ W + <layer>.bias`` gives
    ``<layer>.weight = W.T``. Other anonymous constants keep their anonymous name.

    Args:
        path: the ONNX file, weights inside.

    Returns:
        Name to array, each contiguous and with the shape that PyTorch uses.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path), load_external_data=False).graph
    tensors = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for anonymous, name in list(_linear_weights(graph, tensors)):
        tensors[name] = tensors.pop(anonymous).T
    return {name: np.ascontiguousarray(array) for name, array in tensors.items()}


def anonymous(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The constants that the exporter computed and left without a parameter's name."""
    return {name: array for name, array in tensors.items() if name.startswith(_ANONYMOUS)}


def _linear_weights(graph: Any, tensors: dict[str, NDArray[Any]]) -> Iterator[tuple[str, str]]:
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            weight = products.get(product, "")
            if bias in tensors and bias.endswith(".bias") and weight.startswith(_ANONYMOUS):
                yield weight, f"{bias.removesuffix('.bias')}.weight"
