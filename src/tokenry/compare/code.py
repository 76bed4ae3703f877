"""Lines of code that switch a method on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenry.compare.records import MethodInfo


@dataclass(frozen=True, slots=True)
class Source:
    """Where a user gets the same model and the same input.

    Attributes:
        name: Zoo name, folder or Hub name; empty when the model was built in memory.
        cls: The model's class in transformers; empty when it is not one.
        inputs: Settings of the processor, besides the images.
    """

    name: str
    cls: str
    inputs: dict[str, Any]


def lines(source: Source, method: MethodInfo | None, keep: float) -> str:
    """A script that loads the model, and runs it with a method.

    Args:
        source: Where the model comes from.
        method: The method; None for the untouched model.
        keep: The dial.
    """
    imports, load = _loading(source)
    settings = "".join(f", {name}={value!r}" for name, value in source.inputs.items())
    call = f'outputs = model(**processor(images=images, return_tensors="pt"{settings}))'
    body = [call]
    if method is not None:
        inside = ", ".join(filter(None, [f"keep={keep!r}", method.settings]))
        made = f"{method.cls}({inside})"
        if method.listed:
            made = f"{method.card['slug']!r}, {inside}"
        else:
            imports.append(f"from {method.module} import {method.cls}")
        imports.append("import tokenry")
        body = [f"with tokenry.attach(model, {made}):", f"    {call}"]
    imports.append("from PIL import Image")
    images = 'images = [Image.new("RGB", (224, 224))]  # put yours here: Image.open("picture.jpg")'
    order = sorted(imports, key=lambda line: (line.startswith("from"), line))
    return "\n".join([*order, "", *load, images, *body, ""])


def _loading(source: Source) -> tuple[list[str], list[str]]:
    """Imports and lines that define `model` and `processor`."""
    if source.name.startswith("zoo:"):
        return ["from tokenry import zoo"], [
            f"loaded = zoo.load({source.name!r})",
            "model, processor = loaded.model, loaded.processor",
        ]
    if source.name and source.cls:
        return [f"from transformers import AutoImageProcessor, {source.cls}"], [
            f"model = {source.cls}.from_pretrained({source.name!r}).eval()",
            f"processor = AutoImageProcessor.from_pretrained({source.name!r})",
        ]
    return [], ["# model and processor: those that were compared"]
