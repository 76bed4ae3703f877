"""Texts that a language model writes anew: what it is asked, and what is made of its replies."""

from __future__ import annotations

import numpy as np
import pytest

import tokenry
from tokenry.errors import EndpointError, UnknownNameError, UsageError
from tokenry.tables import transforming
from tokenry.tables.stages import Stages

TABLE = {"name": ["Acme  Ltd", None, "Zebra Inc", "Acme  Ltd", "mute"], "city": list("abcde")}


class Writer:
    """Leaves out the last word, with chatter around it."""

    def __init__(self):
        self.asked = []

    def yes(self, prompts):
        raise AssertionError

    def options(self, prompts, count):
        raise AssertionError

    def write(self, prompts, tokens):
        self.asked += prompts
        texts = [one.rsplit("Text: ", 1)[1].split("\n")[0] for one in prompts]
        return [
            "" if text.startswith("mute") else f'\nNew text: "{text.rsplit(" ", 1)[0]}"\nText: more'
            for text in texts
        ]


def test_each_distinct_text_is_asked_about_once_and_gaps_stay():
    writer = Writer()
    found = tokenry.transform_rows(TABLE, "name", "Leave out the legal form.", referee=writer)
    assert found.table["transformed_name"] == ["Acme", None, "Zebra", "Acme", None]
    assert len(writer.asked) == 3
    assert writer.asked[0].endswith("Leave out the legal form. Answer with the new text alone.")
    assert found.to_dict() == {
        "rows": 5, "column": "transformed_name", "written": 3, "asked": 3, "kept": 0, "silent": 1,
    }  # fmt: skip
    assert str(found) == (
        "A new text in 'transformed_name' for 3 of 5 rows: 3 distinct texts were asked about; "
        "of 1 nothing was written."
    )


def test_several_columns_examples_and_a_name_of_the_new_column(tmp_path):
    writer = Writer()
    found = tokenry.transform_rows(
        TABLE, ["name", "city"], referee=writer, column="new", shots=[("Foo Ltd x", "Foo")]
    )
    assert list(found.table) == ["name", "city", "new"]
    assert found.table["new"][0] == "Acme Ltd"
    assert writer.asked[0].startswith("Text: Foo Ltd x\nNew text: Foo\n\nText: Acme Ltd a\n")
    found.write(tmp_path / "new.csv")
    assert (tmp_path / "new.csv").read_text(encoding="utf-8").startswith('"name","city","new"')


def test_what_was_written_before_a_stop_is_not_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(transforming, "PART", 2)
    table = {"name": [f"Firm{i} Ltd" for i in range(7)]}
    writer = Writer()
    whole = tokenry.transform_rows(table, "name", referee=writer).table
    write = Stages._write

    def stop(self, name, number, part):
        if number == 2:  # of four parts; the third is lost
            raise KeyboardInterrupt
        write(self, name, number, part)

    def again(**changed):
        writer.asked.clear()
        return tokenry.transform_rows(
            table, "name", referee=writer, **{"folder": tmp_path, "column": "new"} | changed
        )

    monkeypatch.setattr(Stages, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        again()
    monkeypatch.setattr(Stages, "_write", write)
    monkeypatch.setattr(transforming, "PART", 5)  # the parts that are there count
    found = again()
    assert found.table["new"] == whole["transformed_name"]
    assert (len(writer.asked), found.kept) == (3, 4)
    assert "7 distinct texts were asked about, 4 of them by an earlier run." in str(found)
    assert (again().kept, writer.asked) == (7, [])
    for change in ({"task": "Shout."}, {"shots": [("a", "b")]}, {"tokens": 9}):
        assert again(**change).kept == 0
    writer.name = "another"
    assert again(tokens=9).kept == 0


def test_a_server_that_falls_silent_is_named_and_what_was_written_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(transforming, "PART", 1)
    writer = Writer()
    write = writer.write

    def silent(prompts, tokens):
        if len(writer.asked) == 2:
            raise EndpointError("the server at http://x does not answer.")
        return write(prompts, tokens)

    writer.write = silent
    with pytest.raises(EndpointError, match="does not answer"):
        tokenry.transform_rows(TABLE, "name", referee=writer, folder=tmp_path)
    writer.write = write
    assert tokenry.transform_rows(TABLE, "name", referee=writer, folder=tmp_path).kept == 2


def test_half_of_a_character_from_a_server_spoils_nothing(tmp_path):
    writer = Writer()
    writer.write = lambda prompts, tokens: ["A\ud83d" for _ in prompts]
    found = tokenry.transform_rows({"name": ["x"]}, "name", referee=writer, folder=tmp_path)
    assert found.table["transformed_name"] == ["A?"]


def test_a_table_without_rows_stays_one():
    found = tokenry.transform_rows({"name": []}, "name", referee=Writer())
    assert found.table == {"name": [], "transformed_name": []}


def test_a_real_model_is_opened(language):
    loaded = language()
    found = tokenry.transform_rows(
        {"n": ["ab"]}, "n", referee=(loaded.model, loaded.processor), tokens=2
    )
    assert len(found) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"column": "city"}, "a name that the table does not have"),
        ({"tokens": 0}, "allow one token"),
        ({"on": []}, "name one column"),
        ({"referee": np.zeros(1)}, "referee is a ndarray"),
    ],
)
def test_refuses_what_cannot_be(given, message):
    with pytest.raises(UsageError, match=message):
        tokenry.transform_rows(TABLE, **{"on": "name", "referee": Writer(), **given})


def test_refuses_an_unknown_column():
    with pytest.raises(UnknownNameError, match="column 'c' is unknown"):
        tokenry.transform_rows(TABLE, "c", referee=Writer())
