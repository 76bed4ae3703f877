"""Labelling: answers stay, come back and are estimated from; files that are none are refused."""

import json

import numpy as np
import pytest

import tokenry
from tokenry.errors import DataError, StoreError, UsageError
from tokenry.tables.labelling import Labelling

NAMES = ["anna", "berta", "carla", "dora", "emil", "fritz", "gustav", "hanna", "ida", "jonas"]
LEFT = {"name": NAMES, "born": list(range(10))}
RIGHT = {"name": [name + "h" for name in NAMES], "born": list(range(10))}


@pytest.fixture
def links(letters):
    return tokenry.link(LEFT, RIGHT, on="name", method=letters, threshold=-1e9, assign="many", k=4)


def same(pair):
    return "y" if pair.left["born"] == pair.right["born"] else "n"


def test_answers_stay_and_come_back(links, tmp_path):
    path = tmp_path / "labels.jsonl"
    work = Labelling(links, 20, path)
    assert len(work) == 20
    asked = [pair for _, pair in work.open()]
    for number, pair in enumerate(asked[:8]):
        work.answer(number, same(pair))
    work.answer(3, "skip")
    again = Labelling(links, 20, path)
    assert [pair for _, pair in again.open()] == asked[8:]
    assert again.answered(3) == "skip"
    assert len(again.known().left) == 7
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 9
    assert lines[0]["left"] == asked[0].left


def test_more_questions_keep_those_that_were_answered(links, tmp_path):
    path = tmp_path / "labels.jsonl"
    work = Labelling(links, 10, path)
    first = {pair.key for _, pair in work.open()}
    for number, pair in work.open():
        work.answer(number, same(pair))
    more = Labelling(links, 40, path)
    there = {more.pair(number).key for number in range(40) if more.answered(number)}
    assert there == first


def test_all_answers_give_the_exact_figures(links):
    work = Labelling(links, 1000, assign="many")
    assert len(work) == len(links)
    for number, pair in work.open():
        work.answer(number, same(pair))
    found = work.findings()
    true = links.rows("left") == links.rows("right")
    above = links.scores >= 0.5
    assert found.before.precision.value == pytest.approx((true & above).sum() / above.sum())
    assert found.before.recall.low == found.before.recall.high
    assert found.before.recall.value == pytest.approx((true & above).sum() / true.sum())
    assert found.after.f1.value >= found.before.f1.value
    assert (found.yes, found.no, found.skipped) == (true.sum(), (~true).sum(), 0)
    assert "95 % intervals" in str(found)
    known = work.known()
    assert np.array_equal(known.left == known.right, known.score == 1)


def test_pairs_that_lose_their_row_are_no_links(links, letters):
    work = Labelling(links, 1000)
    for number, pair in work.open():
        work.answer(number, same(pair))
    found = work.findings()
    for threshold, figures in ((found.threshold, found.before), (found.tuned, found.after)):
        made = tokenry.link(LEFT, RIGHT, on="name", method=letters, threshold=threshold)
        hits = (made.rows("left") == made.rows("right")).sum()
        assert figures.precision.value == pytest.approx(hits / len(made))
        assert figures.recall.value == pytest.approx(hits / found.yes)


def test_another_linker_is_judged_by_the_same_answers(links):
    work = Labelling(links, 1000)
    for number, pair in work.open():
        work.answer(number, same(pair))
    other = tokenry.link(LEFT, RIGHT, on="name", method="char-ngrams", threshold=-1e9, k=1)
    found = work.findings(other)
    assert found.threshold == 0.5
    assert found.after.f1.value == 1


def test_rows_that_moved_are_known_by_their_contents(links, letters, tmp_path):
    path = tmp_path / "labels.jsonl"
    work = Labelling(links, 1000, path)
    for number, pair in work.open():
        work.answer(number, same(pair))
    turned = {name: column[::-1] for name, column in LEFT.items()}
    moved = tokenry.link(
        turned, RIGHT, on="name", method=letters, threshold=-1e9, assign="many", k=4
    )
    again = Labelling(moved, 1000, path)
    assert not list(again.open())
    known = again.known()
    assert np.array_equal(9 - known.left == known.right, known.score == 1)


def test_answers_of_one_kind_leave_the_threshold(links):
    work = Labelling(links, 5)
    for number in range(5):
        work.answer(number, "y")
    assert work.findings().tuned == work.threshold


def test_a_line_that_was_cut_off_is_left_out(links, tmp_path):
    path = tmp_path / "labels.jsonl"
    work = Labelling(links, 10, path)
    for number in range(3):
        work.answer(number, "y")
    content = path.read_text()
    path.write_text(content[:-9])
    again = Labelling(links, 10, path)
    assert [again.answered(number) for number in range(3)] == ["y", "y", None]
    again.answer(2, "n")
    again.answer(3, "n")
    third = Labelling(links, 10, path)
    assert [third.answered(number) for number in range(4)] == ["y", "y", "n", "n"]


def test_what_cannot_be_is_refused(links, letters, tmp_path):
    foreign = tmp_path / "notes.jsonl"
    foreign.write_text('{"note": 1}\n')
    with pytest.raises(DataError, match=r"notes.jsonl: line 1 is no answer; name the file"):
        Labelling(links, 5, foreign)
    assert foreign.read_text() == '{"note": 1}\n'
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        Labelling(links, 5, tmp_path / "b.jsonl")
    work = Labelling(links, 5, tmp_path / "no" / "labels.jsonl")
    with pytest.raises(StoreError, match="cannot be written"):
        work.answer(0, "y")
    assert work.answered(0) is None
    with pytest.raises(UsageError, match="answer='maybe'; answers are y, n, skip"):
        work.answer(0, "maybe")
    with pytest.raises(UsageError, match="no pair was answered"):
        work.findings()
    with pytest.raises(UsageError, match="assign='most' is unknown; give many, best_left"):
        Labelling(links, 5, assign="most")
    with pytest.raises(UsageError, match="count=0"):
        Labelling(links, 0)
    nothing = tokenry.link({"name": [None]}, RIGHT, on="name", method=letters)
    with pytest.raises(UsageError, match="nothing to ask about"):
        Labelling(nothing, 5)


def test_strange_cells_are_kept(letters, tmp_path):
    left = {"name": ["a\ud800b", "x\ny"], "when": [np.datetime64("2020-01-01"), None]}
    left["name"][0] = "a\u2028b"
    links = tokenry.link(
        left, {"name": ["ab", "xy"]}, on="name", method=letters, threshold=-1e9, assign="many", k=2
    )
    path = tmp_path / "labels.jsonl"
    work = Labelling(links, 4, path)
    for number, _ in work.open():
        work.answer(number, "n")
    assert not list(Labelling(links, 4, path).open())
