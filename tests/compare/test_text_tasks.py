"""Tasks on texts: what goes through the cache, when it is cut, and what the scores are."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from tokenry.cache import KeyNorm, RandomSlots, SnapKV, StreamingLLM, TokenSelect
from tokenry.compare.tasks import Answers, LMAgreement, Needles, Pass, Perplexity, Subject, TextTask
from tokenry.compare.tasks import text as home
from tokenry.compare.tasks.text import Written, encode
from tokenry.data import TextData, TextExample
from tokenry.errors import UsageError
from tokenry.plugs.attach import attach
from tokenry.plugs.generate import Feed

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def subject(language):
    """Build the subject of a tiny model."""

    def subject(**settings):
        loaded = language(**settings)
        return Subject(loaded.model, loaded.processor, "tiny", CPU, kind="causal-lm")

    return subject


def write(task, subject, data, policy=None):
    """One pass of a task over some data."""
    task.prepare(subject, data.examples)
    _, examples = task.split(data.examples)
    batch = task.batch(subject, examples)
    with torch.no_grad():
        if policy is None:
            return Pass(task.run(subject.model, batch), None), batch
        with attach(subject.model, policy) as attached:
            outputs = task.run(subject.model, batch)
            return Pass(outputs, attached.trace), batch


def written(tokens=None, scores=None, forced=((),)):
    tokens = torch.tensor(tokens if tokens is not None else [[0]])
    forced = torch.tensor(forced)
    return Written(scores, tokens, forced, torch.tensor([True]), 1.0, 0.5, None, (), 0)


def test_the_scores_are_those_of_one_pass_over_the_whole_text(subject, texts):
    one, task = subject(), LMAgreement(max_tokens=100, continuation=16)
    seen, _ = write(task, one, texts(1))
    ids = one.processor(texts(1)[0].text, return_tensors="pt")["input_ids"][:, :116]
    with torch.no_grad():
        whole = one.model(ids).logits
    torch.testing.assert_close(seen.outputs.scores[0], whole[0, 99:115], atol=1e-4, rtol=1e-4)
    assert torch.equal(seen.outputs.forced, ids[:, 100:116])
    assert task.score(seen, seen, texts(1).examples).values == [1.0]


def test_perplexity_is_the_mean_loss_in_bits(subject, texts):
    one = subject()
    seen, _ = write(Perplexity(max_tokens=100, continuation=16), one, texts(1))
    ids = one.processor(texts(1)[0].text, return_tensors="pt")["input_ids"][:, :116]
    with torch.no_grad():
        logits = one.model(ids).logits[0]
    expected = 0.0
    for i in range(100, 116):
        chances = (logits[i - 1].double() - logits[i - 1].double().logsumexp(0)).exp()
        expected -= math.log2(chances[ids[0, i]]) / 16
    found = Perplexity(continuation=16).score(seen, seen, texts(1).examples)
    assert found.values == pytest.approx([expected], rel=1e-4)
    assert found.secondary["perplexity"] == pytest.approx([2**expected], rel=1e-3)


def test_kl_is_zero_between_equals_and_counted_in_bits():
    ours = torch.tensor([[[0.0, 0.0], [9.0, 0.0]]])
    theirs = torch.tensor([[[math.log(3), 0.0], [9.0, 0.0]]])
    seen, untouched = (Pass(written(scores=one, forced=((0, 0),)), None) for one in (ours, theirs))
    found = LMAgreement().score(seen, untouched, [1])
    bits = (0.75 * math.log2(0.75 / 0.5) + 0.25 * math.log2(0.25 / 0.5)) / 2
    assert found.secondary["kl"] == pytest.approx([bits], rel=1e-5)
    assert LMAgreement().score(seen, seen, [1]).secondary["kl"] == [0]


def test_no_prediction_comes_from_the_complete_cache(subject, texts):
    """With only the first and the last slot left, even the first prediction differs."""
    one, task = subject(), LMAgreement(max_tokens=100, continuation=8)
    plain, _ = write(task, one, texts(1))
    cut, _ = write(task, one, texts(1), StreamingLLM(sinks=1, keep=0.02))
    assert not torch.allclose(plain.outputs.scores[:, 0], cut.outputs.scores[:, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("policy", "singly"),
    [
        (None, 8),
        (KeyNorm(keep=1.0), 8),
        (KeyNorm(keep=0.25, recent=8), 8),
        (TokenSelect(keep=0.5), 31),
    ],
)
def test_a_continuation_is_read_as_if_token_by_token(subject, texts, policy, singly):
    """Of its tokens some come one by one, up to a cut, and give the time of all."""
    one, task = subject(), LMAgreement(max_tokens=100, continuation=32)
    seen, batch = write(task, one, texts(1), policy)
    lengths = []
    hook = one.model.register_forward_pre_hook(
        lambda _, __, given: lengths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    again, _ = write(task, one, texts(1), policy)
    hook.remove()
    assert torch.equal(again.outputs.scores, seen.outputs.scores)
    assert lengths[:2] == [99, 1]
    assert lengths[2 : 2 + singly] == [1] * singly
    assert sum(lengths[2:]) == 31
    assert len(lengths) < 2 + 31 or singly == 31
    with torch.no_grad(), nullcontext() if policy is None else attach(one.model, policy):
        feed = Feed(one.model)
        feed(batch.head)
        slowly = [feed(batch.tail), *(feed(token[:, None]) for token in batch.forced.T[:-1])]
    torch.testing.assert_close(seen.outputs.scores, torch.stack(slowly, 1), atol=1e-4, rtol=1e-4)
    assert seen.trace is None or seen.trace.seen == 131
    written = seen.outputs
    expected = written.prefill + 31 * written.decoding
    assert task.seconds(seen, 99.0) == pytest.approx(expected)


def test_a_profile_is_of_the_end_of_the_prompt(subject, texts, monkeypatch):
    monkeypatch.setattr(home, "PROFILED", (30, 2))
    one, task = subject(), LMAgreement(max_tokens=100, continuation=16)
    _, whole = write(task, one, texts(2))
    batch = task.profiled(whole)
    assert torch.equal(batch.head, whole.head[:, -30:])
    assert torch.equal(batch.tail, whole.tail)
    assert (batch.steps, batch.forced.shape[1]) == (2, 2)
    with torch.no_grad():
        part = task.run(one.model, batch)
    assert part.scores.shape[1] == 2
    assert part.slots == (32, 32)
    assert len(task.score(Pass(part, None), Pass(part, None), texts(2).examples).values) == 2


@pytest.mark.parametrize("policy", [None, StreamingLLM(keep=0.3), RandomSlots(keep=0.6)])
def test_texts_of_different_lengths_in_one_batch(subject, policy):
    """Left padding changes nothing but the number of slots, which counts padding too."""
    one = subject()
    made = [TextExample(str(i), "abcdefgh " * (8 + i)) for i in range(3)]
    task = LMAgreement(max_tokens=100, continuation=8)
    together, _ = write(task, one, TextData("texts", tuple(made), "", ""), policy)
    if policy is None:
        for i, example in enumerate(made):
            alone, _ = write(task, one, TextData("text", (example,), "", ""))
            torch.testing.assert_close(
                together.outputs.scores[i], alone.outputs.scores[0], atol=1e-4, rtol=1e-4
            )
    else:
        shapes = [one.shape for one in task.groups(together)]
        assert shapes == [(2, min(100, len(e.text) - 8)) for e in made]


def test_the_question_comes_before_the_cut_or_after_it(subject, texts):
    one, data = subject(), texts(1, question="Who saw it?", answers=("cat",))
    aware, free = (Answers(query, answer_tokens=4) for query in ("aware", "free"))
    for task in (aware, free):
        task.prepare(one, data.examples)
    first, second = (task.batch(one, data.examples) for task in (aware, free))
    assert first.pieces == second.pieces
    whole = [torch.cat([b.head, b.tail], 1).tolist() for b in (first, second)]
    assert whole[0] == whole[1]
    assert first.tail.shape[1] == 1
    read = "".join(second.pieces[0][: second.head.shape[1]])
    assert read == data[0].text
    assert "Question: Who saw it?\nAnswer:" in "".join(second.pieces[0][second.head.shape[1] :])


def test_what_a_policy_sees_of_the_question(subject, texts, monkeypatch):
    one, data = subject(), texts(1, question="Who saw it?", answers=("cat",))
    seen, plain = {}, SnapKV.evict

    def evict(self, view):
        seen.setdefault(query, view.seen)
        return plain(self, view)

    monkeypatch.setattr(SnapKV, "evict", evict)
    for query in ("aware", "free"):
        write(Answers(query, answer_tokens=2), one, data, SnapKV(keep=0.5, last=8))
    assert seen["free"] == len(data[0].text)
    assert seen["aware"] > seen["free"] + len("Question: Who saw it?")


def test_the_chat_template_is_used_when_there_is_one(subject, texts):
    data = texts(1, question="Who?", answers=("cat",), answer_prefix="It was")
    for chat in (True, False):
        task, one = Answers("free"), subject(chat=chat)
        task.prepare(one, data.examples)
        batch = task.batch(one, data.examples)
        prompt = "".join(batch.pieces[0])
        assert prompt.startswith("<user>" if chat else data[0].text[:6])
        assert prompt.endswith("Who?</user><reply>It was" if chat else "\nAnswer: It was")


def test_a_template_that_changes_the_text_is_refused(subject, texts):
    one = subject(chat=True)
    one.processor.chat_template = "{{ messages[0].content | upper }}"
    data = texts(1, question="Who?", answers=("cat",))
    with pytest.raises(UsageError, match="chat template changes the text"):
        Answers().prepare(one, data.examples)


@pytest.mark.parametrize(
    ("reply", "answers", "expected"),
    [
        ("It was the Cat.", ("cat",), (1, 0)),
        ("Cat", ("dog", "the cat"), (1, 1)),
        ("concatenate", ("cat",), (0, 0)),
        ("use -A for that", ("-A",), (1, 0)),
        ("use -a", ("-A",), (0, 0)),
        ("a", ("-a",), (0, 0)),
        ("/etc/hosts", ("/etc/hosts",), (1, 1)),
        ("Don't delete it", ("don't delete",), (1, 0)),
        ("cat\nQuestion: dog", ("dog",), (0, 0)),
    ],
)
def test_answers_are_matched(subject, texts, reply, answers, expected):
    one, task = subject(), Answers()
    data = texts(1, question="Who?", answers=answers)
    task.prepare(one, data.examples)
    tokens = one.processor(reply, add_special_tokens=False)["input_ids"]
    seen = Pass(written([[*tokens, 256, 65, 66]]), None)
    found = task.score(seen, seen, data.examples)
    assert (found.values[0], found.secondary["exact"][0]) == expected


def test_the_model_stops_writing_at_its_end(subject, texts, monkeypatch):
    one, task = subject(), Answers(answer_tokens=20)
    data = texts(2, question="Who?", answers=("cat",))
    monkeypatch.setattr(home, "end_of_text", lambda _: frozenset(range(257)))
    seen, _ = write(task, one, data)
    assert seen.outputs.tokens.shape == (2, 1)
    assert task.replies(seen) == ["", ""]


def test_needles_count_every_value_at_its_place(subject):
    example = TextExample("1", "x" * 50, "Which?", ("ab12", "cd34"), meta={"depth": "0.5"})
    one, task = subject(), Needles()
    task.prepare(one, [example])
    for reply, expected in (("ab12, cd34", 1), ("ab12", 0.5), ("cd34, ab12", 0)):
        tokens = one.processor(reply, add_special_tokens=False)["input_ids"]
        seen = Pass(written([tokens]), None)
        assert task.score(seen, seen, [example]).values == [expected]
    assert task.label(example) == "depth 0.5"


def test_what_is_left_of_the_cache(subject, texts):
    one, task = subject(), LMAgreement(max_tokens=100, continuation=8)
    seen, batch = write(task, one, texts(1), StreamingLLM(sinks=2, keep=0.5))
    (groups,) = task.groups(seen)
    assert groups.shape == (2, 100)
    held = seen.trace.resident[0] - 7  # the tokens after the prompt are held too
    expected = [100] * 2 + [0] * (100 - held) + [100] * (held - 2)
    assert groups.tolist() == [expected, expected]
    (thumbnail,) = task.thumbnails(one, batch, seen)
    assert "".join(json.loads(thumbnail)) == texts(1)[0].text[:100]
    costs = task.costs(seen)
    slot = 2 * 2 * 8 * 4  # keys and values of two heads of width 8 in float32
    assert costs["bytes_resident"] == sum(seen.trace.resident) * slot
    assert costs["bytes_read"] == costs["bytes_resident"]
    plain, _ = write(task, one, texts(1))
    assert task.costs(plain)["bytes_resident"] == 2 * 107 * slot
    assert task.groups(plain) == []
    assert list(task.rows(plain, ())) == [(107, 107)] * 2
    assert list(task.rows(seen, ())) == list(zip(seen.trace.resident, seen.trace.read, strict=True))


def test_pieces_are_the_text_also_where_tokens_share_a_character(language):
    ids, pieces = encode(language().processor, "a\u00e9\u4e2d b\n", special=False)
    assert "".join(pieces) == "a\u00e9\u4e2d b\n"
    assert len(ids) == len(pieces) == 9
    assert pieces.count("") == 3


def test_a_long_text_is_cut_and_a_short_one_left_out(subject):
    one, task = subject(), LMAgreement(max_tokens=64, continuation=16)
    examples = [TextExample("long", "word " * 100), TextExample("short", "one two")]
    with pytest.warns(UserWarning, match="1 of 2 examples are not scored; the first one has 7 to"):
        task.prepare(one, examples)
    assert task.split(examples) == ([], examples[:1])
    batch = task.batch(one, examples[:1])
    assert batch.head.shape[1] + batch.tail.shape[1] == 64
    with pytest.raises(UsageError, match="no example can be used; the first one has 7 tokens, few"):
        task.prepare(one, examples[1:])


def test_a_question_about_a_text_that_is_too_long_is_left_out(subject, texts):
    one, data = subject(), texts(2, question="Who?", answers=("cat",))
    with pytest.raises(UsageError, match=r"has \d+ tokens, more than max_tokens=20"):
        Answers(max_tokens=20).prepare(one, data.examples)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LMAgreement("aware"), "lm-agreement: query='aware'; allowed: 'free', since no q"),
        (lambda: Answers("both"), "answers: query='both'; allowed: 'aware' or 'free'"),
        (lambda: Perplexity(max_tokens=0), "perplexity: max_tokens=0 is not a whole number"),
        (lambda: Perplexity(continuation=1.5), "continuation=1.5 is not a whole number"),
        (lambda: Answers(answer_tokens=True), "answer_tokens=True is not a whole number"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_more_tokens_than_the_model_has_positions_for(subject, texts):
    with pytest.raises(UsageError, match=r"500 tokens of context .* 512 positions .*496"):
        LMAgreement(max_tokens=500, continuation=16).prepare(subject(), texts(1).examples)
    small = subject(max_position_embeddings=16)
    with pytest.raises(UsageError, match="16 positions"):
        LMAgreement(continuation=16).prepare(small, texts(1).examples)


def test_data_without_questions(subject, texts):
    with pytest.raises(UsageError, match=r"no questions with answers; .* task='lm-agreement'"):
        Answers().prepare(subject(), texts(2).examples)


def test_settings_are_what_results_are_stored_under():
    made = [Answers(), Answers("free"), Answers(max_tokens=9), Answers(answer_tokens=9), Needles()]
    assert len({task.describe() for task in made}) == len(made)
    assert Answers("free").settings == Answers("free").info.settings == {"query": "free"}
    assert LMAgreement().shares == Perplexity().shares != LMAgreement(continuation=3).shares
    assert issubclass(Answers, TextTask)


def test_finite_names_the_texts(subject, texts):
    one = subject()
    seen, _ = write(LMAgreement(max_tokens=50, continuation=4), one, texts(2))
    assert LMAgreement().finite(seen.outputs) == [True, True]
    poisoned = np.array([True, False])
    outputs = written()
    object.__setattr__(outputs, "finite", torch.from_numpy(poisoned))
    assert LMAgreement().finite(outputs) == [True, False]
