"""The paper's effects on an induction transformer and a GRU (`recipes/verbatim_toy.py`)."""

import pytest
import torch

import tokenry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("verbatim_toy")


@pytest.fixture(scope="module")
def shipped(recipe):
    return recipe.shipped()


@pytest.fixture(scope="module")
def tokenizer(shipped):
    return shipped[0]


@pytest.fixture(scope="module")
def transformer(shipped):
    return shipped[1]


@pytest.fixture(scope="module")
def recurrent(shipped):
    return shipped[2]


def size(model):
    return sum(weight.numel() for weight in model.parameters())


def medians(model, tokenizer, probe):
    """Median repeat surprisal of each kind of second list."""
    found = tokenry.probe(
        model, probe, tokenizer=tokenizer, batch_size=64, query="aware", progress=False
    )
    print(found)
    return {group.conditions["second"]: group.score.value for group in found.summary()}


@pytest.fixture
def shuffled(transformer):
    """The transformer with each query's attention weights in random order."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    source = torch.Generator().manual_seed(0)

    def attend(module, query, key, value, attention_mask, scaling, **_):
        weights = (query @ key.transpose(2, 3) * scaling + attention_mask).softmax(-1)
        t = weights.shape[-1]
        noise = torch.rand(weights.shape, generator=source)
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        order = noise.masked_fill(future, 2).argsort(-1)
        weights = weights.gather(-1, order).masked_fill(future, 0)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register("shuffled-for-test", attend)
    AttentionMaskInterface.register("shuffled-for-test", eager_mask)
    before = transformer.config._attn_implementation
    transformer.set_attn_implementation("shuffled-for-test")
    yield transformer
    transformer.set_attn_implementation(before)


def test_claim_a_transformer_remembers_words_and_their_order(recipe, transformer, tokenizer):
    found = medians(transformer, tokenizer, recipe.PROBE)
    assert found["repeat"] < 30
    assert found["repeat"] + 30 < found["permute"] < found["novel"]
    assert 90 < found["novel"] < 125


def test_claim_a_gru_of_its_size_remembers_less(recipe, recurrent, transformer, tokenizer):
    assert 0.9 < size(recurrent) / size(transformer) < 1.1
    weaker, stronger = (
        medians(model, tokenizer, recipe.PROBE) for model in (recurrent, transformer)
    )
    assert weaker["repeat"] > 2 * stronger["repeat"]
    assert weaker["novel"] - weaker["repeat"] < stronger["novel"] - stronger["repeat"]


def test_claim_without_its_attention_pattern_nothing_is_remembered(recipe, shuffled, tokenizer):
    found = medians(shuffled, tokenizer, recipe.PROBE)
    assert 85 < found["repeat"] < 115
    assert abs(found["repeat"] - found["novel"]) < 15


@pytest.mark.parametrize("name", ["transformer", "recurrent"])
def test_training_teaches_nouns(recipe, tokenizer, name):
    """The first steps of the recipe, on lists that it has not seen."""
    assert recipe.tokenizer().get_vocab() == tokenizer.get_vocab()
    model = getattr(recipe, name)(len(tokenizer))
    rows, targets = next(recipe.batches(tokenizer, 1, seed=1))
    with torch.no_grad():
        before = recipe.loss_of(model, rows, targets)
    recipe.train(model, tokenizer, steps=40)
    with torch.no_grad():
        assert recipe.loss_of(model, rows, targets) < before
