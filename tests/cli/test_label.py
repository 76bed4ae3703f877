"""`tokenry link --label`: scripted answers, a run that goes on, and what is found in the end."""

import io
import json

import pytest

NAMES = [
    "golden dragon", "green garden", "old mill", "blue lagoon", "la strada", "casa mia",
    "the red lion", "white horse", "king's arms", "royal oak", "fox and hounds", "black swan",
]  # fmt: skip


@pytest.fixture
def files(tmp_path):
    rows = [f"{i},{name},town {i}" for i, name in enumerate(NAMES)]
    others = [f"{i},{name} restaurant,town {i}" for i, name in enumerate(NAMES)]
    (tmp_path / "a.csv").write_text("\n".join(["id,name,city", *rows]))
    (tmp_path / "b.csv").write_text("\n".join(["nr,name,city", *others]))
    return tmp_path


@pytest.fixture
def answering(monkeypatch):
    """Give the answers that a person would type."""

    def answering(*lines):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return answering


WORDS = ["link", "a.csv", "b.csv", "--on", "name", "--method", "char-ngrams", "--label", 6]


def written(files):
    lines = (files / "labels.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_answers_are_shown_kept_and_learned_from(tokenry, files, answering):
    answering("y", "n", "x", "s", "b", "n", "y", "", "q")
    done = tokenry(*WORDS, "--out", "out.csv")
    assert done.code == 0, done.err
    assert "1 of 6, score" in done.err
    assert "'x' is none of y, n, s, b, q." in done.err
    assert "town" in done.err
    assert [one["answer"] for one in written(files)] == ["y", "n", "skip", "n", "y", "skip"]
    assert written(files)[2]["key"] == written(files)[3]["key"]  # back asks again
    assert "Of the 60 pairs that were compared, with 95 % intervals:" in done.err
    assert "the best threshold" in done.err
    assert "links between 12 and 12 rows" in done.out
    assert (files / "out.csv").exists()


def test_it_goes_on_where_it_was_stopped(tokenry, files, answering):
    answering("y", "n")
    assert tokenry(*WORDS).code == 0  # the input ends there
    answering("y", "n", "n", "y")
    done = tokenry(*WORDS, "--json")
    assert "2 of 6 pairs answered before." in done.err
    assert "3 of 6, score" in done.err
    assert "1 of 6, score" not in done.err
    found = json.loads(done.out)
    assert found["labelled"]["yes"] + found["labelled"]["no"] == 6
    low, high = found["labelled"]["before"]["precision"][1:]
    assert 0 <= low <= high <= 1
    assert found["labels"] == "labels.jsonl"


def test_a_method_that_learns_is_told_and_judged_again(tokenry, files, answering):
    answering("y", "n", "y", "n", "y", "n")
    words = [*WORDS, "--method", "hybrid(linkers=('char-ngrams', 'exact'))", "--json"]
    words.remove("char-ngrams")
    words.remove("--method")
    done = tokenry(*words)
    assert done.code == 0, done.err
    assert "The method has learned from the answers" in done.err
    assert "learned" in json.loads(done.out)


def test_nothing_answered_and_too_much_given_end_in_words(tokenry, files, answering):
    answering("q")
    done = tokenry(*WORDS)
    assert (done.code, "no pair was answered" in done.err) == (2, True)
    done = tokenry(*WORDS, "--known", "b.csv")
    assert (done.code, "--label asks for labelled pairs, --known gives them" in done.err) == (
        2,
        True,
    )


def test_hostile_cells_do_no_harm(tokenry, files, answering):
    (files / "a.csv").write_text('id,name\n1,"[bold]x\x1b[2J"\n2,=cmd()\n')
    (files / "b.csv").write_text('nr,name\n1,"[bold]x"\n2,cmd\n')
    answering("y", "n", "n", "n")
    done = tokenry(*WORDS)
    assert done.code == 0, done.err
    assert "\x1b[2J" not in done.err
    assert "[bold]" in done.err


def test_duplicates_are_asked_about_too(tokenry, files, answering):
    rows = [f"{i},{name}" for i, name in enumerate([*NAMES, *(f"{n}s" for n in NAMES)])]
    (files / "one.csv").write_text("\n".join(["id,name", *rows]))
    words = ["dedupe", "one.csv", "--on", "name", "--method", "char-ngrams", "--label", 4]
    answering("y", "n")
    assert tokenry(*words).code == 0
    answering("y", "n")
    done = tokenry(*words, "--json", "--out", "unique.csv")
    assert done.code == 0, done.err
    assert "2 of 4 pairs answered before." in done.err
    found = json.loads(done.out)
    assert found["labelled"]["yes"] == found["labelled"]["no"] == 2
    assert found["links"]["threshold"] == found["labelled"]["tuned"]
    assert found["rows"] == 24
    assert (files / "unique.csv").exists()
