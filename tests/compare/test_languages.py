"""Comparisons of a language model: from the call to the results, and what is refused."""

from __future__ import annotations

import pytest
import torch

from tokenry.cache import KeyNorm, SnapKV, StreamingLLM
from tokenry.compare.results import Results
from tokenry.compare.run import compare
from tokenry.compare.tasks import Answers, LMAgreement, Needles, Perplexity, text
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.zoo import Loaded


@pytest.fixture
def run(language, texts):
    """Run a small comparison: `run(methods=["key-norm"], keep=0.5, ...)`."""

    def run(model=None, methods=("streaming-llm",), data=None, **settings):
        settings = {"keep": 0.5, "progress": False, **settings}
        if "task" not in settings:
            settings["task"] = LMAgreement(max_tokens=100, continuation=8)
        data = texts(4) if data is None else data
        return compare(language() if model is None else model, methods, data, **settings)

    return run


def test_a_comparison_of_caches(run, language):
    model = language()
    before = {name: x.clone() for name, x in model.model.state_dict().items()}
    results = run(model, methods=["streaming-llm", "key-norm"], keep=(1, 0.5, 0.25))
    assert results.complete
    assert {s.method for s in results.summary()} == {"none", "streaming-llm", "key-norm"}
    whole = next(s for s in results.summary() if s.method == "none")
    for summary in results.summary():
        if summary.keep == 1:
            assert summary.score.value == 1
            assert summary.figures["kl"] == pytest.approx(0, abs=1e-9)
        share = summary.figures["bytes_resident"] / whole.figures["bytes_resident"]
        assert share == pytest.approx(summary.keep, rel=0.03)
        assert summary.tokens == pytest.approx(summary.keep, rel=0.03)
        assert summary.figures["prefill_seconds"] > 0
    assert all(torch.equal(x, before[name]) for name, x in model.model.state_dict().items())
    assert model.model.config._attn_implementation == "sdpa"


def test_settings_and_costs_are_on_every_row(run, texts):
    data = texts(3, question="Who?", answers=("cat",))
    results = run(data=data, task="answers", query="free")
    assert {tuple(row.settings.items()) for row in results.rows()} == {(("query", "free"),)}
    assert all(row.costs["bytes_read"] > 0 for row in results.rows())
    frame = results.to_frame("pandas")
    assert set(frame["query"]) == {"free"}
    assert {"prefill_seconds", "token_seconds", "bytes_resident", "f1"} <= set(frame.columns)
    assert set(results.labels.values()) == {"Who?"}


def test_two_tasks_share_a_pass(run):
    both = [LMAgreement(max_tokens=90, continuation=8), Perplexity(max_tokens=90, continuation=8)]
    results = run(task=both)
    seconds = {}
    for row in results.rows():
        seconds.setdefault((row.method, row.keep, row.example), set()).add(row.seconds)
    assert {len(found) for found in seconds.values()} == {1}
    other = [LMAgreement(max_tokens=90), Perplexity(max_tokens=80)]
    with pytest.raises(UsageError, match="give the model different things"):
        run(task=other)


def test_a_rerun_measures_nothing_and_another_setting_anew(run, texts, tmp_path, monkeypatch):
    data = texts(2, question="Who?", answers=("cat",))
    aware, free = (Answers(query, answer_tokens=4) for query in ("aware", "free"))
    first = run(data=data, task=aware, folder=tmp_path)
    plain = StreamingLLM.evict
    monkeypatch.setattr(StreamingLLM, "evict", lambda *_: 1 / 0)
    again = run(data=data, task=aware, folder=tmp_path)
    assert again.rows() == first.rows()
    with pytest.raises(ZeroDivisionError):
        run(data=data, task=free, folder=tmp_path)
    monkeypatch.setattr(StreamingLLM, "evict", plain)
    assert run(data=data, task=free, folder=tmp_path).complete
    assert len(Results.open(tmp_path).rows()) == 2 * 2


def test_a_keep_that_cannot_be_reached_is_skipped_with_its_reason(run):
    results = run(methods=["snapkv", "streaming-llm"], keep=(0.5, 0.1))
    assert [(s.method, s.keep) for s in results.skipped] == [("snapkv", 0.1)]
    assert "the policy needs 33" in results.skipped[0].reason
    assert results.complete


def test_a_depth_that_cannot_reach_a_keep_costs_that_configuration_alone(run):
    results = run(methods=["d2o", "streaming-llm"], keep=(1, 0.5))
    (skipped,) = results.skipped
    assert (skipped.method, skipped.keep) == ("d2o", 0.5)
    assert "cannot be reached with 2 layers, of which 2 stay complete" in skipped.reason
    assert results.complete
    measured = {(s.method, s.keep) for s in results.summary()}
    assert measured == {("none", 1), ("d2o", 1), ("streaming-llm", 1), ("streaming-llm", 0.5)}


def test_what_a_part_of_a_prompt_is_too_short_for_is_profiled_on_the_whole(run, monkeypatch):
    monkeypatch.setattr(text, "PROFILED", (16, 2))
    results = run(methods=[SnapKV(last=16), "streaming-llm"])
    assert results.skipped == ()
    slots = {p.method: p.tokens[0][0] for p in results.profiles() if p.keep == 0.5}
    assert slots["streaming-llm"] == pytest.approx(9, abs=1)
    assert slots["snapkv(last=16)"] == pytest.approx(53, abs=2)


def test_a_text_that_is_too_short_for_a_policy_skips_it_whenever_it_comes(run, texts):
    from tokenry.data import TextData, TextExample

    made = [*texts(3).examples, TextExample("short", texts(1)[0].text[:40])]
    results = run(
        methods=[SnapKV(last=16), "streaming-llm"], data=TextData("t", tuple(made), "", "")
    )
    assert [(s.method, s.keep) for s in results.skipped] == [("snapkv(last=16)", 0.5)]
    assert results.complete
    assert {r.method for r in results.rows()} == {"none", "streaming-llm"}
    assert results.summary()[0].n == 4


def test_pictures_of_the_cache(run):
    results = run(keep=(1, 0.5))
    pictures = results.pictures()
    assert {p.keep for p in pictures} == {0.5}
    assert {p.grid for p in pictures} == {(2, 100)}
    assert all(set(p.groups.flatten()) == {0, 100} for p in pictures)


def test_the_best_by_memory(run, texts):
    assert run(keep=0.5).best(max_loss=1, by="bytes_resident").method == "none"  # 4 are too few
    results = run(keep=(0.5, 0.25), data=texts(6))
    best = results.best(max_loss=1, by="bytes_resident")
    assert (best.method, best.keep) == ("streaming-llm", 0.25)
    assert "Cache MB held is 25" in best.confidence
    assert results.best(max_loss=0, by="bytes_resident").method == "none"
    with pytest.raises(UnknownNameError, match="cost 'bytes' is unknown; nearest"):
        results.best(by="bytes")


def test_the_code_runs_generate(run, language, tmp_path):
    loaded = language(chat=True)
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    results = run(str(tmp_path), keep=0.5, task="lm-agreement", max_tokens=64)
    code = results.code("streaming-llm", keep=0.25)
    assert (
        "with tokenry.attach(model, 'streaming-llm', keep=0.25):\n    outputs = model.gen" in code
    )
    assert "apply_chat_template" in code
    scope = {}
    exec(code.replace('" * 40', '" * 4'), scope)  # noqa: S102 - it is what users paste
    assert scope["outputs"].shape[1] > scope["inputs"]["input_ids"].shape[1]


def test_a_model_in_memory_keeps_its_tokenizer_apart(run, language):
    with pytest.raises(UsageError, match=r"LlamaForCausalLM has no known tokenizer .*tokenizer\)"):
        run(language().model)
    with pytest.raises(UnsupportedModelError):
        run(Loaded(type("OddForCausalLM", (torch.nn.Linear,), {})(2, 2), language().processor))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"methods": ["tome"]},
            "tome is a vision method, but .* is a causal language model; .*cache",
        ),
        ({"task": "agreement"}, "the task agreement is for a vision model, .*lm-agreement, perpl"),
        ({"task": "answers"}, "answers: the data has no questions"),
        ({"image_size": 32}, "image_size=32 is for vision models"),
        ({"query": "free"}, "query is no setting of the task lm-agreement; give it to the task it"),
        ({"task": "perplexity", "query": "aware"}, "allowed: 'free', since no question is asked"),
        ({"task": "answers", "query": "often"}, "query='often'; allowed: 'aware' or 'free'"),
        ({"task": "perplexity", "max_tokens": 4000}, "the 512 positions"),
        ({"data": []}, "holds no texts"),
    ],
)
def test_bad_arguments(run, settings, message):
    from tokenry.errors import TokenryError

    with pytest.raises(TokenryError, match=message):
        run(**settings)


def test_texts_and_methods_for_a_vision_model(tiny, texts):
    from transformers import ViTImageProcessorPil

    model = Loaded(tiny("vit"), ViTImageProcessorPil(size={"height": 32, "width": 32}))
    with pytest.raises(
        UsageError, match=r"data is TextData, but ViTModel is a vision model; .*load"
    ):
        compare(model, "random", texts(1), progress=False)
    with pytest.raises(
        UsageError, match="key-norm is a cache method, but ViTModel is a vision mod"
    ):
        compare(model, [KeyNorm()], "emoji", progress=False)
    with pytest.raises(
        UsageError, match="max_tokens is no setting of the task agreement; leave it"
    ):
        compare(model, "random", "emoji", max_tokens=5, progress=False)
    with pytest.raises(UsageError, match="the task lm-agreement is for a causal language model"):
        compare(model, "random", "emoji", task="lm-agreement", progress=False)


def test_a_limit_takes_its_share_of_what_can_be_used(run, texts):
    from tokenry.data import TextData, TextExample

    short = [TextExample(f"short {i}", "too short") for i in range(40)]
    data = TextData("t", (*short, *texts(5).examples), "", "")
    with pytest.warns(UserWarning, match="40 of 45 examples are not scored"):
        results = run(data=data, limit=4)
    assert results.examples == 4


def test_needles_from_the_probe(run):
    data = "needle-threading(lengths=(200, 300), depths=2, repeats=1, digits=4)"
    results = run(data=data, task="needles", max_tokens=320, query="free", limit=2)
    assert results.examples == 2
    assert sorted(results.labels.values())[0].startswith("length 200, pairs 12, repeat 0, task sin")
    data = "needle-threading(lengths=(200, 300), depths=2, repeats=3, digits=4)"
    results = run(data=data, task=Needles("free", max_tokens=320, answer_tokens=2), limit=4)
    assert results.tasks[0].grid == ("depth", "length")
    cells = {(where["depth"], where["length"]) for where in results.conditions.values()}
    assert len(results.conditions) == len(cells) == 4
    frame = results.to_frame("pandas")
    assert set(frame["depth"]) == {"0.0", "1.0"}
    assert set(frame["task"]) == {"needles"}
    assert set(frame["example_task"]) == {"single"}
    with pytest.raises(UsageError, match="the probe verbatim-memory asks for no answers"):
        run(data="verbatim-memory", task="needles")
