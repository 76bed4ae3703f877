"""`tokenry compare` on a language model: the kind of the model decides what is read and scored."""

import json

import pytest

from tokenry.compare.results import Results


@pytest.fixture
def compare(tokenry, language, texts, tmp_path):
    """Run `tokenry compare` on a tiny language model and a folder of notes."""
    loaded = language()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.processor.save_pretrained(tmp_path / "model")
    (tmp_path / "notes").mkdir()
    for example in texts(4):
        (tmp_path / "notes" / f"{example.id}.md").write_text(example.text, encoding="utf-8")
    table = tmp_path / "questions.jsonl"
    rows = [{"text": e.text, "question": "Who?", "answers": ["cat"]} for e in texts(3)]
    table.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def compare(*words, data="notes", methods="snapkv(last=8),streaming-llm", keep="1,.5"):
        settings = ("--data", data, "--methods", methods, "--keep", keep)
        return tokenry("compare", "model", *settings, *words)

    return compare


def test_a_folder_of_notes_is_enough(compare, tmp_path):
    done = compare("--json")
    found = json.loads(done.out)
    assert done.code == 0, done.err
    assert [task["slug"] for task in found["tasks"]] == ["lm-agreement"]
    assert found["tasks"][0]["settings"] == {"query": "free"}
    assert len(found["summary"]) == 5
    assert {"bytes_resident", "bytes_read", "kl"} <= found["summary"][0]["figures"].keys()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "query-free" in page
    assert "Map of layers and tokens" in page


def test_the_smallest_cache_is_the_best_by_bytes(compare):
    done = compare("--max-loss", 1, "--by", "bytes_resident")
    assert done.code == 0, done.err
    assert "of the untouched model's" in done.out
    assert "model.generate" in done.out
    done = compare("--by", "bytes")
    assert (done.code, done.out) == (2, "")
    assert "--by" in done.err


def test_questions_in_both_settings(compare, tmp_path):
    for query in ("aware", "free"):
        done = compare("--task", "answers", "--query", query, data="questions.jsonl")
        assert done.code == 0, done.err
        (task,) = Results.open(tmp_path / "results").tasks
        assert task.settings == {"query": query}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "agreement"), "the tasks that fit it are lm-agreement, perplexity, answers"),
        (("--query", "aware"), "allowed: 'free', since no question is asked"),
        (("--query", "often"), "--query"),
        (("--max-tokens", "900"), "the 512 positions"),
        (("--image-size", "32"), "image_size=32 is for vision models"),
    ],
)
def test_wrong_pairings_are_refused_in_one_line(words, message, compare):
    done = compare(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_vision_method_is_refused(compare):
    done = compare(methods="tome")
    assert (done.code, done.out) == (2, "")
    assert "tome is a vision method, but model is a causal language model" in done.err
    assert "tokenry list --family cache" in done.err
