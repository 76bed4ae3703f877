"""The prompts that drafting is measured on, and how much of an answer stands in its prompt."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from tokenry import data

RUN = 4


def shipped(kind: str) -> list[str]:
    """Prompts of the package."""
    return [e.text for e in data.load_text("prompts").where(domain=kind)]


def paragraphs() -> list[str]:
    """One paragraph each of the manual pages, to be written again as it is."""
    found: dict[str, str] = {}
    for example in data.load_text("manpages").examples:
        for part in example.text.split("\n\n"):
            text = " ".join(part.split())
            if 250 < len(text) < 450 and text[0].isupper() and text.endswith("."):
                found.setdefault(example.meta["page"], f"Repeat this text word for word:\n\n{text}")
    return list(found.values())


def batch(tokenizer: Any, texts: list[str], device: Any = "cpu") -> dict[str, Any]:
    """Prompts in the chat template, padded on the left, on a device."""
    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts
    ]
    tokenizer.padding_side = "left"
    made = tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False)
    return dict(made.to(device))


def copied(source: list[int], answer: list[int]) -> float:
    """The share of an answer that stands in its source in runs of `RUN` tokens and more."""
    blocks = SequenceMatcher(None, source, answer, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size >= RUN) / len(answer)
