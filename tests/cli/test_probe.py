"""`tokenry probe`: a table, JSON, and exit codes."""

import json

import pytest

PROBE = "verbatim-memory(lengths=(3,), context=short)"


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A tiny language model over bytes and its tokenizer, saved as safetensors."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("causal")
    letters = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(letters, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(folder)
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 200, "vocab_size": 256}
    GPT2LMHeadModel(GPT2Config(**shape)).save_pretrained(folder)
    return folder


def test_it_prints_a_table(tokenry, causal):
    done = tokenry("probe", causal, PROBE, "--limit", 6)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("VerbatimMemory(lengths=(3,), context='short') of causal")
    assert "95 % interval" in lines[1]


def test_json_is_all_that_standard_output_holds(tokenry, causal):
    done = tokenry("probe", causal, PROBE, "--limit", 6, "--seed", 2, "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert (found["items"], found["seed"], found["metric"]) == (6, 2, "repeat surprisal")
    assert sum(group["n"] for group in found["groups"]) == 6


def test_policies_side_by_side(tokenry, causal):
    words = ("--methods", "streaming-llm,h2o", "--keep", "1,.5", "--query", "aware", "--limit", 6)
    done = tokenry("probe", causal, PROBE, *words, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["query"], found["items"]) == ("aware", 6)
    assert [run["method"] for run in found["runs"]] == [
        "none",
        *["streaming-llm"] * 2,
        "h2o",
        "h2o",
    ]
    table = tokenry("probe", causal, PROBE, *words).out.splitlines()
    assert table[1].split()[:3] == ["method", "keep", "all"]
    assert len(table) == 2 + 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((PROBE, "--methods", "h2o", "--keep", "half"), "probe: keep='half' is not numbers"),
        ((PROBE, "--keep", ".5"), "is for cache policies"),
        (("verbatim-memry",), "nearest: verbatim-memory"),
        (("tome",), "'tome' is no probe"),
        ((PROBE, "--limit", "0"), "limit=0 is not positive"),
        (("verbatim-memory(lengths=(11,))",), "is outside [2, 10]"),
        (("needle-threading(lengths=(1000,))",), "ask for shorter ones"),
        ((PROBE, "--bos"), "has no beginning-of-text token"),
        ((), "PROBE"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tokenry, causal, words, message):
    done = tokenry("probe", causal, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("tokenry: ")
