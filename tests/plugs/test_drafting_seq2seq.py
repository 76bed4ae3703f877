"""Drafts on encoder-decoders: what is written is what the model would have written."""

import math

import pytest
import torch
import transformers
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, TextStreamer

import tokenry
from tokenry.decoding import GAD, AggressiveDecoding, PromptLookup, TokenRecycling
from tokenry.errors import UnsupportedModelError, UsageError

PAD, START, END, VOCAB = 0, 1, 2, 23
IDS = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
DRAFTERS = [
    AggressiveDecoding(budget=40),
    AggressiveDecoding(budget=3, longest=1),
    PromptLookup(budget=9, ngram=2),
    TokenRecycling(budget=16),
]


def built(name, **changes):
    """A small model whose random weights are large enough that it does not repeat itself."""
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    layers = {"encoder_layers": 2, "decoder_layers": 1}
    shape = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16} | heads | layers
    plain = {"max_position_embeddings": 64, "forced_eos_token_id": None, "bos_token_id": START}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "t5":
            shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
            config = transformers.T5Config(**({"vocab_size": VOCAB} | shape | IDS | changes))
            model = transformers.T5ForConditionalGeneration(config)
        elif name == "marian":
            config = transformers.MarianConfig(
                **({"vocab_size": VOCAB} | shape | plain | IDS | changes)
            )
            model = transformers.MarianMTModel(config)
        else:
            config = transformers.BartConfig(
                **({"vocab_size": VOCAB} | shape | plain | IDS | changes)
            )
            model = transformers.BartForConditionalGeneration(config)
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5)
    return model.eval()


@pytest.fixture(scope="module", params=["bart", "t5", "marian"])
def model(request):
    return built(request.param)


@pytest.fixture(scope="module")
def bart():
    return built("bart")


def drawn(count, seed=0, low=4, high=14):
    """Sources of different lengths, padded on the right, and their mask."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCAB, (count, high), generator=draw)
    length = torch.randint(low, high, (count, 1), generator=draw)
    place = torch.arange(high)
    ids = ids.masked_fill(place > length, PAD).masked_fill(place == length, END)
    return {"input_ids": ids, "attention_mask": (place <= length).long()}


def written(model, method=None, count=20, **settings):
    settings = {"do_sample": False, "max_new_tokens": count, **settings}
    if method is None:
        return model.generate(**settings)
    with tokenry.attach(model, method):
        return model.generate(**settings)


PLAIN = {}


def plain(model, sources, **settings):
    """What a model of the fixture writes to drawn sources without drafts, once for all tests."""
    key = model.config.model_type, sources, repr(settings)
    if key not in PLAIN:
        PLAIN[key] = written(model, **drawn(*sources), **settings)
    return PLAIN[key]


class Dictation(LogitsProcessor):
    """Whatever the model says, each row is the dictated one."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, ids, scores):
        scores = torch.full_like(scores, -1.0)
        for i in range(len(ids)):
            scores[i, self.rows[i][ids.shape[1] - 1]] = 1.0
        return scores


@pytest.mark.parametrize("method", DRAFTERS, ids=lambda method: method.describe())
def test_output_of_random_sources_is_the_greedy_one(model, method):
    sources = (200 if type(method) is AggressiveDecoding else 50,)
    expected = plain(model, sources)
    assert len({tuple(row) for row in expected.tolist()}) > 20
    assert torch.equal(written(model, method, **drawn(*sources)), expected)


@pytest.mark.parametrize("method", DRAFTERS, ids=lambda method: method.describe())
def test_a_source_alone_takes_no_more_passes_than_without_drafts(model, method):
    """And where the text repeats itself drafts are accepted: the cache is put to the test."""
    accepted = type(method) is AggressiveDecoding
    for seed in range(12):
        expected = plain(model, (1, seed))
        with tokenry.attach(model, method) as attachment:
            out = model.generate(do_sample=False, max_new_tokens=20, **drawn(1, seed))
            trace = attachment.trace
        assert torch.equal(out, expected)
        assert trace.passes <= expected.shape[1] - 1 == trace.tokens
        assert trace.passes + int(trace.drafted.sum()) >= trace.tokens
        accepted += int(trace.accepted.clamp(min=0).sum())
    assert accepted


def dictated(model, rows, source, method):
    processors = LogitsProcessorList([Dictation(rows)])
    with tokenry.attach(model, method) as attachment:
        out = model.generate(
            input_ids=torch.tensor([source]),
            attention_mask=torch.ones(1, len(source), dtype=torch.long),
            logits_processor=processors,
            do_sample=False,
            max_new_tokens=40,
        )
    assert out[0, 1:].tolist() == rows[0]
    return attachment.trace


def test_a_copy_takes_one_pass(model):
    source = [*range(3, 20), END]
    trace = dictated(model, [source], source, AggressiveDecoding(budget=64))
    assert trace.passes == 1
    assert trace.drafted[0].tolist() == [False, *[True] * len(source)]


@pytest.mark.parametrize("edits", [(4,), (4, 9), (3, 7, 14)])
def test_an_edit_takes_two_more_passes(model, edits):
    """The edit itself ends a draft; nothing in the source follows it, and one step is plain."""
    source = [*range(3, 20), END]
    target = [21 if i in edits else x for i, x in enumerate(source)]
    trace = dictated(model, [target], source, AggressiveDecoding(budget=64))
    assert trace.passes == 1 + 2 * len(edits)


def test_rows_advance_by_the_smallest_count(bart):
    """One row copies, one is different from its source throughout: the copy waits."""
    source = [*range(3, 15), END]
    rows = [source, [21] * 12 + [END]]
    texts = {"input_ids": torch.tensor([source, source]), "attention_mask": torch.ones(2, 13)}
    with tokenry.attach(bart, AggressiveDecoding(budget=64)) as attachment:
        out = bart.generate(
            **texts, logits_processor=LogitsProcessorList([Dictation(rows)]), max_new_tokens=40
        )
    assert out[:, 1:].tolist() == rows
    assert attachment.trace.passes == 13
    assert attachment.trace.accepted[:, 1].sum() == 0


def test_a_row_that_has_ended_does_not_hold_the_others_back(bart):
    source = [*range(3, 15), END]
    rows = [source, [*source[:2], END, *[PAD] * 10]]
    texts = {"input_ids": torch.tensor([source, source]), "attention_mask": torch.ones(2, 13)}
    with tokenry.attach(bart, AggressiveDecoding(budget=64)) as attachment:
        out = bart.generate(
            **texts, logits_processor=LogitsProcessorList([Dictation(rows)]), max_new_tokens=40
        )
    assert out[:, 1:].tolist() == rows
    assert attachment.trace.passes == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"encoder_no_repeat_ngram_size": 1},
        {"encoder_repetition_penalty": 1.5},
        {"forced_bos_token_id": 5, "forced_eos_token_id": 6},
        {"min_new_tokens": 15, "suppress_tokens": [7, 8, 9]},
        {"bad_words_ids": [[i] for i in range(3, 13)]},
    ],
    ids=lambda settings: next(iter(settings)),
)
@pytest.mark.parametrize("method", [DRAFTERS[0], DRAFTERS[2]], ids=["iad", "lookup"])
def test_processors_see_each_position(model, method, settings):
    sources = (8, 3)
    expected = plain(model, sources, **settings)
    assert not torch.equal(expected, plain(model, sources))
    assert torch.equal(written(model, method, **drawn(*sources), **settings), expected)


def test_scores_and_logits_are_those_of_single_steps(model):
    settings = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    texts = drawn(3, seed=5)
    expected = written(model, **texts, **settings, no_repeat_ngram_size=2)
    found = written(model, DRAFTERS[2], **texts, **settings, no_repeat_ngram_size=2)
    assert type(found) is type(expected)
    assert torch.equal(found.sequences, expected.sequences)
    end = (expected.sequences[:, 1:] == END).int().cumsum(1).cumsum(1) > 1
    for name in ("scores", "logits"):
        for step, (one, other) in enumerate(zip(found[name], expected[name], strict=True)):
            going = ~end[:, step]
            torch.testing.assert_close(one[going], other[going], atol=1e-4, rtol=1e-4)


def test_the_cache_that_is_returned_goes_on(bart):
    texts = drawn(1, seed=2)
    settings = {"return_dict_in_generate": True, "eos_token_id": -1}
    whole = written(bart, **texts, count=20, **settings).sequences
    half = written(bart, DRAFTERS[2], **texts, count=9, **settings)
    assert half.past_key_values.get_seq_length() == half.sequences.shape[1] - 1
    again = {
        "decoder_input_ids": half.sequences,
        "decoder_attention_mask": torch.ones_like(half.sequences),
        "past_key_values": half.past_key_values,
    }
    for method in (None, DRAFTERS[2]):
        out = written(bart, method, **texts, **again, count=11, **settings)
        assert torch.equal(out.sequences, whole)
        out.past_key_values.crop(-11)


def test_a_decoder_prompt_is_read_first(model):
    texts = drawn(4, seed=7)
    texts["decoder_input_ids"] = torch.tensor([[START, 5, 6]]).repeat(4, 1)
    expected = written(model, **texts)
    for method in DRAFTERS:
        assert torch.equal(written(model, method, **texts), expected)


def test_positions_do_not_run_out(bart):
    short = built("bart", max_position_embeddings=16)
    texts = drawn(6, seed=4, low=8, high=12)
    expected = written(short, **texts, count=15, eos_token_id=-1)
    assert expected.shape[1] == 16
    for method in DRAFTERS:
        assert torch.equal(written(short, method, **texts, count=15, eos_token_id=-1), expected)


def test_trees_are_cut_to_their_first_path(bart):
    """A tree of 15 nodes would be verified as one; a chain of them holds a node per level."""
    texts = drawn(1, seed=1)
    with tokenry.attach(bart, TokenRecycling(budget=16)) as attachment:
        for _ in range(2):
            bart.generate(**texts, do_sample=False, max_new_tokens=20)
    assert 1 <= int(attachment.trace.offered.max()) < 8


class Told(TextStreamer):
    def __init__(self):
        self.tokens, self.ended = [], False

    def put(self, value):
        self.tokens += value.flatten().tolist()

    def end(self):
        self.ended = True


class AfterSevens(StoppingCriteria):
    """A row ends behind its second multiple of five."""

    def __call__(self, ids, scores, **kwargs):
        return (ids % 5 == 0).sum(1) >= 2


def test_streamers_and_criteria_see_what_they_always_see(model):
    texts = drawn(1, seed=6)
    found = []
    for method in (None, *DRAFTERS):
        told = Told()
        out = written(model, method, **texts, streamer=told, stopping_criteria=[AfterSevens()])
        assert told.ended
        found.append((told.tokens, out.tolist()))
    assert all(one == found[0] for one in found)
    assert found[0][0] == found[0][1][0]


@pytest.mark.slow
def test_sampling_leaves_the_distribution_as_it_is():
    """The counts of all texts of three tokens against their probabilities, one by one."""
    size, count = 5, 4000
    small = built("bart", vocab_size=size).eval()
    with torch.no_grad():
        for weight in small.parameters():
            weight.mul_(0.5)
    source = torch.tensor([[3, 4, 3, END]])
    chance = torch.ones(1)
    texts = torch.full((1, 1), START)
    with torch.no_grad():
        for _ in range(3):
            logits = small(input_ids=source.expand(len(texts), -1), decoder_input_ids=texts).logits
            chance = (chance[:, None] * logits[:, -1].softmax(-1)).flatten()
            every = torch.arange(size).repeat(len(texts))[:, None]
            texts = torch.cat([texts.repeat_interleave(size, 0), every], 1)
    for method in (AggressiveDecoding(budget=8, longest=1), PromptLookup(budget=8)):
        torch.manual_seed(0)
        settings = {"do_sample": True, "top_k": 0, "num_return_sequences": count}
        out = written(small, method, count=3, input_ids=source, eos_token_id=-1, **settings)
        place = ((out[:, 1] * size + out[:, 2]) * size + out[:, 3]).bincount(minlength=size**3)
        wanted = chance * count
        often = wanted >= 5
        rest = torch.stack([wanted[~often].sum(), place[~often].sum()])
        terms = ((place - wanted) ** 2 / wanted)[often]
        statistic = float(terms.sum() + (rest[1] - rest[0]) ** 2 / rest[0].clamp(min=1))
        freedom = int(often.sum())
        # The 99.99th percentile of chi square by Wilson and Hilferty.
        limit = freedom * (1 - 2 / (9 * freedom) + 3.72 * math.sqrt(2 / (9 * freedom))) ** 3
        assert statistic < limit


def test_the_model_is_as_it_was(model):
    before = set(model.__dict__), model.state_dict()["lm_head.weight"].clone()
    with tokenry.attach(model, DRAFTERS[0]):
        model.generate(**drawn(2), max_new_tokens=5)
    assert "generate" not in model.__dict__
    assert set(model.__dict__) == before[0]
    assert torch.equal(model.state_dict()["lm_head.weight"], before[1])


def test_beams_are_refused(bart):
    with pytest.raises(UsageError, match="AggressiveDecoding: generate was told to decode by beam"):
        written(bart, DRAFTERS[0], **drawn(1), num_beams=2)


def test_a_padded_decoder_prompt_is_refused(bart):
    prompt = torch.tensor([[PAD, START], [START, 4]])
    mask = {"decoder_input_ids": prompt, "decoder_attention_mask": (prompt != PAD).long()}
    with pytest.raises(UsageError, match="decoder prompts of one length"):
        written(bart, DRAFTERS[0], **drawn(2), **mask)
    expected = written(bart, **drawn(2), decoder_input_ids=prompt)
    mask["decoder_attention_mask"] = torch.ones(2, 2, dtype=torch.long)
    assert torch.equal(written(bart, DRAFTERS[0], **drawn(2), **mask), expected)


@pytest.mark.parametrize("cache", ["static", "offloaded"])
def test_other_caches_are_refused(bart, cache):
    with pytest.raises(UsageError, match="cache"):
        written(bart, DRAFTERS[0], **drawn(1), cache_implementation=cache)


def test_without_a_source_nothing_is_copied(bart):
    """Others draft all the same."""
    texts = drawn(2)
    read = bart.get_encoder()(**texts, return_dict=True)
    given = {"encoder_outputs": read, "attention_mask": texts["attention_mask"]}
    with pytest.raises(UsageError, match="AggressiveDecoding: the encoder reads no tokens"):
        written(bart, DRAFTERS[0], **given)
    with pytest.raises(UsageError, match="GAD: the encoder reads no tokens"):
        written(bart, GAD(filler=filler(bart), budget=8), **given)
    assert torch.equal(written(bart, DRAFTERS[2], **given), written(bart, **texts))


def filler(like):
    made = built("bart")
    made.config.mask_token_id = 3
    return made


def test_two_vocabularies_are_no_source():
    apart = built("marian", share_encoder_decoder_embeddings=False, decoder_vocab_size=VOCAB)
    with pytest.raises(UsageError, match="nothing can be copied"):
        written(apart, DRAFTERS[0], **drawn(1))


def test_a_generate_of_its_own_is_refused():
    shape = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.WhisperConfig(
        vocab_size=60, pad_token_id=0, encoder_layers=1, decoder_layers=1, **shape
    )
    whisper = transformers.WhisperForConditionalGeneration(config)
    with pytest.raises(UnsupportedModelError, match="it has a generate of its own"):
        tokenry.attach(whisper, DRAFTERS[0])
