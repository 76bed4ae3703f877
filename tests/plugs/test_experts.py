"""Graphs of experts: their file, what is refused, and local models as workers."""

import json

import networkx as nx
import pytest
import torch

from tokenry.errors import DataError, UsageError
from tokenry.plugs.experts import expert_graph, local_worker, read_graph, write_graph

EXPERTS = {"maths": "numbers", "law": "contracts", "all": "anything"}


def test_a_graph_comes_back_from_its_file(tmp_path):
    graph = expert_graph(EXPERTS, [("law", "maths"), ("maths", "all")], general="all")
    graph.nodes["law"]["model"] = "a/folder"
    write_graph(graph, tmp_path / "graph.json")
    again = read_graph(tmp_path / "graph.json")
    assert list(again.nodes(data=True)) == list(graph.nodes(data=True))
    assert list(again.edges) == list(graph.edges)
    assert again.graph == {"general": "all"}
    plain = json.loads((tmp_path / "graph.json").read_text())
    assert nx.utils.graphs_equal(nx.node_link_graph(plain, edges="edges"), graph)


def test_a_file_written_by_hand_may_be_short(tmp_path):
    (tmp_path / "g.json").write_text('{"nodes": [{"id": "a"}, {"id": "b"}]}')
    assert list(read_graph(tmp_path / "g.json")) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([],), "there is no expert in it"),
        ((["a", "b", "a"],), "'a' is there twice"),
        ((["a", " "],), "' ' is no name"),
        ((["a", 3],), "3 is no name"),
        ((["a"], [("a", "b")]), "an edge names 'b', which is no expert; there are a"),
        ((["a", "b"], [], "c"), "general='c' is no expert; there are a, b"),
    ],
)
def test_what_is_no_graph_is_refused(untyped, given, message):
    with pytest.raises(UsageError, match=message):
        expert_graph(*given)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"nodes": 3}', '{"nodes": [{"name": "a"}]}', '{"nodes": [{"id": []}]}'],
)
def test_what_is_no_file_of_a_graph_is_refused(tmp_path, content):
    path = tmp_path / "graph.json"
    path.write_text(content)
    with pytest.raises(DataError, match="is no graph of experts"):
        read_graph(path)
    with pytest.raises(DataError, match="is no graph of experts"):
        read_graph(tmp_path / "nowhere.json")


def test_names_twice_in_a_file_are_refused(tmp_path):
    (tmp_path / "g.json").write_text('{"nodes": [{"id": "a"}, {"id": "a"}]}')
    with pytest.raises(UsageError, match="'a' is there twice"):
        read_graph(tmp_path / "g.json")


@pytest.mark.parametrize("chat", [False, True])
def test_a_local_worker_answers_like_its_model(language, chat):
    loaded = language(chat=chat)
    text = "<user>Who?</user><reply>" if chat else "Who?"
    ids = loaded.processor(text, return_tensors="pt")["input_ids"]
    for _ in range(5):
        with torch.no_grad():
            ids = torch.cat([ids, loaded.model(ids).logits[:, -1:].argmax(-1)], 1)
    expected = loaded.processor.decode(ids[0, -5:], skip_special_tokens=True).strip()
    worker = local_worker(loaded.model, loaded.processor, max_new_tokens=5)
    assert worker("Who?") == expected


def test_a_worker_with_another_tokenizer_is_refused(language):
    with pytest.raises(UsageError, match="local_worker: the tokenizer knows 257 tokens"):
        local_worker(language(vocab_size=100).model, language().processor)
