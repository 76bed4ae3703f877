"""What drafts save on a small model that copies letters with edits."""

import math
import random

import pytest
import torch

import tokenry
from tokenry.decoding import GAD, AggressiveDecoding
from tokenry.plugs.filling import block_loss

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("aggressive_toy")


@pytest.fixture(scope="module")
def writer(recipe):
    return recipe.shipped("writer")


@pytest.fixture(scope="module")
def filler(recipe):
    return recipe.shipped("filler")


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


@torch.no_grad()
def test_the_first_steps_of_training_lower_both_losses(recipe, writer):
    """The first steps of the recipe, on sources that it has not seen.

    Each must do better than before them, and than to guess among all letters.
    """
    short = recipe.pairs(48, random.Random(96), 4, 12)
    ids, labels = recipe.pairs(48, random.Random(95), 12, recipe.LONGEST)
    guessed = math.log(recipe.VOCAB)

    def filling(model):
        torch.manual_seed(0)
        return block_loss(model, ids, ids != recipe.PAD, labels, recipe.BLOCK)

    untaught = recipe.writing_loss(recipe.made().eval(), *short)
    writer.config.mask_token_id = recipe.MASK
    unfit = filling(writer)
    with torch.enable_grad():
        taught, filler = recipe.train(steps=60), recipe.drafter(writer, steps=30)
    assert recipe.writing_loss(taught, *short) < min(untaught, guessed)
    assert filling(filler) < min(unfit, guessed)
