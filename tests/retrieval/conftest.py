"""The studies of the recipes, and scores of manual pages, for tests of what is claimed."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest

LENGTH = 256


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
