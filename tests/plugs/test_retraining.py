"""Training the rows of tokens only, and going on after a kill."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from tokenry.errors import StoreError, UsageError
from tokenry.plugs import retraining
from tokenry.plugs.retraining import train_embeddings

TEXTS = ["the cat sat on the mat, and the other cat saw it."] * 8
SETTINGS = {"steps": 9, "length": 16, "batch_size": 3, "save_every": 2, "progress": False}


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("tied", [True, False])
def test_only_rows_learn_and_the_loss_falls(language, tmp_path, tied):
    loaded = language(tie_word_embeddings=tied)
    before = weights(loaded.model)
    settings = SETTINGS | {"steps": 30, "rate": 0.05}
    done = train_embeddings(loaded.model, loaded.processor, TEXTS, folder=tmp_path, **settings)
    losses = done.losses
    assert len(losses) == 30
    assert sum(losses[-5:]) < sum(losses[:5]) - 1
    changed = {n for n, w in weights(loaded.model).items() if not torch.equal(w, before[n])}
    assert changed == {"model.embed_tokens.weight", "lm_head.weight"}
    assert all(weight.requires_grad for weight in loaded.model.parameters())
    assert not loaded.model.training


def test_after_a_kill_it_ends_with_the_same_weights(language, tmp_path, monkeypatch):
    loaded = language()
    start = copy.deepcopy(loaded.model)
    whole = train_embeddings(
        loaded.model, loaded.processor, TEXTS, folder=tmp_path / "whole", **SETTINGS
    )
    kept, count = retraining._step, iter(range(5))

    def killed(*arguments):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return kept(*arguments)

    monkeypatch.setattr(retraining, "_step", killed)
    first = copy.deepcopy(start)
    call = {"folder": tmp_path / "parts", **SETTINGS}
    with pytest.raises(KeyboardInterrupt):
        train_embeddings(first, loaded.processor, TEXTS, **call)
    monkeypatch.setattr(retraining, "_step", kept)
    second = copy.deepcopy(start)
    parts = train_embeddings(second, loaded.processor, TEXTS, **call)
    assert parts.losses == whole.losses
    for name, weight in weights(second).items():
        assert torch.equal(weight, loaded.model.state_dict()[name])


def test_slow_steps_are_kept_as_they_come_and_their_time_adds_up(language, tmp_path, monkeypatch):
    loaded = language()
    clock, steps, kept = SimpleNamespace(now=0.0), iter([1, 2, 3, 0, 3, 4, 5]), []
    step, save = retraining._step, retraining._Run.save

    def slow(*arguments):
        clock.now += 40
        if not next(steps):
            raise KeyboardInterrupt
        return step(*arguments)

    def noted(run, losses):
        kept.append(len(losses))
        save(run, losses)

    monkeypatch.setattr(retraining, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(retraining, "_step", slow)
    monkeypatch.setattr(retraining._Run, "save", noted)
    call = {"folder": tmp_path, **SETTINGS, "save_every": 100, "steps": 5}
    with pytest.raises(KeyboardInterrupt):
        train_embeddings(copy.deepcopy(loaded.model), loaded.processor, TEXTS, **call)
    done = train_embeddings(loaded.model, loaded.processor, TEXTS, **call)
    assert kept == [2, 4, 5]  # every 80 seconds, and at the end
    assert done.seconds == 5 * 40


def test_a_checkpoint_of_something_else_is_refused(language, tmp_path):
    loaded = language()
    call = {"folder": tmp_path, **SETTINGS, "steps": 2}
    train_embeddings(copy.deepcopy(loaded.model), loaded.processor, TEXTS, **call)
    with pytest.raises(StoreError, match="another training"):
        train_embeddings(loaded.model, loaded.processor, TEXTS, **call | {"steps": 3})
    with pytest.raises(StoreError, match="another training"):
        train_embeddings(loaded.model, loaded.processor, ["other " * 30], **call)
    (tmp_path / "embeddings.safetensors").write_bytes(b"broken")
    with pytest.raises(StoreError, match="cannot be read"):
        train_embeddings(loaded.model, loaded.processor, TEXTS, **call)


def test_wrong_numbers_are_refused(language, tmp_path):
    loaded = language()
    with pytest.raises(UsageError, match="steps=0"):
        train_embeddings(loaded.model, loaded.processor, TEXTS, steps=0, folder=tmp_path)
    with pytest.raises(UsageError, match="3 tokens long, less than a row of 256"):
        train_embeddings(loaded.model, loaded.processor, ["ab"], steps=1, folder=tmp_path)


def test_every_row_comes_once_before_any_comes_again():
    seen = torch.cat([retraining._chosen(7, step, 3, seed=1) for step in range(7)])
    for start in (0, 7, 14):
        assert sorted(seen[start : start + 7].tolist()) == list(range(7))
