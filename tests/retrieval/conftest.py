"""The studies of the recipes, and scores of manual pages, for tests of what is claimed."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest

LENGTH = 256
QUERIES, LETTERS, PASSAGE = 40, 90_000, 300


@pytest.fixture(scope="session")
def recipe():
    """Read a script of `recipes/` by its name."""

    def read(name):
        path = Path(__file__).parents[2] / "recipes" / f"{name}.py"
        spec = util.spec_from_file_location(name, path)
        module = util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return read


@pytest.fixture(scope="session")
def page_scores():
    """nDCG@10 of each query of the manual pages under a reducer, and under none."""
    from tokenry import zoo
    from tokenry.compare.library import Library
    from tokenry.compare.shelves import shelf
    from tokenry.data import load_collection
    from tokenry.ops.ranking import ndcg
    from tokenry.plugs.token_encoder import TokenEncoder

    if not zoo.find("minilm-l6").installed:
        pytest.skip("the package with zoo:minilm-l6 is not installed")
    data = load_collection("manpages")
    library = Library(TokenEncoder.load("zoo:minilm-l6"), data.documents, LENGTH)
    questions = [library.question(query.text, True) for query in data]

    def measure(method):
        place = shelf(library, method)
        ranked = [place.rank(question, 10).keys.tolist() for question in questions]
        names = [[library.ids[key - 1] for key in keys] for keys in ranked]
        return np.array([ndcg(n, q.relevance) for n, q in zip(names, data, strict=True)])

    return measure


@pytest.fixture(scope="session")
def passages():
    """Passages of manual pages and questions about them, as MiniLM's token states in 128."""
    from tokenry.data import load_text
    from tokenry.plugs.token_encoder import TokenEncoder

    examples = load_text("manpages")
    pages = list(dict.fromkeys(example.text for example in examples))
    whole = "\n".join(pages)[:LETTERS]
    passages = [whole[start : start + PASSAGE] for start in range(0, len(whole), PASSAGE)]
    encoder = TokenEncoder.load("zoo:minilm-l6").narrowed(passages[:100], 128)
    documents = encoder.encode(passages)
    asked = encoder.encode([example.question for example in examples[:QUERIES]], "query")
    return asked.tokens, documents
