"""The pages of linkers and of links: words that agree, waterfalls, clusters, and hostile text."""

from __future__ import annotations

import pytest

import tokenry
from tokenry.compare.run import compare
from tokenry.errors import StoreError
from tokenry.ops.assignment import ASSIGNMENTS
from tokenry.report import disagreements, graphs, linkage
from tokenry.report.aligned import aligned, fields
from tokenry.report.page import html
from tokenry.report.weights import waterfall
from tokenry.tables.telling import histogram, record


@pytest.fixture(scope="module")
def results(text_encoder, linkers):
    encoder = text_encoder(linkers.WORDS)
    return compare(encoder, [linkers.Overlap()], linkers.records(), progress=False)


@pytest.fixture(scope="module")
def links(linkers):
    (left, right), _ = linkers.tables()
    return tokenry.link(
        left, right, left_on=["name", "city"], right_on=["title", "city"], method=linkers.Overlap()
    )


def offline(page):
    body = page.split("</style>")[1]
    return "http" not in body.replace("http-equiv", "") and "<script src" not in page


def test_words_are_the_same_alike_or_alone():
    left, right = aligned("Art's Deli, 12224 Ventura", "arts delicatessen 12224 Blvd")
    assert [kind for kind, _ in right] == ["alike", "", "alone", "", "same", "", "alone"]
    assert "".join(text for _, text in left) == "Art's Deli, 12224 Ventura"
    assert ("same", "12224") in left
    both = aligned("the the", "the")
    assert [kind for kind, _ in both[0]] == ["same", "", "alone"]
    assert aligned("", "x") == ([], [("alone", "x")])


def test_columns_that_were_not_compared_are_not_marked():
    rows = fields({"name": "a b", "id": "1"}, {"name": "a c", "id": "1", "note": "n"}, ["name"])
    assert [row["name"] for row in rows] == ["name", "id", "note"]
    assert {kind for kind, _ in rows[0]["left"]} == {"same", "", "alone"}
    assert {kind for row in rows[1:] for kind, _ in (*row["left"], *row["right"])} == {""}


def test_a_waterfall_ends_at_the_score():
    made = waterfall({"a": 2.0, "b": -0.5, "nothing": 0.0}, 1.5, 1.0)
    assert [bar["name"] for bar in made["bars"]] == ["a", "b", "score"]
    first, second, total = made["bars"]
    assert first["left"] + first["width"] == pytest.approx(100)
    assert second["left"] == pytest.approx(total["left"] + total["width"])
    assert made["threshold"] == 50
    many = waterfall({str(i): 1.0 for i in range(20)}, 20.0, None)
    assert len(many["bars"]) == 12
    assert "10 more" in {bar["name"] for bar in many["bars"]}
    assert waterfall({}, 1.0, None) is waterfall({"a": 1.0}, None, None) is None


def test_records_on_which_methods_disagree_come_first(results, linkers):
    shown = disagreements.worst(results, results.tasks[0])
    scores = {}
    for row in results.rows():
        scores.setdefault(row.example, []).append(row.score)
    split = [len(set(scores[name])) > 1 for name in shown]
    assert split == sorted(split, reverse=True)
    assert all(min(scores[name]) < 1 for name in shown)
    found = disagreements.disagreements(results, results.tasks[0])
    assert all(one["label"] for one in found)
    for one in found:
        assert sum(choice["open"] for choice in one["choices"]) <= 1
        assert {choice["name"] for choice in one["choices"]} == {"Encoder alone", "Overlap"}


def test_the_page_of_linkers_holds_curves_and_records_and_escapes(results, linkers):
    page = html(results)
    assert "At other thresholds" in page
    assert "Where they disagree" in page
    assert "Encoder alone" in page
    assert linkers.HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "Keep</button>" not in page
    assert "GFLOPs</button>" not in page
    assert offline(page)


def test_a_stored_record_that_is_none_is_refused():
    with pytest.raises(StoreError, match="a stored record cannot be read"):
        disagreements.read(b"[1]")


def test_the_page_of_links_holds_what_was_barely_linked(links, linkers, tmp_path):
    page = tokenry.report(links, tmp_path / "links.html").read_text(encoding="utf-8")
    run = links.told()
    assert isinstance(links, linkage.Told)
    assert f"{len(links):,} links between 48 and 36 rows" in page
    assert "Links with the lowest scores" in page
    assert len(run["stages"]) == len(links.stages)
    linked = [one["score"] for one in run["examples"] if one["linked"]]
    assert linked == sorted(links.scores)[: len(linked)]
    assert all(one["score"] < links.threshold for one in run["examples"] if not one["linked"])
    for one in run["examples"]:
        assert sum(one["parts"].values()) == pytest.approx(one["score"])
    assert linkers.HOSTILE not in page
    assert offline(page)


def test_clusters_are_drawn_with_what_guards_cut(linkers):
    names = ["red apple tree", "red apple", "red apple sky", "sky sea", "sky sea road"]
    names.append(linkers.HOSTILE)
    found = tokenry.dedupe(
        {"name": names}, on="name", method=linkers.Overlap(), threshold=0.22, largest=3
    )
    page = html(found)
    run = found.told()
    assert run["clustering"]["cut"] == 1
    assert run["clusters"][0]["size"] == 5
    drawn = graphs.picture(run["clusters"][0])
    assert drawn["note"] == "5 rows in 2 clusters, 1 link cut"
    assert drawn["svg"].count("<circle") == 5
    assert drawn["svg"].count("stroke-dasharray") == 1
    assert "6 rows are 3 things" in page
    assert "Guards cut 1 link" in page
    assert linkers.HOSTILE not in page
    assert offline(page)


def test_a_pair_of_one_table_is_told_once_and_what_was_cut_is_no_near_link(linkers):
    names = ["a b c", "a b d", "a e f", "g h i", "g j k", "x y", "x y"]
    found = tokenry.dedupe({"name": names}, on="name", method=linkers.Overlap(), threshold=0.3)
    pairs = [(one["left"]["name"], one["right"]["name"]) for one in found.told()["examples"]]
    assert ("g h i", "g j k") in pairs
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    cut = tokenry.dedupe(
        {"name": names}, on="name", method=linkers.Overlap(), threshold=0.2, largest=2
    ).told()
    linked = [one["left"]["name"] for one in cut["examples"] if one["linked"]]
    assert cut["clustering"]["cut"] == 2
    assert linked.count("a b c") == 1
    assert "a b d" not in linked


def test_nothing_found_is_a_page_too(linkers):
    empty = {"name": [None, ""]}
    page = html(tokenry.link(empty, empty, on="name", method="exact"))
    assert "0 links between 2 and 2 rows" in page


def test_bounded_and_plain(links):
    assert histogram(links.scores)[0][0] == links.scores.min()
    assert sum(count for *_, count in histogram(links.scores)) == len(links)
    assert histogram(links.scores[:0]) == []
    told = record(links.right, 0, links.on[1], links.on[0])
    assert next(iter(told)) == "name"


def test_commands_write_the_report(tmp_path, capsys):
    from tokenry.cli import main

    table, page = tmp_path / "people.csv", tmp_path / "people.html"
    table.write_text("name\nAda L.\nada l\nAlan T.\n", encoding="utf-8")
    common = ["--on", "name", "--method", "exact", "--report"]
    assert main(["dedupe", str(table), *common, str(page)]) == 0
    assert f"Report: {page}" in capsys.readouterr().out
    assert "3 rows are 2 things" in page.read_text(encoding="utf-8")
    assert main(["link", str(table), str(table), *common, str(page)]) == 0
    assert "links between 3 and 3 rows" in page.read_text(encoding="utf-8")
    assert main(["link", str(table), str(table), *common, str(tmp_path / "no" / "p.html")]) == 2


def test_the_page_says_what_each_assignment_allows():
    assert linkage.PARTNERS.keys() == {*ASSIGNMENTS}
