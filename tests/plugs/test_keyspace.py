"""Clusters of a head's rows, and the analysis of a model's ranking by brute force."""

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.method import Form
from tokenry.plugs.keyspace import key_clusters, key_space

SHORT = Form("{question}:", " {number}(", ")", ")", 5)


@pytest.mark.parametrize("tied", [False, True])
def test_planted_clusters_are_found(language, tied):
    model = language(tie_word_embeddings=tied).model
    planted = torch.arange(257) % 6
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        centres = 4 * torch.eye(32)[planted]
        model.lm_head.weight[:] = centres + 0.1 * torch.randn(257, 32, generator=source)
    found = key_clusters(model, 6)
    pairs = {(int(a), int(b)) for a, b in zip(planted, found, strict=True)}
    assert len(pairs) == 6
    assert torch.equal(found, key_clusters(model, 6))


def test_the_analysis_equals_brute_force(language):
    loaded = language()
    model, tokenizer = loaded.model.double(), loaded.processor
    labels = torch.arange(257) % 9
    found = key_space(
        model, tokenizer, "Name a bird", lambda text: "a" < text[0] < "s", labels,
        top=4, upto=24, form=SHORT,
    )  # fmt: skip
    ids = tokenizer(SHORT.write("Name a bird"))["input_ids"]
    with torch.no_grad():
        order = model(torch.tensor([ids])).logits[0, -1].argsort(descending=True).tolist()[:24]
    heads = {token % 9 for token in order[:4]}
    kinds = {True: [], False: []}
    for rank, token in enumerate(order[4:], 5):
        text = tokenizer.decode([token])
        right = bool(text.strip()) and text != ")" and "a" < text.strip()[0] < "s"
        kinds[token % 9 in heads].append((right, rank))
    for got, expected in ((found.main, kinds[True]), (found.other, kinds[False])):
        assert got.count == len(expected) > 0
        assert got.precision == pytest.approx(sum(r for r, _ in expected) / len(expected))
        assert got.mean_rank == pytest.approx(sum(k for _, k in expected) / len(expected))


def test_what_cannot_be_is_refused(language):
    loaded = language()
    with pytest.raises(UsageError, match=r"clusters=258 is outside \[1, 257\]"):
        key_clusters(loaded.model, 258)
    with pytest.raises(UsageError, match="has no head over its vocabulary"):
        key_clusters(loaded.model.model, 3)
    for changes in ({"top": 0}, {"top": 9, "upto": 9}):
        with pytest.raises(UsageError, match=r"allowed is 0 < top < upto"):
            key_space(loaded.model, loaded.processor, "x", bool, torch.zeros(257).long(), **changes)
    with pytest.raises(UsageError, match="3 labels"):
        key_space(loaded.model, loaded.processor, "x", bool, torch.zeros(3).long())
