"""Exploring: what is encoded, what is refused, and the vote of several ways."""

import pytest
import torch

from tokenry.decoding import ICN
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.method import Form
from tokenry.plugs import exploring
from tokenry.plugs.exploring import explore, reason
from tokenry.plugs.stem import Stem

SHORT = Form("{question}:", " {number}(", ")", ")", 5)
QUESTION = "Name a bird that is not too small"


def encoded(model, tokens):
    """Note the shape of each input of the embedding in `tokens`."""
    return model.get_input_embeddings().register_forward_hook(
        lambda _, given, __: tokens.append(tuple(given[0].shape))
    )


@pytest.mark.parametrize("strategy", ["icn", "top", "sample"])
def test_the_prompt_is_encoded_once(language, strategy):
    loaded, shapes = language(), []
    hook = encoded(loaded.model, shapes)
    found = explore(
        loaded.model, loaded.processor, QUESTION, 9, form=SHORT, strategy=strategy,
        **({"per_round": 3} if strategy != "sample" else {}),
    )  # fmt: skip
    hook.remove()
    start = len(SHORT.write(QUESTION).encode())
    assert shapes[0] == (1, start)
    read = [n for b, n in shapes[1:] if b == 1]
    if strategy == "icn":  # what an answer adds to the list, and nothing else
        listed = [SHORT.write(QUESTION, found.distinct[:k]) for k in (0, 3, 6)]
        sizes = [len(text.encode()) for text in listed]
        assert read == [sizes[1] - sizes[0], sizes[2] - sizes[1]]
    else:
        assert read == []
    assert max(b * n for b, n in shapes if b > 1) <= 9  # one token per answer in each pass


def test_moving_equals_encoding_anew(language):
    loaded = language()
    model, tokenizer = loaded.model.double(), loaded.processor
    stem = Stem(model, tokenizer, "a text")
    for prompt in ("a text and more", "a text", "another", "a", "a text and less"):
        stem.move(prompt)
        with torch.no_grad():
            ids = torch.tensor([tokenizer(prompt)["input_ids"]])
            expected = model(ids, use_cache=False).logits[0, -1]
        torch.testing.assert_close(stem.scores.double(), expected, rtol=0, atol=1e-5)


def test_a_sliding_window_is_read_anew(language, causal):
    tokenizer = language().processor
    model = causal("Mistral", sliding_window=4, vocab_size=257).double()
    stem = Stem(model, tokenizer, "a text and more")
    for prompt in ("a text", "a text or two"):
        stem.move(prompt)
        with torch.no_grad():
            ids = torch.tensor([tokenizer(prompt)["input_ids"]])
            expected = model(ids, use_cache=False).logits[0, -1]
        torch.testing.assert_close(stem.scores.double(), expected, rtol=0, atol=1e-5)


def test_nothing_is_left_on_the_model(language):
    loaded = language()
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    state = torch.get_rng_state()
    explore(loaded.model, loaded.processor, QUESTION, 4, form=SHORT, strategy="sample")
    after = loaded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"question": " \n"}, UsageError, "the question is empty"),
        ({"count": 0}, UsageError, "count=0 is less than 1"),
        ({"method": "pie"}, UsageError, "'pie' is no navigator; give icn"),
        ({"method": "ikn"}, UnknownNameError, "icn"),
        ({"method": ICN(), "per_round": 3}, UsageError, r"ICN\(\) is configured already"),
        ({"strategy": "sample", "temperature": 0.0}, UsageError, "temperature=0.0 is not posit"),
        ({"question": "x" * 600}, UsageError, "has 512 positions"),
    ],
)
def test_what_cannot_be_is_refused(language, call, error, message):
    loaded = language()
    given = {"question": QUESTION, "count": 4, "form": SHORT} | call
    with pytest.raises(error, match=message):
        explore(loaded.model, loaded.processor, **given)


@pytest.mark.parametrize("rows", [200, 3000])
def test_the_tokenizer_of_another_model_is_refused(language, rows):
    model = language(vocab_size=rows).model
    with pytest.raises(UsageError, match=f"knows 257 tokens, .* has rows for {rows}"):
        explore(model, language().processor, QUESTION, form=SHORT)


def test_models_that_do_not_continue_texts_are_refused(language):
    loaded = language()
    with pytest.raises(UnsupportedModelError, match="LlamaModel is not a causal language model"):
        explore(loaded.model.model, loaded.processor, QUESTION)


def test_silence_is_refused(language):
    loaded = language()
    model = loaded.model
    with torch.no_grad():  # the same state everywhere, and a head that always closes
        model.get_input_embeddings().weight[:] = 0.3
        (state,) = model.model(torch.tensor([[1]])).last_hidden_state[0]
        model.lm_head.weight[:] = 0
        model.lm_head.weight[loaded.processor(")")["input_ids"][0]] = 50 * state
    with pytest.raises(UsageError, match="nothing was written before the mark '\\)' in 4 tries"):
        explore(model, loaded.processor, QUESTION, 4, form=SHORT, strategy="sample")


class Scripted(Stem):
    """Says what the script says, whatever the model."""

    numbers = ()

    def complete(self, first, closing, length, temperature=0.0):
        if closing == "\n":
            return [(self.numbers.pop(0), True)]
        return super().complete(first, closing, length, temperature)


@pytest.mark.parametrize(
    ("numbers", "vote"),
    [
        (["7", "I say 12.", "12.0 apples", "none"], "12"),
        (["3", "4", "4", "3"], "3"),
        (["", "1,000", "x", ""], "1000"),
    ],
)
def test_the_vote(language, monkeypatch, numbers, vote):
    loaded = language()
    monkeypatch.setattr(exploring, "Stem", Scripted)
    monkeypatch.setattr(Scripted, "numbers", list(numbers))
    form = Form("{question}\n", "Way {number}: ", "#", "\n", 4)
    found = reason(loaded.model, loaded.processor, "How many?", form=form)
    assert found.answer == vote
    assert len(found.numbers) == len(found.ways.answers) == 4
    assert [answer.round for answer in found.ways.answers] == [1, 2, 3, 4]


def test_no_number_at_all_is_refused(language, monkeypatch):
    loaded = language()
    monkeypatch.setattr(exploring, "Stem", Scripted)
    monkeypatch.setattr(Scripted, "numbers", ["none", "x"])
    form = Form("{question}\n", "Way {number}: ", "#", "\n", 4)
    with pytest.raises(UsageError, match="none of 2 ways ends with a number"):
        reason(loaded.model, loaded.processor, "How many?", 2, form=form)
