"""What training with XTR is worth: projections of `recipes/xtr_minilm.py` on pages unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tokenry.data import load_collection
from tokenry.ops.late import mean_maxsim
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit
from tokenry.retrieval import XTR

WEIGHTS = Path(__file__).parents[1] / "golden" / "xtr"
WINDOWS, WORDS, TOKENS = 4, 40, 64


def states(texts):
    """MiniLM's token states of the beginnings of texts, of length one."""
    from tokenry import zoo

    if not zoo.find("minilm-l6").installed:
        pytest.skip("the package with zoo:minilm-l6 is not installed")
    loaded, rows = zoo.load("zoo:minilm-l6"), []
    for start in range(0, len(texts), 32):
        part = loaded.processor(
            texts[start : start + 32],
            truncation=True,
            max_length=TOKENS,
            padding=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            found = loaded.model(**part).last_hidden_state
        rows += [s[m.bool()] for s, m in zip(found, part["attention_mask"], strict=True)]
    return Ragged.of(rows)


@pytest.fixture(scope="module")
def read():
    """Descriptions and windows of the pages that ship, and whose window each is."""
    data = load_collection("manpages")
    texts = {document.id: document.text.split() for document in data.documents}
    asked = [query for query in data if len(query.relevance) == 1]
    windows, pages = [], []
    for page, query in enumerate(asked):
        words = texts[next(iter(query.relevance))]
        for start in range(0, min(len(words), WINDOWS * WORDS), WORDS):
            windows.append(" ".join(words[start : start + WORDS]))
            pages.append(page)
    return states([query.text for query in asked]), states(windows), torch.tensor(pages)


def found(name, read):
    """nDCG@10 lost from exact MaxSim to XTR's scoring, and how often the first token is right."""
    from safetensors.torch import load_file

    weight = load_file(WEIGHTS / f"{name}.safetensors")["weight"].float()
    q, d = (sets.map(unit(sets.values @ weight.T)) for sets in read[:2])
    pages = read[2]

    def gain(scores):
        best = scores.new_full((len(q), len(q)), -9.0)
        best = best.scatter_reduce(1, pages.expand(len(q), -1), scores, "amax")
        ranks = (best >= best.diagonal()[:, None]).sum(1)
        return float((1 / (ranks + 1.0).log2()).where(ranks <= 10, torch.tensor(0.0)).mean())

    exact = gain(mean_maxsim(q, d))
    lost = [exact - gain(XTR(top_k=k).score(q, d)) for k in (2, 3, 5, 10)]
    nearest = (q.values @ d.values.T).argmax(1)
    right = (pages[d.owners[nearest]] == q.owners).float().mean()
    return sum(lost) / len(lost), float(right)


@pytest.mark.slow
def test_claim_trained_with_it_loses_less(read):
    (lost, right), (lost_by_maxsim, right_by_maxsim) = (found(n, read) for n in ("xtr", "maxsim"))
    assert lost < lost_by_maxsim - 0.01
    assert right > right_by_maxsim
