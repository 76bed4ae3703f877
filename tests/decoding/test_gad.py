"""Generalized aggressive decoding: which tokens pass, what the filler sees, what it learns from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import log_softmax
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

import tokenry
from tokenry.decoding import GAD
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import DraftView
from tokenry.plugs.filling import Filler, block_loss

PAD, START, END, MASK, VOCAB = 0, 1, 2, 3, 19


def model(seed=0, **changes):
    """A small BART whose random weights are large enough that it does not repeat itself."""
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    shape = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "max_position_embeddings": 64}
    ids = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    drop = {"dropout": 0.0, "forced_eos_token_id": None, "bos_token_id": START}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BartConfig(**({"vocab_size": VOCAB} | heads | shape | ids | drop | changes))
        made = BartForConditionalGeneration(config)
        for weight in made.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5)
    made.config.mask_token_id = MASK
    return made.eval()


@pytest.fixture(scope="module")
def writer():
    return model()


@pytest.fixture(scope="module")
def stranger():
    """A filler that was never trained, nor ever saw the writer."""
    return model(seed=1)


def drawn(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCAB, (count, 12), generator=draw)
    length = torch.randint(4, 12, (count, 1), generator=draw)
    place = torch.arange(12)
    ids = ids.masked_fill(place > length, PAD).masked_fill(place == length, END)
    return {"input_ids": ids, "attention_mask": (place <= length).long()}


def written(model, method=None, **settings):
    settings = {"do_sample": False, "max_new_tokens": 20, **settings}
    if method is None:
        return model.generate(**settings)
    with tokenry.attach(model, method):
        return model.generate(**settings)


@pytest.mark.parametrize("lenience", [{}, {"top": 1, "gap": 5.0}, {"top": 7, "gap": 0.0}])
def test_strict_output_is_the_greedy_one_whatever_the_filler_says(writer, stranger, lenience):
    method = GAD(filler=stranger, budget=32, block=6, **lenience)
    assert method.exact
    for seed in range(2):
        texts = drawn(20, seed)
        assert torch.equal(written(writer, method, **texts), written(writer, **texts))


def test_the_writer_itself_may_fill_in(writer):
    """With one mask it has seen all that it sees step by step, but for the mask itself."""
    texts = drawn(10)
    expected = written(writer, **texts)
    assert torch.equal(written(writer, GAD(filler=writer, budget=4), **texts), expected)


def test_blocks_have_the_size_that_was_asked_for(writer, stranger):
    for block, budget, most in ((6, 32, 6), (25, 9, 8)):
        with tokenry.attach(writer, GAD(filler=stranger, block=block, budget=budget)) as attachment:
            writer.generate(**drawn(1), do_sample=False, max_new_tokens=20)
        assert int(attachment.trace.offered.max()) == most


@given(
    st.lists(st.integers(-6, 6), min_size=2, max_size=8),
    st.integers(1, 5),
    st.sampled_from([0.0, 1.0, 2.5]),
)
def test_lenient_acceptance_is_that_of_sorted_log_probabilities(values, top, gap):
    scores = torch.tensor(values, dtype=torch.float64) / 2
    logs = log_softmax(scores, 0).tolist()
    method = GAD(top=top, gap=gap)
    for token, log in enumerate(logs):
        better = [other for other in logs if other > log + 1e-9]
        expected = len(better) < top and max(logs) - log <= gap + 1e-9
        assert method.accepts(scores, token) == expected


def test_lenient_output_stays_within_its_bounds(writer, stranger):
    """Each token is one that the rule allows after those before it; and some are not the best."""
    method = GAD(filler=stranger, budget=32, top=3, gap=2.0)
    assert not method.exact
    others = 0
    for seed in range(6):
        texts = drawn(1, seed)
        out = written(writer, method, **texts)
        with torch.no_grad():
            scores = writer(**texts, decoder_input_ids=out[:, :-1]).logits[0].log_softmax(-1)
        for token, logs in zip(out[0, 1:].tolist(), scores, strict=True):
            assert logs.max() - logs[token] <= 2.0 + 1e-4
            assert int((logs > logs[token] + 1e-4).sum()) < 3
            others += token != int(logs.argmax())
    assert others


def test_sampling_stays_exact_with_lenient_settings(writer, stranger):
    torch.manual_seed(0)
    strict = written(writer, GAD(filler=stranger, budget=8), **drawn(3), do_sample=True)
    torch.manual_seed(0)
    settings = {"top": 5, "gap": 9.0}
    lenient = written(
        writer, GAD(filler=stranger, budget=8, **settings), **drawn(3), do_sample=True
    )
    assert torch.equal(strict, lenient)


def test_a_filler_sees_both_ways(writer, stranger):
    """Each mask sees those behind it: more of them, and the first one says something else."""
    fill = Filler("GAD", stranger, writer).over(torch.tensor([5, 6, 7, END]))
    text = torch.tensor([START, 5])
    one, three = fill(text, 1), fill(text, 3)
    assert three.shape == (3, VOCAB)
    assert not torch.allclose(one[0], three[0], atol=1e-3)
    by_hand = stranger(
        input_ids=torch.tensor([[5, 6, 7, END]]),
        decoder_input_ids=torch.tensor([[START, 5, MASK, MASK, MASK]]),
        decoder_attention_mask=torch.ones(1, 1, 5, 5, dtype=torch.bool),
    ).logits[0, 2:]
    torch.testing.assert_close(three, by_hand.detach())


def loss_by_hand(filler, ids, real, labels, starts, block, smoothing):
    """The mean over all wanted tokens, one text at a time."""
    terms = []
    for source, kept, target, start in zip(ids, real, labels, starts, strict=True):
        target = [x for x in target.tolist() if x >= 0]
        text = [START, *target[:start], *[MASK] * block]
        n = len(text)
        scores = filler(
            input_ids=source[kept][None],
            decoder_input_ids=torch.tensor([text]),
            decoder_attention_mask=torch.ones(1, 1, n, n, dtype=torch.bool),
        ).logits[0]
        for i, wanted in enumerate(target[start : start + block]):
            logs = scores[1 + start + i].log_softmax(-1)
            terms.append(-(1 - smoothing) * logs[wanted] - smoothing * logs.mean())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("block", [2, 5, 30])
def test_loss_is_that_of_loops(stranger, block):
    texts = drawn(4, seed=3)
    ids, real = texts["input_ids"], texts["attention_mask"].bool()
    labels = torch.tensor(
        [[5, 6, 7, END, -100], [8, END, -100, -100, -100], [9, 4, 5, 6, END], [END] + [-100] * 4]
    )
    torch.manual_seed(5)
    starts = (torch.rand(4) * torch.tensor([4, 2, 5, 1])).long().tolist()
    torch.manual_seed(5)
    with torch.no_grad():
        found = block_loss(stranger, ids, real, labels, block, glance=0.0)
        expected = loss_by_hand(stranger, ids, real, labels, starts, block, 0.1)
    torch.testing.assert_close(found, expected)


def test_glancing_gives_away_what_was_guessed_wrong(stranger):
    """All of it, if every guess is wrong and each is given: nothing is left to learn."""
    texts = drawn(4, seed=3)
    labels = torch.full((4, 6), VOCAB - 1)
    with torch.no_grad():
        stranger.final_logits_bias[0, VOCAB - 1] = -100.0
        given = [texts["input_ids"], texts["attention_mask"].bool(), labels]
        assert block_loss(stranger, *given, glance=0.0) > 10
        assert block_loss(stranger, *given, glance=1.0) == 0
        stranger.final_logits_bias[0, VOCAB - 1] = 0.0


def test_without_a_filler_nothing_is_drafted(writer):
    view = DraftView(torch.tensor([START]), torch.tensor([5]), 4, False, {}, {})
    with pytest.raises(UsageError, match="GAD: there is no model that fills in masks"):
        GAD().draft(view)


def test_fillers_that_do_not_fit_are_refused(writer, language):
    with pytest.raises(UsageError, match="the filler writes 25 different tokens"):
        tokenry.attach(writer, GAD(filler=model(vocab_size=25)))
    with pytest.raises(UsageError, match=r"the filler is in training on cpu.*filler\.eval\(\)"):
        tokenry.attach(writer, GAD(filler=model().train()))
    unmasked = model()
    unmasked.config.mask_token_id = None
    with pytest.raises(UsageError, match="no mask_token_id"):
        tokenry.attach(writer, GAD(filler=unmasked))
    with pytest.raises(UnsupportedModelError, match="LlamaForCausalLM is not an encoder-decoder"):
        tokenry.attach(writer, GAD(filler=language().model))
    assert "generate" not in writer.__dict__


def test_a_filler_is_loaded_from_its_folder(writer, stranger, tmp_path):
    stranger.save_pretrained(tmp_path)
    texts = drawn(2)
    for one in (stranger, str(tmp_path)):
        with tokenry.attach(writer, GAD(filler=one, budget=9)) as attachment:
            writer.generate(**texts, do_sample=False, max_new_tokens=8)
        if one is stranger:
            first = attachment.trace.accepted
    assert torch.equal(attachment.trace.accepted, first)


def test_a_t5_fills_in_too(writer):
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=VOCAB, decoder_start_token_id=START, **shape)
    config.mask_token_id = MASK
    filler = T5ForConditionalGeneration(config).eval()
    expected = written(writer, **drawn(4))
    assert torch.equal(written(writer, GAD(filler=filler, budget=8), **drawn(4)), expected)
