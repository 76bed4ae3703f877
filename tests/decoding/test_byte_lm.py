"""ByteLM against a brute force over all token sequences, and at the edges of what a text is."""

import math

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tokenry import attach
from tokenry.errors import UnknownNameError, UsageError
from tokenry.plugs.byte_ensemble import ByteEnsemble
from tokenry.plugs.bytes import ByteLM
from tokenry.plugs.spelling import unfinished

PREFIXES = [
    b"",
    b" ",
    b"t",
    b"the",
    b"a\n\n",
    b"the  ",
    b"x12",
    b"it'",
    b"x?",
    "\u00a9".encode(),
    "\u00e9".encode(),
    "\u00e9".encode()[:1],
    "\u4e2d".encode()[:2],
    b"the other th",
]


def exact(lab, kind, **changes):
    tokenizer = lab.kinds[kind]
    model = lab.model(tokenizer)
    return ByteLM(model, tokenizer, **({"skip": 0, "untested": 0} | changes)), model, tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama3", "pieces"])
def test_equals_brute_force_over_all_token_sequences(lab, kind):
    lm, model, tokenizer = exact(lab, kind)
    brute = lab.brute(lm, model, tokenizer)
    for prefix in PREFIXES:
        found = lm.next(prefix).exp()
        torch.testing.assert_close(found, brute.next(prefix), atol=1e-12, rtol=1e-9)


def test_equals_brute_force_inside_a_word(lab):
    lm, model, tokenizer = exact(lab, "gpt2")
    found = lm.next("th").exp()
    expected = lab.brute(lm, model, tokenizer).next(b"th")
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


TEXT = "the weather\n\n\n  it's 1234 \u00e9t\u00e9 \u4e2d\u6587\U0001f600, then other\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama3", "pieces"])
def test_byte_by_byte_equals_starting_afresh(lab, kind):
    lm, model, tokenizer = exact(lab, kind)
    text = TEXT.encode()
    for end in range(len(text)):
        step = lm.next(text[:end])
        assert step.exp().sum() == pytest.approx(1, abs=1e-12)
        if end % 7 == 0:
            fresh = ByteLM(model, tokenizer, skip=0, untested=0).next(text[:end])
            torch.testing.assert_close(step.exp(), fresh.exp(), atol=1e-10, rtol=1e-9)


def test_long_texts_move_the_settled_part_on(lab):
    lm, model, tokenizer = exact(lab, "gpt2", skip=1e-3, untested=1e-2)
    text = (b"the other day they went there, and then " * 9)[:330]
    for end in range(2, len(text), 3):
        step = lm.next(text[:end])
    assert lm._from > 0
    assert len(lm._cache) < 256
    fresh = ByteLM(model, tokenizer, skip=1e-3, untested=1e-2).next(text[:end])
    torch.testing.assert_close(step.exp(), fresh.exp(), atol=0.02, rtol=0)


def test_a_shared_beginning_is_not_read_again(lab):
    lm, _, _ = exact(lab, "gpt2", skip=1e-3, untested=1e-2)
    text = "the other day they went there, and then the weather"
    lm.next(text)
    before = lm.trace.tokens
    lm.next(text[:40] + " other")
    assert lm.trace.tokens - before < before / 2
    before = lm.trace.tokens
    lm.next(text[:40] + " other")
    assert lm.trace.tokens == before


@pytest.mark.parametrize("kind", ["gpt2", "pieces"])
def test_settings_bound_the_difference(lab, kind):
    lm, model, tokenizer = exact(lab, kind)
    rough = ByteLM(model, tokenizer)
    for prefix in PREFIXES:
        far = (lm.next(prefix).exp() - rough.next(prefix).exp()).abs().sum() / 2
        assert far < 2 * (rough.method.skip + rough.method.untested)
    assert rough.trace.tests < lm.trace.tests


def test_what_is_cut_is_told(lab):
    lm, model, tokenizer = exact(lab, "gpt2")
    lm.next("th")
    assert 0 < lm.trace.cut < 1
    kept = ByteLM(model, tokenizer, invalid="keep", skip=0)
    kept.next("th")
    assert kept.trace.tests == 0
    assert kept.trace.cut == pytest.approx(0, abs=1e-9)


# --- the edges of a text ----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [b"\xff", b"a\xc3\x28", b"\xed\xa0\x80", b"\x80", b"a\xc0"])
def test_bytes_that_are_no_text_are_refused(lab, prefix):
    lm, _, _ = exact(lab, "gpt2")
    with pytest.raises(UsageError, match="is no UTF-8, and no text begins like that"):
        lm.next(prefix)
    assert lm.next(b"t").exp().sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["gpt2", "pieces"])
def test_characters_cut_in_the_middle_go_on_as_characters(lab, kind):
    lm, _, _ = exact(lab, kind)
    found = lm.next("the \u4e2d".encode()[:5]).exp()
    allowed = set(range(0x80, 0xC0))
    assert {i for i, p in enumerate(found.tolist()) if p > 0} <= allowed
    assert found[256] == 0
    two = lm.next("the \u4e2d".encode()[:6]).exp()
    assert {i for i, p in enumerate(two.tolist()) if p > 0} <= allowed


@pytest.mark.parametrize("kind", ["gpt2", "pieces"])
def test_what_is_written_is_text(lab, kind):
    lm, _, _ = exact(lab, kind, skip=1e-3, untested=1e-2)
    source = torch.Generator().manual_seed(3)
    for prompt in (b"", "\u4e2d".encode()[:1]):
        new = lm.write(prompt, 24, do_sample=True, generator=source, temperature=1.5)
        assert unfinished(prompt + new) is not None


def test_special_tokens_are_letters_in_a_text_and_ids_in_start(lab):
    lm, model, tokenizer = exact(lab, "gpt2")
    end = tokenizer.eos_token_id
    assert lm.next("<end>").exp().sum() == pytest.approx(1)
    assert end not in lm._spelling.encode("<end>")
    front = [end, 300, 301, end]
    given = ByteLM(model, tokenizer, start=front, skip=0, untested=0)
    assert given.start == tuple(front)
    expected = lab.brute(given, model, tokenizer).next(b"th")
    torch.testing.assert_close(given.next("th").exp(), expected, atol=1e-12, rtol=1e-9)
    assert (given.next("th").exp() - lm.next("th").exp()).abs().max() > 1e-6


def test_the_end_of_text_is_an_outcome(lab):
    lm, model, tokenizer = exact(lab, "gpt2")
    brute = lab.brute(lm, model, tokenizer)
    whole = brute.weigh(b"the")
    assert lm.score("the", ends=True) == pytest.approx(math.log(whole[1]), abs=1e-9)
    assert lm.score("the", ends=True) == pytest.approx(lm.score("the") + float(lm.next("the")[256]))


def test_start_is_what_the_tokenizer_puts_in_front(lab):
    _, model, tokenizer = exact(lab, "pieces")
    assert ByteLM(model, tokenizer).start == (tokenizer.bos_token_id,)
    _, model, tokenizer = exact(lab, "gpt2")
    assert ByteLM(model, tokenizer).start == (tokenizer.eos_token_id,)


# --- writing ----------------------------------------------------------------------------------


def test_greedy_bytes_are_the_likeliest(lab):
    lm, _, _ = exact(lab, "gpt2", skip=1e-3, untested=1e-2)
    text = b"the oth"
    new = lm.write(text, 6)
    for i, byte in enumerate(new):
        assert int(lm.next(text + new[:i]).argmax()) == byte
    assert lm.write(text, 6, stop=new[:2]) == new[:2]


def test_generate_goes_on_with_the_models_own_tokens(lab):
    lm, model, _ = exact(lab, "gpt2", skip=1e-3, untested=1e-2)
    prompt = "the other day th"
    new = lm.generate(prompt, max_new_tokens=5, do_sample=False, pad_token_id=0)
    text = prompt.encode()
    cover, _ = (lm._read(text), lm._likeliest(text))[1]
    ids = torch.tensor([lm._branch(cover).tokens])
    expected = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False, pad_token_id=0
    )
    assert text + new == lm._spelling.spell(expected[0].tolist())


def test_generate_draws_from_the_texts_that_begin_with_the_prompt(lab):
    """The first byte behind the prompt, drawn many times, against its exact distribution."""
    lm, _, _ = exact(lab, "gpt2")
    expected = lm.next("it").exp()[:256]
    counts = torch.zeros(256, dtype=torch.float64)
    torch.manual_seed(0)
    draws = 250
    for _ in range(draws):
        new = lm.generate("it", max_new_tokens=1, do_sample=True, pad_token_id=0, top_k=0)
        if new:
            counts[new[0]] += 1
    top = expected.topk(4).indices
    inside = torch.cat([expected[top], 1 - expected[top].sum()[None]])
    seen = torch.cat([counts[top], draws - counts[top].sum()[None]])
    chi = float(((seen - draws * inside) ** 2 / (draws * inside)).sum())
    assert chi < 23.5  # 4 degrees of freedom: one in ten thousand


def test_several_continuations_at_once_are_refused(lab):
    lm, _, _ = exact(lab, "gpt2")
    with pytest.raises(UsageError, match="num_beams=3; generate goes on in one way only"):
        lm.generate("the", num_beams=3)


def test_a_temperature_of_nothing_is_refused(lab):
    lm, _, _ = exact(lab, "gpt2")
    with pytest.raises(UsageError, match=r"temperature=0\.0 is not above 0"):
        lm.write("the", 3, do_sample=True, temperature=0.0)


def test_a_space_that_every_common_letter_would_join_may_stand_alone(lab):
    """Two spaces before a letter that no token has behind a space: the second one is a token."""
    tokenizer = lab.byte_level(merges=[("\u0120", second) for second in "aA1.'\u0120"])
    assert tokenizer.tokenize("x  Q") == ["x", "\u0120", "\u0120", "Q"]
    lm = ByteLM(lab.model(tokenizer), tokenizer, skip=0, untested=0)
    assert lm.next("x  Q").exp().sum() == pytest.approx(1)
    fresh = ByteLM(lab.model(tokenizer), tokenizer, skip=0, untested=0)
    scores = [float(fresh.next(b"x  Q"[:i])[b"x  Q"[i]]) for i in range(4)]
    assert lm.score("x  Q") == pytest.approx(sum(scores))
    assert all(score > -float("inf") for score in scores)


# --- ensembles --------------------------------------------------------------------------------


def test_an_ensemble_mixes_bytes_of_different_tokenizers(lab):
    members = [exact(lab, kind)[0] for kind in ("gpt2", "pieces")]
    single = torch.stack([lm.next("the") for lm in members])
    average = ByteEnsemble(members).next("the")
    torch.testing.assert_close(average.exp(), single.exp().mean(0), atol=1e-12, rtol=1e-9)
    product = ByteEnsemble(members, "product").next("the")
    torch.testing.assert_close(product, single.mean(0).log_softmax(-1), atol=1e-9, rtol=1e-9)
    text = ByteEnsemble(members).write("the", 8)
    assert unfinished(b"the" + text) is not None


def test_a_wrong_ensemble_is_refused(lab):
    with pytest.raises(UsageError, match="got 0 members"):
        ByteEnsemble([])
    with pytest.raises(UsageError, match="rule='sum'"):
        ByteEnsemble([exact(lab, "gpt2")[0]], "sum")


# --- what is refused --------------------------------------------------------------------------


def test_words_without_bytes_are_refused(lab):
    inner = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}))
    inner.decoder = decoders.WordPiece()
    tokenizer = lab.wrapped(inner)
    with pytest.raises(UsageError, match="decoder: WordPiece\\) do not spell every byte"):
        ByteLM(lab.model(lab.kinds["gpt2"]), tokenizer)


def test_a_vocabulary_with_gaps_is_refused(lab):
    inner = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    with pytest.raises(UsageError, match="has no token for byte 0x09"):
        ByteLM(lab.model(lab.kinds["gpt2"]), lab.wrapped(inner))


def test_a_tokenizer_that_changes_texts_is_refused(lab):
    tokenizer = lab.byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(UsageError, match="does not keep a text as it is: 'a B"):
        ByteLM(lab.model(tokenizer), tokenizer)


def test_a_text_that_the_tokenizer_rewrites_is_refused(lab):
    tokenizer = lab.byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    lm = ByteLM(lab.model(tokenizer), tokenizer)
    with pytest.raises(UsageError, match=r"the tokenizer writes .* give the latter"):
        lm.next("e\u0301 the")
    assert lm.next("\u00e9 the").exp().sum() == pytest.approx(1)


def test_tokens_that_the_model_lacks_are_refused(lab):
    model = lab.model(lab.kinds["gpt2"], vocab_size=300)
    with pytest.raises(UsageError, match="outside the model's vocabulary of 300"):
        ByteLM(model, lab.kinds["gpt2"])


def test_no_start_is_refused(lab):
    tokenizer = lab.byte_level()
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="start=\\[\\] is empty"):
        ByteLM(lab.model(tokenizer), tokenizer)
    with pytest.raises(UsageError, match="holds 9999"):
        ByteLM(lab.model(tokenizer), tokenizer, start=[9999])


def test_other_methods_are_refused(lab):
    model, tokenizer = lab.model(lab.kinds["gpt2"]), lab.kinds["gpt2"]
    with pytest.raises(UsageError, match="ByteLM: 'pie' is no reader of bytes; give byte-exact"):
        ByteLM(model, tokenizer, "pie")
    with pytest.raises(UnknownNameError, match="byte-exact"):
        ByteLM(model, tokenizer, "byte-exect")
    with pytest.raises(UsageError, match="not switched on by attach"):
        attach(model, "byte-exact")
