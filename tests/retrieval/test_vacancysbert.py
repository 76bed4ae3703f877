"""How skills are written and drawn, and what stands for a title with its skills."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.method import Batch
from tokenry.retrieval import VacancySBERT


@pytest.mark.parametrize(
    ("title", "found", "written"),
    [
        ("Nurse", ["first aid", "night shifts", "care"], "first aid, night shifts, care"),
        ("Night nurse", ["first aid", "night", "Nurse", "care", "tact"], "first aid, care, tact"),
        (
            "Night nurse",
            ["night nurse", "night nurses", "care", "tact"],
            "night nurses, care, tact",
        ),
        ("Nurse", ["care", "Care", "CARE", "tact"], ""),
        ("Nurse", ["lifting, carrying", " ", "care", "tact"], "lifting carrying, care, tact"),
        ("Nurse", [], ""),
    ],
)
def test_skills(title, found, written):
    assert VacancySBERT().skills(title, found) == written


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, unique=True), st.integers(0, 999))
def test_some_skills_stand_for_all(skills, seed):
    method = VacancySBERT(least=2, share=0.4)
    title, drawn = method.pair("title", ", ".join(skills), random.Random(seed))
    read = drawn.split(", ")
    assert title == "title"
    assert len(set(read)) == len(read)
    assert set(read) <= set(skills)
    assert len(read) >= min(len(skills), max(2, 0.4 * len(skills)))


def test_orders_and_subsets_differ():
    draw, method = random.Random(0), VacancySBERT()
    drawn = {method.pair("t", ", ".join("abcdefgh"), draw)[1] for _ in range(50)}
    assert len(drawn) > 40
    assert {len(text.split(", ")) for text in drawn} == {4, 5, 6, 7, 8}


def test_loss_is_that_of_a_loop():
    source = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 3, generator=source) for _ in range(2))
    of = [0, 1, 0, 2]
    cosines = torch.nn.functional.cosine_similarity(a[:, None], b, dim=-1) * 20
    by_hand = 0.0
    for i in range(4):
        kept = [cosines[i, j] for j in range(4) if j == i or of[j] != of[i]]
        by_hand += float(torch.stack(kept).logsumexp(0) - cosines[i, i]) / 4
    batch = Batch(vectors={"left": a, "right": b}, groups=torch.tensor(of))
    assert float(VacancySBERT().loss(batch).total) == pytest.approx(by_hand, abs=1e-5)


def test_query_is_a_mean_of_length_one():
    titles, skills = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 5.0], [0.0, 0.0]])
    half = 0.5**0.5
    made = VacancySBERT.query(titles, skills)
    assert torch.allclose(made, torch.tensor([[half, half], [0.0, 1.0]]))
    assert torch.equal(
        VacancySBERT.query(titles, skills, weight=0.0), titles / titles.norm(dim=1)[:, None]
    )
