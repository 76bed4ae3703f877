"""No network, shapes checked at run time, and tiny models for every test."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import pytest
from jaxtyping import config, install_import_hook

# Before the first import of these rooms: every shape annotation there is checked when it runs.
install_import_hook(
    [
        "tokenry.ops",
        "tokenry.vision",
        "tokenry.cache",
        "tokenry.decoding",
        "tokenry.vocab",
        "tokenry.retrieval",
        "tokenry.linking",
        "tokenry.index",
        "tokenry.probes",
        "tokenry.plugs",
    ],
    "beartype.beartype",
)


@pytest.fixture(scope="session", autouse=True)
def _settings_check_themselves():
    """A method refuses wrong settings with a message of its own, which tests look at."""
    from tokenry import catalog

    for cls in catalog.classes():
        cls.__init__.__no_type_check__ = True


@dataclass
class Done:
    """How a program ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Run a program in a process of its own: `program(source, folder, "a", "b").out`.

    Each begins with torch and transformers imported and tokenry not; see `fork_server.py`.
    """
    here = tmp_path_factory.mktemp("programs")
    server = Path(__file__).with_name("fork_server.py")
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, server], **pipe) as running:

        def program(source, folder, *arguments):
            script, out, err = here / "program.py", here / "out", here / "err"
            script.write_text(source, encoding="utf-8")
            for file in (out, err):
                file.unlink(missing_ok=True)
            request = {
                "argv": [str(word) for word in (script, *arguments)],
                "folder": str(folder),
                "environment": dict(os.environ),
                "out": str(out),
                "err": str(err),
            }
            running.stdin.write(f"{json.dumps(request)}\n")
            running.stdin.flush()
            code = int(running.stdout.readline())
            return Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

        yield program
        running.stdin.close()


@pytest.fixture
def silent_hub(monkeypatch):
    """A network on which the Hub does not answer: the addresses that were asked."""
    import huggingface_hub.constants

    from tokenry.zoo import hub

    asked = []

    class Client:
        def head(self, address, timeout):
            asked.append(address)
            raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_session", Client)
    hub._reach.cache_clear()
    return asked


@pytest.fixture(scope="session")
def recipes():
    """Load a recipe as a module: `recipes("landmark_toy")`."""

    def recipes(name):
        if name not in sys.modules:
            path = Path(__file__).parents[1] / "recipes" / f"{name}.py"
            spec = util.spec_from_file_location(name, path)
            sys.modules[name] = util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return recipes


@pytest.fixture(scope="session")
def smollm2():
    """A small chat model and its tokenizer, loaded once; whoever borrows them leaves no trace."""
    from tokenry import zoo

    found = zoo.find("smollm2-135m")
    if not found.installed:
        pytest.skip(found.install)
    return zoo.load("zoo:smollm2-135m")


@pytest.fixture(scope="session")
def linkers():
    """Two linkers that need no package, and two small tables with their links."""
    path = Path(__file__).parent / "compare" / "linkers.py"
    spec = util.spec_from_file_location("linkers_for_tests", path)
    module = sys.modules[spec.name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny():
    """Build a tiny model: `tiny("vit")`, `tiny("siglip", num_hidden_layers=2)`."""
    from tokenry.checks.models import tiny

    return tiny


@pytest.fixture(scope="session")
def images():
    """Build random images: `images(3)`, `images(2, side=24)`."""
    from tokenry.checks.models import images

    return images


@pytest.fixture
def untyped():
    """Switch the shape checks off: the compiler cannot trace them."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def marked():
    """A tiny Llama in float64 with a landmark, token 31, after every 4 tokens."""
    from tokenry.checks.models import tiny_decoder
    from tokenry.plugs.landmarks import add_landmark

    model = tiny_decoder("llama", vocab_size=31, num_hidden_layers=2).double()
    add_landmark(model, block=4)
    return model


CHAT = (
    "{% for m in messages %}<user>{{ m.content }}</user>{% endfor %}"
    "{% if add_generation_prompt %}<reply>{% endif %}"
)


def _bytes(chat):
    """A tokenizer with one token per byte; 256 ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocab | {"<end>": 256}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.eos_token = "<end>"  # noqa: S105
    tokenizer.chat_template = CHAT if chat else None
    return tokenizer


@pytest.fixture(scope="session")
def language():
    """Build a tiny Llama that reads bytes: `language()`, `language(chat=True)`."""
    from tokenry.checks.models import tiny_decoder
    from tokenry.zoo import Loaded

    def language(chat=False, **changes):
        shape = {
            "vocab_size": 257,
            "num_hidden_layers": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 512,
            "eos_token_id": 256,
        }
        return Loaded(tiny_decoder("llama", **shape | changes), _bytes(chat))

    return language


@pytest.fixture(scope="session")
def texts():
    """Build texts of about 180 bytes each: `texts(3)`, `texts(2, question="Who?")`."""
    from tokenry.data import TextData, TextExample

    words = [
        "the",
        "cat",
        "saw",
        "a",
        "dog",
        "and",
        "one",
        "bird",
        "near",
        "an",
        "old",
        "house",
        "by",
        "the",
        "sea",
    ]

    def text(seed):
        return " ".join(words[(seed + i * i * (seed + 3)) % len(words)] for i in range(60))

    def texts(count=6, **fields):
        made = tuple(TextExample(str(i), text(i), **fields) for i in range(count))
        return TextData("texts", made, "CC0-1.0", "made for tests")

    return texts


@pytest.fixture(scope="session")
def text_encoder():
    """Build a tiny text encoder whose tokens are words: `text_encoder(["red", "green"])`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from tokenry.zoo import Loaded

    def made(words):
        vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
        backend = Tokenizer(models.WordLevel(vocab, "[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = BertConfig(
                vocab_size=len(vocab),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=64,
            )
            return Loaded(BertModel(config).eval(), tokenizer)

    return made
