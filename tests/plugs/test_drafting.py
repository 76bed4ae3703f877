"""Whatever `model.generate` is told, under a drafter it writes what it writes without one."""

import copy
from dataclasses import dataclass

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import (
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    StoppingCriteria,
)
from transformers.cache_utils import DynamicLayer
from transformers.generation.streamers import BaseStreamer

from tokenry.checks.models import tiny_decoder, words
from tokenry.decoding import PromptLookup, TokenRecycling
from tokenry.method import Drafter, TokenTree
from tokenry.plugs import drafting_ground
from tokenry.plugs.attach import attach


@dataclass(frozen=True, kw_only=True)
class Guesses(Drafter):
    """Random trees of random size, some of whose nodes say what the untouched model says."""

    def draft(self, view):
        source = torch.Generator().manual_seed(int(view.text.sum()))
        n = int(torch.randint(0, view.count + 1, (1,), generator=source))
        parents = [int(torch.randint(-1, i, (1,), generator=source)) for i in range(n)]
        tokens = torch.randint(1, 97, (n,), generator=source)
        depths = []
        for i, parent in enumerate(parents):
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
            right = self.right(view, depths[i])
            if right is not None and torch.rand((), generator=source) < 0.8:
                tokens[i] = right
        return TokenTree(tokens, torch.tensor(parents, dtype=torch.long))

    def right(self, view, depth):
        for answer in view.memory.get("answers", ()):
            n = len(view.text)
            if torch.equal(answer[:n], view.text) and n + depth - 1 < len(answer):
                return answer[n + depth - 1]
        return None


def prompts():
    """Three prompts, of which the second has four tokens less."""
    ids = words(3, 12)
    mask = torch.ones_like(ids)
    ids[1, :4], mask[1, :4] = 0, 0
    return ids, mask


def pair(model, rows=3, budget=9, inputs=None, **settings):
    """Output without and with a drafter that often knows it."""
    ids, mask = prompts() if inputs is None else inputs
    given = {"input_ids": ids[:rows], "attention_mask": mask[:rows]}
    settings = {"max_new_tokens": 30, "do_sample": False, "pad_token_id": 0, **settings}
    plain = model.generate(**given, **copy.copy(settings))
    sequences = plain if isinstance(plain, torch.Tensor) else plain.sequences
    answers = [row[int((m == 0).sum()) :] for row, m in zip(sequences, mask, strict=False)]
    with attach(model, Guesses(budget=budget)) as attachment:
        attachment.memory["answers"] = answers
        drafted = model.generate(**given, **copy.copy(settings))
    return plain, drafted, attachment.trace


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_greedy_output_is_the_same(name, rows, dtype):
    plain, drafted, trace = pair(tiny_decoder(name).to(dtype), rows)
    assert torch.equal(plain, drafted)
    assert trace.passes < 25
    assert trace.tokens == 30 * rows


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_it_is_the_same_with_eager_attention(name):
    model = tiny_decoder(name)
    model.set_attn_implementation("eager")
    plain, drafted, trace = pair(model)
    assert torch.equal(plain, drafted)
    assert trace.accepted.max() > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 9, "eos_token_id": list(range(1, 60))},
        {"min_length": 25, "eos_token_id": list(range(1, 60))},
        {"exponential_decay_length_penalty": (6, 1.5), "eos_token_id": 7},
        {"forced_eos_token_id": 5, "eos_token_id": 5},
        {"begin_suppress_tokens": list(range(50)), "suppress_tokens": [60, 61]},
        {"bad_words_ids": [[5, 6], [7]], "eos_token_id": 96},
        {"sequence_bias": [[[5, 6], 4.0], [[9], 3.0]]},
        {"encoder_repetition_penalty": 1.5},
        {"encoder_no_repeat_ngram_size": 1},
        {"renormalize_logits": True, "remove_invalid_values": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
@pytest.mark.parametrize("rows", [1, 3])
def test_every_processor_sees_each_rows_own_prefix(settings, rows):
    plain, drafted, _ = pair(tiny_decoder("llama"), rows, **settings)
    assert torch.equal(plain, drafted)


class FavoursRow(LogitsProcessor):
    """A processor of somebody else that tells rows apart, and counts."""

    def __init__(self):
        self.lengths = []

    def __call__(self, input_ids, scores):
        self.lengths.append(input_ids.shape[1])
        return scores + torch.nn.functional.one_hot(torch.arange(len(scores)) * 7 + 3, 97) * 2


def test_a_processor_that_tells_rows_apart_still_does():
    model = tiny_decoder("llama")
    plain, drafted, _ = pair(model, logits_processor=LogitsProcessorList([FavoursRow()]))
    assert torch.equal(plain, drafted)
    ids, mask = prompts()
    untouched = model.generate(ids, attention_mask=mask, max_new_tokens=30, pad_token_id=0)
    assert not torch.equal(plain, untouched)


def test_a_processor_is_asked_once_per_token_of_a_single_text():
    own = FavoursRow()
    pair(tiny_decoder("llama"), 1, logits_processor=LogitsProcessorList([own]))
    assert own.lengths == [*range(12, 42), *range(12, 42)]


def test_a_callback_may_constrain_a_single_text():
    def allowed(batch_id, ids):
        return [int(ids.sum()) % 90 + 1, 4, 9]

    plain, drafted, _ = pair(tiny_decoder("llama"), 1, prefix_allowed_tokens_fn=allowed)
    assert torch.equal(plain, drafted)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("ends", [range(1, 8), range(40, 60), [3]])
def test_each_row_ends_at_its_own_end_of_text(ends, rows):
    plain, drafted, trace = pair(tiny_decoder("qwen3"), rows, eos_token_id=list(ends))
    assert torch.equal(plain, drafted)
    assert trace.drafted.shape == drafted.shape


class Seventh(StoppingCriteria):
    """Ends a row when it holds enough multiples of seven."""

    def __call__(self, input_ids, scores, **kwargs):
        return (input_ids % 7 == 0).sum(1) >= torch.tensor([4, 9, 3])[: len(input_ids)]


@pytest.mark.parametrize("settings", [{}, {"eos_token_id": 96}])
def test_a_criterion_that_tells_rows_apart_still_does(settings):
    """Without an end-of-text token a row that has ended goes on until all have."""
    plain, drafted, _ = pair(tiny_decoder("llama"), stopping_criteria=[Seventh()], **settings)
    assert torch.equal(plain, drafted)


def test_max_time_ends_all_rows():
    model, (ids, _) = tiny_decoder("llama"), prompts()
    with attach(model, Guesses(budget=9)):
        written = model.generate(ids, max_new_tokens=30, max_time=0.0)
    assert written.shape == (3, 13)


def test_scores_and_logits_are_those_of_each_token():
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    model = tiny_decoder("llama").double()
    plain, drafted, _ = pair(model, repetition_penalty=1.3, eos_token_id=[5, 6, 7, 8], **asked)
    assert type(plain) is type(drafted)
    assert torch.equal(plain.sequences, drafted.sequences)
    real = plain.sequences[:, 12:] != 0
    for kind in ("scores", "logits"):
        one, other = (torch.stack(getattr(x, kind), 1) for x in (plain, drafted))
        assert one.shape == other.shape
        torch.testing.assert_close(one[real], other[real])


def test_several_answers_to_each_prompt():
    model = tiny_decoder("llama")
    with attach(model, Guesses(budget=9)):
        ids, mask = prompts()
        several = model.generate(
            ids, attention_mask=mask, do_sample=True, num_return_sequences=4, max_new_tokens=8
        )
    assert several.shape == (12, 20)
    assert not torch.equal(several[0], several[1])


@pytest.fixture(scope="module")
def tokenizer():
    """97 tokens: ten letters, and 87 pairs of them."""
    letters = "abcdefghij"
    pairs = [(one, other) for one in letters for other in letters][:87]
    pieces = [*letters, *("".join(pair) for pair in pairs)]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, pairs))
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=made)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stop_string_inside_a_draft_ends_the_text_at_its_token(tokenizer, rows):
    """The second half of one token and the first half of the next."""
    model = tiny_decoder("llama")
    whole, _, _ = pair(model, rows)
    strings = [tokenizer.decode(row[17:19])[-3:-1] for row in whole]
    settings = {"stop_strings": strings, "tokenizer": tokenizer, "eos_token_id": 96}
    plain, drafted, trace = pair(model, rows, **settings)
    assert torch.equal(plain, drafted)
    assert plain.shape[1] <= 19
    assert trace.accepted.max() > 0


class Listens(BaseStreamer):
    def __init__(self):
        self.heard, self.ended = [], 0

    def put(self, value):
        self.heard.append(value.tolist())

    def end(self):
        self.ended += 1


@pytest.mark.parametrize("rows", [1, 3])
def test_a_streamer_hears_the_same(rows):
    model, (ids, mask) = tiny_decoder("llama"), prompts()
    streamers = Listens(), Listens()
    settings = {"max_new_tokens": 20, "eos_token_id": [5, 6, 7], "pad_token_id": 0}
    given = {"input_ids": ids[:rows], "attention_mask": mask[:rows], **settings}
    model.generate(**given, streamer=streamers[0])
    with attach(model, Guesses(budget=6)):
        model.generate(**given, streamer=streamers[1])
    assert streamers[0].heard == streamers[1].heard
    assert streamers[1].ended == 1


@pytest.mark.parametrize("rows", [1, 3])
def test_the_cache_that_comes_back_is_that_of_the_text(rows):
    model = tiny_decoder("llama").double()
    plain, drafted, _ = pair(model, rows, return_dict_in_generate=True)
    assert {type(layer) for layer in drafted.past_key_values.layers} == {DynamicLayer}
    mask = prompts()[1][:rows].bool()
    for one, other in zip(plain.past_key_values, drafted.past_key_values, strict=True):
        for x, y in zip(one[:2], other[:2], strict=True):
            assert x.shape == y.shape
            for row, real in enumerate(mask):
                skip = int((~real).sum())
                torch.testing.assert_close(x[row, :, skip:], y[row, :, skip:])


def test_a_given_cache_is_gone_on_from():
    """Two turns through one cache, as a chat has them."""
    model, first, second = tiny_decoder("llama").double(), words(1, 9), words(1, 5, seed=1)
    results = []
    for method in (None, Guesses(budget=7)):
        cache = DynamicCache(config=model.config)
        settings = {"max_new_tokens": 12, "pad_token_id": 0, "past_key_values": cache}
        attachment = attach(model, method) if method else None
        one = model.generate(first, **settings)
        two = model.generate(torch.cat([one, second], 1), **settings)
        if attachment:
            attachment.detach()
        results.append((one, two, cache.get_seq_length()))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][2] == results[1][2] == 9 + 12 + 5 + 12 - 1


def test_embeddings_may_be_the_prompt():
    model = tiny_decoder("llama").double()
    embeddings = model.get_input_embeddings()(prompts()[0]).detach()
    settings = {"inputs_embeds": embeddings, "max_new_tokens": 15, "pad_token_id": 0}
    plain = model.generate(**settings)
    with attach(model, Guesses(budget=7)) as attachment:
        attachment.memory["answers"] = list(plain)
        assert torch.equal(model.generate(**settings), plain)


def test_a_long_prompt_may_be_read_in_chunks():
    plain, drafted, _ = pair(tiny_decoder("llama"), prefill_chunk_size=5, rows=1)
    assert torch.equal(plain, drafted)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_no_draft_goes_beyond_the_last_position(name):
    """GPT-2 has no position 20; a rotary model goes on without drafts."""
    model = tiny_decoder(name, max_position_embeddings=20)
    more = 8 if name == "gpt2" else 14
    plain, drafted, _ = pair(model, budget=12, max_new_tokens=more)
    assert torch.equal(plain, drafted)


def test_a_copy_of_the_model_drafts_for_itself():
    model, (ids, mask) = tiny_decoder("llama"), prompts()
    settings = {"attention_mask": mask, "max_new_tokens": 9, "pad_token_id": 0}
    plain = model.generate(ids, **settings)
    with attach(model, Guesses(budget=5)) as attachment:
        model.generate(ids, **settings)
        trace = attachment.trace
        twin = copy.deepcopy(model)
        assert torch.equal(twin.generate(ids, **settings), plain)
        assert attachment.trace is trace
    assert torch.equal(twin.generate(ids, **settings), plain)
    assert "generate" in vars(twin)
    assert "generate" not in vars(model)


def test_a_budget_of_one_drafts_nothing_and_needs_no_mask(monkeypatch):
    model, seen = tiny_decoder("llama"), []
    prepare = model.prepare_inputs_for_generation

    def watch(*args, **kwargs):
        seen.append(kwargs.get("attention_mask"))
        return prepare(*args, **kwargs)

    monkeypatch.setattr(model, "prepare_inputs_for_generation", watch)
    ids, _ = prompts()
    plain, drafted, trace = pair(model, budget=1, inputs=(ids, torch.ones_like(ids)))
    assert torch.equal(plain, drafted)
    assert trace.passes == 30
    assert seen == [None] * 60


@pytest.mark.parametrize("method", [PromptLookup(budget=5), TokenRecycling(budget=17)])
@pytest.mark.parametrize("holes", [1, 8, 10**6])
def test_holes_of_rows_and_trees_are_packed_now_and_then(holes, method, monkeypatch):
    """Whenever that is: the texts, and the cache handed out, are those of plain decoding."""
    monkeypatch.setattr(drafting_ground, "_HOLES", holes)
    moved, kept = [], []
    move, keep = drafting_ground.DraftLayer.move, drafting_ground.Ground.keep
    monkeypatch.setattr(
        drafting_ground.Ground, "keep", lambda *given: (kept.extend(given[1]), keep(*given))
    )
    monkeypatch.setattr(
        drafting_ground.DraftLayer, "move", lambda *given: (moved.append(1), move(*given))
    )
    model, ids = tiny_decoder("llama"), words(3, 16)
    ids[0] = words(1, 2).repeat(1, 8)
    mask = torch.ones_like(ids)
    ids[1, :5], mask[1, :5] = 0, 0
    settings = {"attention_mask": mask, "max_new_tokens": 60, "pad_token_id": 0}
    settings |= {"return_dict_in_generate": True}
    plain = model.generate(ids, **settings)
    with attach(model, method):
        ours = model.generate(ids, **settings)
    assert torch.equal(ours.sequences, plain.sequences)
    branched = any(list(stay) != [*range(len(stay))] for stay in kept)
    assert branched == isinstance(method, TokenRecycling), "only trees leave holes inside a row"
    n = plain.past_key_values.get_seq_length()
    for row, there in zip(plain.past_key_values.layers, ours.past_key_values.layers, strict=True):
        real = torch.cat([mask.bool(), torch.ones(3, n - 16, dtype=torch.bool)], 1)
        a, b = (keys.transpose(1, 2)[real] for keys in (row.keys, there.keys[:, :, :n]))
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    passes = len(moved) / len(model.model.layers)
    assert (passes == 1) == (holes == 10**6), "a cache that is handed out is packed once at the end"
