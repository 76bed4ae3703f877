"""Surprisals and answers of a causal model, against loops without padding, cache or windows."""

import math

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.method import Item
from tokenry.plugs.scoring import Reader, characters_per_token, word_sums

TEXTS = ["a word, or two", "wordy", "some more words of a longer text, at last"]


@pytest.fixture(scope="module")
def reader(byte_tokenizer, llama):
    """Build a reader of a tiny model: `reader(batch_size=1)`."""
    model = llama(len(byte_tokenizer)).double()

    def build(**settings):
        return Reader(model=model, tokenizer=byte_tokenizer, **settings)

    return build


def plain(model, ids):
    """Surprisal of each token from prefixes, one pass each, no padding and no cache."""
    found = [math.nan]
    for n in range(1, len(ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:n]])).logits[0, -1]
        found.append(-logits.log_softmax(-1)[ids[n]].item())
    return torch.tensor(found)


def item(text, *words, split=0, **more):
    """An item that asks for the surprisal of some words of a text."""
    spans = tuple((text.index(word), text.index(word) + len(word)) for word in words)
    return Item(text, text[:split], text[split:], {}, words=spans, **more)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_surprisals_are_those_of_each_text_alone(reader, batch_size):
    found = reader(batch_size=batch_size).surprisals(TEXTS)
    for text, values in zip(TEXTS, found, strict=True):
        expected = plain(reader().model, reader().encode(text).ids)
        torch.testing.assert_close(values, expected, equal_nan=True, atol=1e-5, rtol=1e-5)


def test_a_long_text_is_read_in_windows_that_overlap_by_half(byte_tokenizer, llama):
    model = llama(len(byte_tokenizer), max_position_embeddings=8)
    reader = Reader(model=model, tokenizer=byte_tokenizer, batch_size=3)
    text = "abcdefghijklmnopqrstu"
    (values,) = reader.surprisals([text])
    ids = reader.encode(text).ids
    assert len(ids) == len(values) == 21
    for i in range(1, 21):
        start = 0 if i < 8 else (i - 4) // 4 * 4  # the first window of 8, every 4, that holds i
        window = plain(model, ids[start : i + 1])
        assert math.isclose(values[i], window[-1], rel_tol=1e-4)
    assert values[0].isnan()
    assert not values[1:].isnan().any()


@pytest.mark.parametrize("in_parts", [True, False])
def test_words_and_the_rest_sum_to_the_text(reader, in_parts):
    text, words = "a word, or two words and word or", ("word", "two", "and")
    asking = reader(in_parts=in_parts)
    (response,) = asking.respond([item(text, *words, split=10)])
    expected = plain(asking.model, asking.encode(text).ids)
    tokens = [text[a:b].strip() for a, b in asking.encode(text).spans]
    total, letters = expected.nansum().item(), " ".join(tokens)
    spans = asking.encode(text).spans
    excluded = 0.0
    for value, (a, b) in zip(expected.tolist(), spans, strict=True):
        a += text[a] == " "
        inside = any(a < t + len(w) and b > t for w in words for t in [text.index(w)])
        excluded += 0.0 if inside or math.isnan(value) else value
    assert "wor" in letters  # a merged token with its space before it
    assert math.isclose(sum(response.surprisals), total - excluded, rel_tol=1e-5)
    assert response.tokens == len(tokens)


def test_two_passes_over_one_cache_are_one_pass(reader):
    items = [item(text, text[-4:], split=n) for text, n in zip(TEXTS, (6, 3, 20), strict=True)]
    once = list(reader(in_parts=False).respond(items))
    twice = list(reader(in_parts=True).respond(items))
    alone = [r for i in items for r in reader(in_parts=True).respond([i])]
    for a, b, c in zip(once, twice, alone, strict=True):
        assert a.surprisals == pytest.approx(b.surprisals, rel=1e-5)
        assert a.surprisals == pytest.approx(c.surprisals, rel=1e-5)


def test_the_context_is_read_before_the_rest(reader):
    seen = []
    asking = reader()
    handle = asking.model.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    try:
        list(asking.respond([item("abcdefgh", "gh", split=6)]))
    finally:
        handle.remove()
    ids = asking.encode("abcdefgh").ids
    assert seen == [[ids[:6]], [ids[6:]]]


def test_bos_stands_in_front_only_when_asked_for(reader):
    asking, without = reader(bos=True), reader()
    assert asking.encode("ab").ids == [asking.tokenizer.bos_token_id, *without.encode("ab").ids]
    assert asking.encode("ab", 1).split == without.encode("ab", 1).split + 1 == 2
    (first,) = asking.respond([item("ab", "a")])
    expected = plain(asking.model, asking.encode("ab").ids)[1].item()
    assert first.surprisals[0] == pytest.approx(expected, rel=1e-5)
    (undefined,) = without.respond([item("ab", "a")])
    assert math.isnan(undefined.surprisals[0])


@pytest.mark.parametrize("in_parts", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_are_the_likeliest_tokens(reader, in_parts, batch_size):
    asking = reader(in_parts=in_parts, batch_size=batch_size)
    items = [
        Item(text, text[:n], text[n:], {}, answers=("word",))
        for text, n in zip(TEXTS, (6, 3, 20), strict=True)
    ]
    found = [response.answer for response in asking.respond(items)]
    longest = len(asking.encode('["word"]').ids) + 4
    for text, answer in zip(TEXTS, found, strict=True):
        ids = asking.encode(text).ids
        for _ in range(longest):
            with torch.no_grad():
                ids.append(
                    asking.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
                )
        expected = ids[len(asking.encode(text).ids) :]
        assert answer == asking.tokenizer.decode(expected, skip_special_tokens=True)


def test_a_token_that_holds_two_words_is_refused():
    with pytest.raises(UsageError, match=r"the token 'a,b' holds characters of 2 words"):
        word_sums(torch.ones(1), [(0, 3)], [(0, 1), (2, 3)], "a,b")


def test_the_space_before_a_word_is_not_of_the_word_before():
    assert word_sums(torch.tensor([1.0, 2.0]), [(0, 1), (1, 3)], [(0, 2), (2, 3)], "a b") == (1, 2)


def test_texts_that_do_not_fit_are_refused(byte_tokenizer, llama):
    model = llama(len(byte_tokenizer), max_position_embeddings=8)
    asking = Reader(model=model, tokenizer=byte_tokenizer)
    with pytest.raises(UsageError, match="10 tokens do not fit into the 8 positions of Llama"):
        list(asking.respond([item("abcdefghij", "j")]))


def test_a_tokenizer_must_know_characters_and_bos(word_tokenizer, llama):
    tokenizer = word_tokenizer(["a"])
    tokenizer.bos_token = None
    with pytest.raises(UsageError, match="has no beginning-of-text token; give bos=False"):
        Reader(model=llama(4), tokenizer=tokenizer, bos=True)
    with pytest.raises(UsageError, match="str cannot tell which characters"):
        Reader(model=llama(4), tokenizer="no tokenizer")


def test_characters_per_token(byte_tokenizer):
    assert characters_per_token(byte_tokenizer, "abc wor") == 7 / 4
