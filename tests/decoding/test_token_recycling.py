"""Token Recycling: its template, and its table and drafts against a table of lists."""

from collections import Counter

import pytest
import torch

from tokenry.checks.models import tiny_decoder, words
from tokenry.decoding.token_recycling import TokenRecycling, template
from tokenry.method import DraftView, Verified
from tokenry.ops.tree import reach
from tokenry.plugs.attach import attach

V = 40


def view(text, count, memory):
    text = torch.tensor(text)
    return DraftView(text, text, count, False, memory, {})


def test_the_template_has_the_shape_of_the_papers():
    paths = template()
    assert len(set(paths)) == 80
    levels = Counter(map(len, paths))
    assert [levels[d] for d in range(1, 7)] == [8, 21, 25, 15, 8, 3]
    assert sum(not any(q[:-1] == p for q in paths) for p in paths) == 40
    assert all(0 <= rank < 8 for path in paths for rank in path)


def test_parents_and_better_ranks_stand_before():
    paths = template()
    place = {path: i for i, path in enumerate(paths)}
    for path, i in place.items():
        assert not path[:-1] or place[path[:-1]] < i
        assert not path[-1] or place[(*path[:-1], path[-1] - 1)] < i


def test_a_full_table_fills_the_template_and_its_mask():
    table = torch.randint(0, V, (V, 8), dtype=torch.int32)
    tree = TokenRecycling().draft(view([3, 7], 80, {"table": table}))
    expected, rows = [], table.tolist()
    for path in template():
        token = 7
        for rank in path:
            token = rows[token][rank]
        expected.append(token)
    assert tree.tokens.tolist() == expected
    seen = reach(tree.parents[None])[0].sum(1)
    assert seen.tolist() == [1, *(len(path) + 1 for path in template())]


@pytest.mark.parametrize("count", [1, 2, 5, 13, 40, 79])
def test_a_smaller_budget_gets_the_first_nodes(count):
    memory = {"table": torch.randint(-1, V, (V, 8), dtype=torch.int32)}
    memory["table"][5, 0] = 5
    full = TokenRecycling().draft(view([5], 80, memory))
    few = TokenRecycling().draft(view([5], count, memory))
    n = len(few.tokens)
    assert 0 < n <= count
    assert few.tokens.tolist() == full.tokens[:n].tolist()
    assert few.parents.tolist() == full.parents[:n].tolist()


def test_what_was_never_read_proposes_nothing():
    assert len(TokenRecycling().draft(view([5], 80, {})).tokens) == 0
    table = torch.full((V, 8), -1, dtype=torch.int32)
    table[5] = torch.arange(10, 18)
    tree = TokenRecycling().draft(view([5], 80, {"table": table}))
    assert tree.tokens.tolist() == list(range(10, 18))
    assert set(tree.parents.tolist()) == {-1}


def test_every_read_token_brings_its_row_up_to_date():
    """Also the rejected ones; of equal tokens the accepted one counts, else the last."""
    memory, method = {}, TokenRecycling()
    source = torch.Generator().manual_seed(0)
    rows = {}
    for step in range(6):
        given = view([2, 4 + step % 3], 20, memory)
        tree = method.draft(given)
        n = len(tree.tokens)
        scores = torch.randn(n + 1, V, generator=source)
        path = torch.tensor([0, 3][: min(n, 2)]) if n > 3 else torch.zeros(0, dtype=torch.long)
        method.learn(given, Verified(tree, scores, path, 1))
        read = [4 + step % 3, *tree.tokens.tolist()]
        for i, token in enumerate(read):
            rows[token] = scores[i].argsort(descending=True)[:8].tolist()
        for i in [0, *(path + 1).tolist()]:
            rows[read[i]] = scores[i].argsort(descending=True)[:8].tolist()
    table = memory["table"]
    for token in range(V):
        assert table[token].tolist() == rows.get(token, [-1] * 8)
    assert table.numel() * table.element_size() == V * 8 * 4


@pytest.mark.parametrize("rows", [1, 3])
def test_the_prompt_fills_the_table_if_asked(rows):
    model, ids = tiny_decoder("llama"), words(rows, 10)
    mask = torch.ones_like(ids)
    ids[0, :3], mask[0, :3] = 0, 0
    for read in (False, True):
        with attach(model, TokenRecycling(budget=4, update_on_prefill=read)) as attachment:
            model.generate(ids, attention_mask=mask, max_new_tokens=1, pad_token_id=0)
            table = attachment.memory.get("table")
        if not read:
            assert table is None
            continue
        with torch.no_grad():
            places = (mask.cumsum(1) - 1).clamp(min=0)
            scores = model(ids, attention_mask=mask, position_ids=places).logits
        told = {int(ids[i, j]): scores[i, j] for i in range(rows) for j in range(10) if mask[i, j]}
        for token, row in told.items():
            assert table[token].tolist() == row.topk(8).indices.tolist()
        assert (table >= 0).any(1).sum() == len(told)
