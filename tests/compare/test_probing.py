"""`tokenry.probe`: the verb, its results, and what it refuses."""

import numpy as np
import pytest
import torch

import tokenry
from tokenry.compare.probed import interval
from tokenry.errors import UnknownNameError, UsageError
from tokenry.probes import NeedleThreading, VerbatimMemory
from tokenry.zoo import Loaded

VERBATIM = VerbatimMemory(lengths=(3,), context="short")
NEEDLE = NeedleThreading(digits=4, lengths=(128, 400), depths=2, repeats=2)


@pytest.fixture(scope="module")
def toy():
    """A tiny random Llama over bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(letters, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=256, max_position_embeddings=400, **shape, **heads)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    return Loaded(model, PreTrainedTokenizerFast(tokenizer_object=inner))


@pytest.fixture(scope="module")
def probed(toy):
    return tokenry.probe(toy, VERBATIM, limit=30, batch_size=8)


def test_every_item_has_a_score(probed):
    assert len(probed.measurement.scores) == 30
    assert probed.left_out == 0
    ids = [score.item for score in probed.measurement.scores]
    order = [item.id for item in VERBATIM.items()]
    assert ids == sorted(ids, key=order.index)


def test_scores_depend_neither_on_batches_nor_on_parts(toy, probed):
    for settings in ({"batch_size": 1}, {"batch_size": 30, "query": "aware"}):
        other = tokenry.probe(toy, VERBATIM, limit=30, **settings)
        for a, b in zip(probed.measurement.scores, other.measurement.scores, strict=True):
            assert a.item == b.item
            assert a.value == pytest.approx(b.value, rel=1e-3)


def test_groups_have_intervals_over_their_items(probed):
    groups = probed.summary()
    assert {group.conditions["second"] for group in groups} == {"repeat", "permute", "novel"}
    assert [group.n for group in groups] == [10, 10, 10]
    for group in groups:
        values = [
            score.value
            for score in probed.measurement.scores
            if score.conditions["second"] == group.conditions["second"]
        ]
        assert group.score.value == pytest.approx(np.median(values))
        assert min(values) <= group.score.low <= group.score.value <= group.score.high
        assert group.score.high <= max(values)
    (all_of_it,) = probed.summary(by=["pool"])
    assert all_of_it.n == 30
    with pytest.raises(UsageError, match="by='depth' is no condition of VerbatimMemory"):
        probed.summary(by=["depth"])


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_a_frame_has_one_row_per_item(probed, backend):
    frame = probed.to_frame(backend)
    assert type(frame).__module__.startswith(backend)
    assert list(frame.columns)[:1] == ["item"]
    assert {"second", "list", "shift", "score", "first", "contrast"} <= set(frame.columns)
    assert len(frame) == 30


def test_a_frame_needs_a_library_that_exists(probed):
    with pytest.raises(UsageError, match="backend='arrow'"):
        probed.to_frame("arrow")


def test_as_text_it_is_a_table(probed):
    lines = str(probed).splitlines()
    what = "VerbatimMemory(lengths=(3,), context='short') of LlamaForCausalLM, query-free"
    assert lines[0] == f"{what}: median repeat surprisal"
    assert lines[1].split() == ["length", "delay", "second", "n", "median", "95", "%", "interval"]
    assert len(lines) == 2 + 3


def test_needles_are_scored_and_what_does_not_fit_is_left_out(toy):
    found = tokenry.probe(toy, NEEDLE)
    assert len(found.measurement.scores) == 4
    assert {score.conditions["length"] for score in found.measurement.scores} == {128}
    assert found.left_out == 4
    assert "4 items are longer than the model takes" in str(found)
    assert found.measurement.findings["effective characters"] == 0
    assert found.to_dict()["left_out"] == 4


def test_a_limit_takes_lengths_and_depths_evenly_of_what_fits(toy):
    probe = NeedleThreading(digits=4, lengths=(128, 160, 1600), depths=2, repeats=3)
    found = tokenry.probe(toy, probe, limit=4)
    cells = {(s.conditions["length"], s.conditions["depth"]) for s in found.measurement.scores}
    assert cells == {(128, 0.0), (128, 1.0), (160, 0.0), (160, 1.0)}
    assert found.left_out == 6


@pytest.fixture(scope="module")
def policies(toy):
    """Two policies, one of which cannot go as low as asked."""
    methods = ["streaming-llm(sinks=1)", "snapkv(last=8)"]
    return tokenry.probe(toy, VERBATIM, methods=methods, keep=(1, 0.5, 0.1), limit=9)


def test_policies_stand_side_by_side(policies):
    assert [(run.method, run.keep) for run in policies.runs] == [
        ("none", 1),
        *(("streaming-llm(sinks=1)", keep) for keep in (1, 0.5, 0.1)),
        *(("snapkv(last=8)", keep) for keep in (1, 0.5)),
    ]
    (skipped,) = policies.skipped
    assert (skipped.method, skipped.keep) == ("snapkv(last=8)", 0.1)
    assert "SnapKV: keep=0.1" in skipped.reason
    lines = str(policies).splitlines()
    assert lines[1].split()[:2] == ["method", "keep"]
    assert "length 3, delay 0, second repeat" in lines[1]
    assert [line.split()[0] for line in lines[2:8]] == [run.method for run in policies.runs]
    assert lines[8].startswith("snapkv(last=8) at keep 0.1 was refused: SnapKV: keep=0.1")


def test_policies_read_the_same_items_and_are_compared_item_by_item(policies):
    none, whole, half = (run.probed.measurement.scores for run in policies.runs[:3])
    assert [s.item for s in none] == [s.item for s in half]
    assert [s.value for s in none] == pytest.approx([s.value for s in whole], rel=1e-5)
    apart = np.median([b.value - a.value for a, b in zip(none, half, strict=True)])
    assert policies.runs[2].difference.value == pytest.approx(apart)
    assert policies.runs[0].difference.value == 0
    assert apart != 0


def test_a_policy_by_name_is_the_policy_attached(toy, policies):
    with tokenry.attach(toy.model, "streaming-llm", sinks=1, keep=0.5):
        found = tokenry.probe(toy, VERBATIM, limit=9)
    assert found.measurement == policies.runs[2].probed.measurement


def test_policies_as_plain_data(policies):
    found = policies.to_dict()
    assert (found["query"], found["items"], len(found["runs"])) == ("free", 9, 6)
    run = found["runs"][2]
    assert (run["method"], run["keep"], len(run["groups"])) == ("streaming-llm(sinks=1)", 0.5, 3)
    assert run["difference"]["low"] <= run["difference"]["value"] <= run["difference"]["high"]
    assert found["skipped"][0]["method"] == "snapkv(last=8)"
    frame = policies.to_frame("pandas")
    assert len(frame) == 6 * 9
    assert set(frame["keep"]) == {1, 0.5, 0.1}


def test_a_model_with_the_answers_in_it_is_right(toy, monkeypatch):
    right = {item.text: item.answers[0] for item in NEEDLE.items()}

    def generate(*, input_ids, attention_mask, **_):
        rows = [i[m.bool()] for i, m in zip(input_ids, attention_mask, strict=True)]
        answers = [right[toy.processor.decode(row)] for row in rows]
        written = toy.processor(answers, return_tensors="pt")["input_ids"]
        return torch.cat([input_ids, written], 1)

    monkeypatch.setattr(toy.model, "generate", generate)
    found = tokenry.probe(toy, NEEDLE)
    assert [group.score.value for group in found.summary()] == [1.0]
    assert found.measurement.findings["effective characters"] == 128


def test_the_model_is_given_back_as_it_was(toy):
    toy.model.train()
    try:
        tokenry.probe(toy, VERBATIM, limit=2)
        assert toy.model.training
        assert all(weight.grad is None for weight in toy.model.parameters())
    finally:
        toy.model.eval()


def test_what_is_attached_to_the_model_is_measured(toy):
    """Whatever changes the forward pass between context and rest changes the score."""
    before = tokenry.probe(toy, VERBATIM, limit=4).measurement.scores

    def forget(module, args, kwargs, output):
        for layer in output.past_key_values.layers if output.past_key_values else ():
            layer.values.zero_()

    handle = toy.model.register_forward_hook(forget, with_kwargs=True)
    try:
        free = tokenry.probe(toy, VERBATIM, limit=4).measurement.scores
        aware = tokenry.probe(toy, VERBATIM, limit=4, query="aware").measurement.scores
    finally:
        handle.remove()
    assert all(a.value != b.value for a, b in zip(before, free, strict=True))
    assert all(
        a.value == pytest.approx(b.value, rel=1e-3) for a, b in zip(before, aware, strict=True)
    )


def test_a_name_with_settings_is_a_probe(toy):
    found = tokenry.probe(toy, "verbatim-memory(lengths=(3,), context=short)", limit=2, seed=1)
    assert found.probe == VERBATIM.describe()
    assert tokenry.probe(toy, "verbatim-memory", lengths=(3,), limit=2).probe.endswith("(3,))")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"probe": "verbatim-memry"}, UnknownNameError, "nearest: verbatim-memory"),
        (
            {"probe": "tome"},
            UsageError,
            "'tome' is no probe; give multilingual-lm",
        ),
        ({"probe": VERBATIM, "pool": "semantic"}, UsageError, "is configured already; set pool"),
        ({"probe": VERBATIM, "limit": 0}, UsageError, "limit=0 is not positive"),
        ({"probe": VERBATIM, "batch_size": 0}, UsageError, "batch_size=0 is not positive"),
        ({"probe": VERBATIM, "query": "both"}, UsageError, "query='both'; allowed: 'aware' or"),
        ({"probe": VERBATIM, "keep": 0.5}, UsageError, "keep=0.5 is for cache policies; give me"),
        ({"probe": VERBATIM, "methods": "h2o", "keep": 2}, UsageError, r"probe: keep=2 is outside"),
        ({"probe": VERBATIM, "methods": "tome"}, UsageError, "probe: tome is a vision method"),
        ({"probe": VERBATIM, "methods": []}, UsageError, "probe: methods is empty"),
        ({"probe": VERBATIM, "bos": True}, UsageError, "has no beginning-of-text token"),
        ({"probe": NeedleThreading(lengths=(1000,))}, UsageError, "takes 11.. tokens, and the mod"),
        ({"probe": VERBATIM, "model": 3}, UsageError, "model is a int; give a name such as"),
        ({"probe": VERBATIM, "model": torch.nn.Linear(1, 1)}, UsageError, "no known tokenizer"),
        ({"probe": VERBATIM, "model": "no/such"}, UsageError, "cannot be loaded"),
    ],
)
def test_what_cannot_be_is_refused(toy, arguments, error, message):
    with pytest.raises(error, match=message):
        tokenry.probe(**{"model": toy, **arguments})


def test_a_model_alone_takes_its_tokenizer_as_an_argument(toy):
    found = tokenry.probe(toy.model, VERBATIM, tokenizer=toy.processor, limit=1)
    assert found.model == "LlamaForCausalLM"


def test_a_bar_is_shown_when_asked_for(toy, capsys):
    tokenry.probe(toy, VERBATIM, limit=1, progress=False)
    assert capsys.readouterr().err == ""


def test_intervals_of_one_value_or_of_equal_values_are_that_value():
    for values in ([3.0], [3.0, 3.0]):
        found = interval(np.array(values), "mean", 0)
        assert (found.value, found.low, found.high) == (3, 3, 3)
