"""A tiny model, tiny pictures with labels and domains, and one thread: nothing here is slow."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tokenry.compare.run import compare
from tokenry.data import Example, ImageData
from tokenry.data.pictures import Pixels
from tokenry.zoo import Loaded


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def example():
    """Build an example: `example(3, "cat", domain="a", split="test", group="animals")`."""

    def example(index, label=None, split=None, domain=None, make=None, **meta):
        name = f"{domain}/{index}" if domain else str(index)
        return Example(name, label, split, domain, meta, Pixels(make or partial(_picture, index)))

    return example


@pytest.fixture(scope="session")
def dataset():
    """Build a data set: `dataset(examples)`."""
    return lambda examples: ImageData("pictures", tuple(examples), "CC0-1.0", "made for tests")


@pytest.fixture(scope="session")
def processor():
    """The processor of every tiny model: 32 x 32 pixels."""
    from transformers import ViTImageProcessorPil

    return ViTImageProcessorPil(size={"height": 32, "width": 32})


@pytest.fixture(scope="session")
def loaded(tiny, processor):
    """A tiny encoder without head and its processor."""
    return Loaded(tiny("vit", num_hidden_layers=4), processor)


@pytest.fixture(scope="session")
def data(dataset, example):
    """Twelve pictures of three labels."""
    return dataset(example(i, label=f"kind {i % 3}") for i in range(12))


@pytest.fixture
def run(loaded, data):
    """Run a small comparison: `run(methods=["random"], keep=0.5, ...)`."""

    def run(model=loaded, methods=("random",), pictures=data, **settings):
        settings = {"keep": 0.5, "batch_size": 4, "progress": False, **settings}
        return compare(model, methods, pictures, **settings)

    return run


@pytest.fixture(scope="session")
def scores():
    """Everything of the rows that does not depend on the clock, in a fixed order."""
    return lambda results: sorted(
        (r.task, r.method, r.keep, r.example, r.score, tuple(r.scores.items()), r.tokens)
        for r in results.rows()
    )
