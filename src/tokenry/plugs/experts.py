"""Experts as the nodes of a graph: its file, its checks, and local models as workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import torch

from tokenry.errors import DataError, UsageError
from tokenry.plugs.stem import check_pair

Worker = Callable[[str], str]
"""Answers a query."""


def expert_graph(
    experts: Sequence[str] | Mapping[str, str],
    edges: Iterable[tuple[str, str]] = (),
    general: str | None = None,
) -> nx.DiGraph:
    """A graph of experts.

    Args:
        experts: Their names, or names with descriptions; their order numbers them.
        edges: Who may hand a query over to whom after answering.
        general: Who answers what no other expert is sure to.

    Returns:
        A directed graph of networkx: each node is a name, its `description` an attribute, and
        `general` an attribute of the graph.

    Raises:
        UsageError: If there is no expert, a name is given twice or empty, or an edge or `general`
            names none of them.
    """
    graph = nx.DiGraph(general=general)
    for name in experts:
        if name in graph:
            raise UsageError(f"expert_graph: {name!r} is there twice; give each expert one name.")
        text = experts[name] if isinstance(experts, Mapping) else ""
        graph.add_node(name, description=text)
    for source, target in edges:
        for name in (source, target):
            if name not in experts:
                raise UsageError(
                    f"expert_graph: an edge names {name!r}, which is no expert; there are "
                    f"{', '.join(map(str, experts))}."
                )
        graph.add_edge(source, target)
    check_graph(graph)
    return graph


def check_graph(graph: nx.DiGraph) -> None:
    """Refuse a graph that no query can be routed through.

    Raises:
        UsageError: If it has no expert, a name is no text, or its `general` is none of them.
    """
    if not len(graph):
        raise UsageError("expert graph: there is no expert in it; give at least one.")
    wrong = [name for name in graph if not (isinstance(name, str) and name.strip())]
    if wrong:
        raise UsageError(f"expert graph: {wrong[0]!r} is no name; an expert's name is a text.")
    general = graph.graph.get("general")
    if general is not None and general not in graph:
        raise UsageError(
            f"expert graph: general={general!r} is no expert; there are {', '.join(graph)}."
        )


def write_graph(graph: nx.DiGraph, path: str | Path) -> None:
    """Write a graph as JSON, in the node-link format of networkx."""
    content = nx.node_link_data(graph, edges="edges")
    Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_graph(path: str | Path) -> nx.DiGraph:
    """Read a graph from JSON in the node-link format of networkx.

    Raises:
        DataError: If the file is not there or holds no graph.
        UsageError: As `expert_graph` does.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        nodes = {node["id"]: node for node in content["nodes"]}
        edges = [(edge["source"], edge["target"]) for edge in content.get("edges", ())]
        names = [node["id"] for node in content["nodes"]]
        general = content.get("graph", {}).get("general")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"read_graph: {path} is no graph of experts ({error}); write one with write_graph, or "
            'as {"nodes": [{"id": "maths"}], "edges": []}.'
        ) from error
    graph = expert_graph(names, edges, general)
    nx.set_node_attributes(graph, nodes)
    for name in names:
        del graph.nodes[name]["id"]
    return graph


def local_worker(model: Any, tokenizer: Any, max_new_tokens: int = 128, **kwargs: Any) -> Worker:
    """A language model of this process as a worker.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer; its chat template is used when it has one.
        max_new_tokens: Most tokens of an answer.
        **kwargs: What `model.generate` takes; greedy when nothing is said.

    Raises:
        UsageError: If the tokenizer is another model's.
    """
    check_pair("local_worker", model, tokenizer)
    kwargs.setdefault("do_sample", False)

    @torch.no_grad()
    def answer(query: str) -> str:
        chat = tokenizer.chat_template is not None
        if chat:
            messages = [{"role": "user", "content": query}]
            query = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        inputs = tokenizer(query, return_tensors="pt", add_special_tokens=not chat)
        inputs = inputs.to(model.device)
        ids = model.generate(**inputs, max_new_tokens=max_new_tokens, **kwargs)
        start = inputs["input_ids"].shape[1]
        text: str = tokenizer.decode(ids[0, start:], skip_special_tokens=True)
        return text.strip()

    return answer
