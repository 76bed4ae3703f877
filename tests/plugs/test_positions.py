"""How many tokens a model has places for, wherever its configuration says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import BartConfig, LlamaConfig, LlavaConfig, MambaConfig

from tokenry.compare.tasks import Subject, Writing
from tokenry.errors import UsageError
from tokenry.plugs.positions import positions

LLAMA = LlamaConfig(max_position_embeddings=77)


@pytest.mark.parametrize(
    ("config", "places"),
    [
        (LLAMA, 77),
        (LlavaConfig(text_config=LLAMA), 77),
        (BartConfig(max_position_embeddings=55), 55),
        (MambaConfig(), None),
        (SimpleNamespace(), None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_text_part_says_it(config, places):
    assert positions(SimpleNamespace(config=config)) == places


def test_a_module_without_a_configuration_does_not():
    assert positions(nn.Linear(1, 1)) is None


def test_prompts_for_a_model_of_pictures_and_texts_are_held_to_its_text_part():
    def words(text, verbose=True):
        return {"input_ids": [*range(len(text.split()))]}

    model = nn.Linear(1, 1)
    model.config = LlavaConfig(text_config=LLAMA)
    model.generation_config = SimpleNamespace(eos_token_id=2)
    texts = [SimpleNamespace(id=str(n), text="word " * n) for n in (60, 70)]
    task = Writing(new_tokens=16)
    subject = Subject(model, words, "llava", torch.device("cpu"))
    assert [e.id for e in task.usable(subject, texts)] == ["60"]
    with pytest.raises(UsageError, match="has 70 tokens, more than the 61 that llava can read"):
        task.prepare(subject, texts[1:])
