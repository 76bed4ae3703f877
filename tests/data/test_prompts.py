"""The prompts that ship: four kinds, the same on every machine."""

from collections import Counter

import pytest

from tokenry.data import load_text


def test_four_kinds_of_prompts():
    data = load_text("prompts")
    assert Counter(e.domain for e in data) == {"chat": 16, "edit": 12, "summary": 12, "log": 12}
    assert data.hash.startswith("533d427d04298e0d")


@pytest.mark.parametrize("kind", ["edit", "summary", "log"])
def test_what_is_to_be_copied_stands_in_the_prompt(kind):
    for example in load_text("prompts").where(domain=kind):
        instruction, _, source = example.text.partition("\n\n")
        assert len(instruction) < 120 < len(source)
