"""What drafts save on a small model that copies letters with edits."""

import random

import pytest
import torch

import tokenry
from tokenry.decoding import GAD, AggressiveDecoding

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("aggressive_toy")


@pytest.fixture(scope="module")
def writer(recipe):
    return recipe.train()


@pytest.fixture(scope="module")
def filler(recipe, writer):
    return recipe.drafter(writer)


def test_copying_takes_a_third_of_the_passes(recipe, writer):
    assert recipe.right(writer) > 0.3
    plain, drafted, _, same = recipe.passes(writer, AggressiveDecoding(budget=64), count=200)
    assert same
    assert plain >= 3 * drafted


def test_a_batch_is_written_as_it_was(recipe, writer, filler):
    """200 sources, of which the shorter ones are padded."""
    ids, _ = recipe.pairs(200, random.Random(97), 8, recipe.LONGEST)
    settings = {"attention_mask": (ids != recipe.PAD).long(), **recipe.LIMIT}
    expected = writer.generate(ids, **settings)
    for method in (AggressiveDecoding(budget=64), GAD(filler=filler, budget=64)):
        with tokenry.attach(writer, method) as attachment:
            assert torch.equal(writer.generate(ids, **settings), expected)
        assert attachment.trace.passes < expected.shape[1] - 1


def test_a_distilled_filler_is_believed(recipe, writer, filler):
    plain, drafted, accepted, same = recipe.passes(writer, GAD(filler=filler, budget=64))
    assert same
    assert accepted > 1
    assert plain >= 3 * drafted


def test_lenient_blocks_are_longer(recipe, writer, filler):
    """More is accepted of each block, at the price of other texts."""
    strict = recipe.passes(writer, GAD(filler=filler, budget=64))
    lenient = recipe.passes(writer, GAD(filler=filler, budget=64, top=3, gap=2.0))
    assert lenient[1] < strict[1]
    assert lenient[2] > strict[2]
