"""Queries that were answered worst: which token of a document answered each of their tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.report import words
from tokenry.report.entries import display_name
from tokenry.report.stored import reading

if TYPE_CHECKING:
    from tokenry.compare.records import Picture, TaskInfo
    from tokenry.compare.results import Results

SHOWN = 6
"""Queries on the page."""
TOKENS = 24
"""Tokens of a query that are shown."""
AROUND = 7
"""Tokens of the document on each side of an answer."""
HEADS = ("What answers it", "The best that does not")


def matches(results: Results, task: TaskInfo, keeps: Sequence[float]) -> list[dict[str, Any]]:
    """The queries that lose most, each with one table for every configuration.

    Args:
        results: The comparison.
        task: The task that says what a loss is.
        keeps: The values of the dial that are shown.
    """
    grouped: dict[str, list[Picture]] = {}
    for picture in results.pictures(worst=SHOWN, task=task.slug, untouched=True):
        grouped.setdefault(picture.example, []).append(picture)
    dials = {info.label for info in results.infos if info.dial}
    return [
        _query(results, task, [p for p in found if p.method not in dials or p.keep in keeps], keeps)
        for found in grouped.values()
    ]


def _query(
    results: Results, task: TaskInfo, pictures: Sequence[Picture], keeps: Sequence[float]
) -> dict[str, Any]:
    first = pictures[0]
    query, documents = read(first.thumbnail)
    return {
        "id": words.clean(first.example, 40),
        "label": words.clean(first.label, 300) or "Query",
        "documents": [
            (head, words.clean(document["id"], 80))
            for head, document in zip(HEADS, documents, strict=False)
        ],
        "figures": [
            {
                "name": display_name(results, picture.method),
                "keep": keeps.index(picture.keep) if picture.keep in keeps else None,
                "score": f"{words.clean(task.metric, 40)} {words.amount(picture.score, task)}",
                "ranks": _ranks(picture.groups, len(documents)),
                "rows": _rows(query, documents, picture.groups),
            }
            for picture in pictures
        ],
    }


def read(thumbnail: bytes) -> tuple[list[str], list[dict[str, Any]]]:
    """The query's tokens, and of one or two documents the id and the tokens.

    Args:
        thumbnail: As the task stored it.

    Raises:
        StoreError: If it is something else.
    """
    with reading("query cannot be read"):
        found = json.loads(thumbnail)
        query, documents = found["query"], found["documents"]
        lists = [query, *(document["pieces"] for document in documents)]
        if not all(isinstance(piece, str) for pieces in lists for piece in pieces):
            raise ValueError("not lists of texts")
    # A query whose rival is the answer itself shows one document.
    return query, documents[: 1 + (documents[0]["id"] != documents[-1]["id"])]


def _ranks(groups: NDArray[np.int16], documents: int) -> str:
    if not groups.shape[1]:
        return "the query has no tokens"
    ranks = groups[4 : 4 + documents, 0].tolist()
    said = [f"at rank {rank}" if rank else "not found" for rank in ranks]
    return f"right document {said[0]}" + (f", wrong one {said[1]}" if documents > 1 else "")


def _rows(
    query: Sequence[str], documents: Sequence[dict[str, Any]], groups: NDArray[np.int16]
) -> list[dict[str, Any]]:
    rows = []
    for i, piece in enumerate(query[: min(TOKENS, groups.shape[1])]):
        cells = [
            _cell(document["pieces"], int(groups[2 * n, i]), int(groups[2 * n + 1, i]))
            for n, document in enumerate(documents)
        ]
        rows.append({"token": words.piece(piece), "cells": cells})
    return rows


def _cell(pieces: Sequence[str], place: int, thousandths: int) -> dict[str, Any]:
    """The answering token with what stands around it; empty where nothing answers."""
    if not 0 <= place < len(pieces):
        return {"before": "", "token": "", "after": "", "near": "", "tint": 0}
    around = slice(max(0, place - AROUND), place), slice(place + 1, place + 1 + AROUND)
    before, after = ("".join(pieces[part]) for part in around)
    token = pieces[place]
    return {
        "before": words.clean(before, 120)[-60:] + _gap(before, token),
        "token": words.clean(token, 40),
        "after": _gap(token, after) + words.clean(after, 60),
        "near": f"{thousandths / 1000:.2f}",
        "tint": max(0, min(60, thousandths * 6 // 100)),
    }


def _gap(first: str, second: str) -> str:
    """A blank where two parts of a text do not touch, as the parts of a word do."""
    return " " if first[-1:].isspace() or second[:1].isspace() else ""
