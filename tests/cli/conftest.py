"""The command line, in this process or in one of its own, and a model folder to point it at."""

import sys
from dataclasses import dataclass
from functools import partial

import pytest
from PIL import Image

PROGRAM = "import sys; from tokenry.cli import main; sys.exit(main())"


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def tokenry(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own: `tokenry("list", "--json")`."""
    from tokenry.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def tokenry(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return tokenry


@pytest.fixture
def process(tmp_path, program):
    """Run a command in a process of its own."""
    return partial(program, PROGRAM, tmp_path)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tiny):
    """A tiny model and its processor, saved as safetensors."""
    from transformers import ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("model")
    tiny("vit", num_hidden_layers=3).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of six pictures of two kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        file = folder / ("even" if i % 2 == 0 else "odd") / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.radial_gradient("L").rotate(30 * i).resize((40, 32)).convert("RGB").save(file)
    return folder


@pytest.fixture
def compare(tokenry, model_folder, pictures):
    """Run a small comparison: `compare("--json", "--keep", "1,.5")`."""
    usual = {"--data": pictures, "--methods": "random,tome", "--keep": ".6", "--batch-size": 2}

    def compare(*words):
        for option, value in usual.items():
            words += () if option in words else (option, value)
        return tokenry("compare", model_folder, *words)

    return compare
