"""`tokenry.chunks`: figures against a loop, headings as questions, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tokenry
from tokenry.cli import main
from tokenry.compare.chunking import by_vectors, headings
from tokenry.data import TextData, TextExample
from tokenry.errors import UsageError

TEXT = "# Cats\nCats sleep all day. They purr.\n\n# Dogs\nDogs bark at night. They run.\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pets.md").write_text(TEXT, encoding="utf-8")
    (tmp_path / "docs" / "birds.md").write_text("# Birds\nBirds sing.\n", encoding="utf-8")
    rows = [
        {"question": "When do dogs bark?", "document": "pets", "evidence": ["Dogs bark at night."]},
        {"question": "What do birds do?", "document": "birds.md", "evidence": ["Birds sing."]},
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_figures_are_means_over_questions(folder):
    names = ["sentence-chunks(size=7)", "fixed-chunks(size=8)"]
    metric = "chunk-metrics(k=1, unit=characters)"
    found = tokenry.chunks(folder / "docs", folder / "asked.jsonl", names, metric=metric)
    first, second = found.chunkers
    assert first.name == names[0]
    assert first.scores["recall"] == (1.0, 1.0)
    assert first.scores["precision"] == (19 / len("# Dogs\nDogs bark at night."), 11 / 19)
    assert first.figures["precision"].value == pytest.approx((19 / 26 + 11 / 19) / 2)
    means = [one.figures["iou"].value for one in found.chunkers]
    assert second.differences["iou"].value == pytest.approx(means[1] - means[0])
    assert found.best() is first
    assert "2 questions about 2 documents of docs" in str(found)


def test_headings_are_questions_where_there_are_none(folder):
    texts = TextData(
        "t",
        (TextExample("a.md", TEXT), TextExample("b.md", "# Cats\nMore cats.")),
        "CC0-1.0",
        "made",
    )
    asked = {one.text: one.evidence for one in headings(texts)}
    assert list(asked) == ["Cats a.md", "Cats b.md", "Dogs"]
    ((document, start, end),) = asked["Dogs"]
    assert (document, TEXT[start:end]) == (0, "Dogs bark at night. They run.")
    found = tokenry.chunks(folder / "docs")
    assert set(found.questions) == {"Cats", "Dogs", "Birds"}
    assert "own headings" in found.notes[-1]


def test_an_encoder_ranks_and_cuts(folder):
    def embed(texts):
        counts = np.array([[t.lower().count(w) for w in ("cat", "dog", "bird")] for t in texts])
        return (counts + 0.1) / np.linalg.norm(counts + 0.1, axis=1, keepdims=True)

    found = tokenry.chunks(
        folder / "docs",
        folder / "asked.jsonl",
        ["cluster-chunks(size=40, piece=6)", "kamradt-chunks(size=10)"],
        encoder=embed,
    )
    assert found.ranker == "the given encoder"
    assert [one.figures["recall"].value for one in found.chunkers] == [1, 1]
    assert by_vectors(embed)(["dog", "cat"], ["cats", "dogs"], 1).tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chunkers": ["cluster-chunks"]}, "name one, such as encoder="),
        ({"chunkers": ["tome"]}, "'tome' is no chunker"),
        ({"chunkers": []}, "there are no chunkers"),
        ({"chunkers": "fixed-chunks"}, "give a list"),
        ({"metric": "fixed-chunks"}, "is no measure of chunks; give chunk-metrics"),
        ({"questions": []}, "list of questions is empty"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        tokenry.chunks("chunking", **given)


def test_texts_without_headings_need_questions():
    with pytest.raises(UsageError, match="have no headings to ask for"):
        tokenry.chunks(["plain text."])


def test_the_command_says_what_the_verb_finds(folder, capsys):
    given = [str(folder / "docs"), str(folder / "asked.jsonl"), "--chunkers", "sentence-chunks"]
    assert main(["chunks", *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chunkers"][0]["name"] == "sentence-chunks"
    page = folder / "report.html"
    assert main(["chunks", *given, "--out", str(page)]) == 0
    assert "sentence-chunks" in page.read_text(encoding="utf-8")
    assert "sentence-chunks" in capsys.readouterr().out
    assert main(["chunks", str(folder / "nowhere")]) == 2
