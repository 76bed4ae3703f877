"""Aggressive decoding where a small chat model writes a text of its prompt again."""

import pytest
import torch

import tokenry
from tokenry.data.manpages import manpages
from tokenry.decoding import AggressiveDecoding

pytestmark = pytest.mark.slow

ASK = "Repeat this text word for word:\n\n"
COUNT, NEW = 4, 96


def paragraphs(count):
    """One paragraph each of different manual pages, long enough and ending as a sentence."""
    found = {}
    for example in manpages().examples:
        for part in example.text.split("\n\n"):
            part = " ".join(part.split())
            if 250 < len(part) < 450 and part[0].isupper() and part.endswith("."):
                found.setdefault(example.meta["page"], part)
    kept = [part for part in found.values() if not part.split()[0].isupper()]
    return kept[:: len(kept) // count][:count]


@pytest.fixture(scope="module")
def chat(smollm2):
    def ask(text):
        message = [{"role": "user", "content": ASK + text}]
        whole = smollm2.processor.apply_chat_template(
            message, add_generation_prompt=True, tokenize=False
        )
        parts = [*whole.partition(text)]
        sizes = [len(smollm2.processor(part, add_special_tokens=False).input_ids) for part in parts]
        ids = smollm2.processor(whole, return_tensors="pt", add_special_tokens=False).input_ids
        return ids, (sizes[0], -sizes[2])

    return smollm2.model, ask


def test_copying_from_the_prompt_takes_half_the_passes(chat):
    model, ask = chat
    plain = passes = 0
    for text in paragraphs(COUNT):
        ids, span = ask(text)
        settings = {"attention_mask": torch.ones_like(ids), "do_sample": False}
        with tokenry.attach(model, AggressiveDecoding(budget=32, span=span)) as attachment:
            out = model.generate(ids, max_new_tokens=NEW, **settings)
            trace = attachment.trace
        with torch.no_grad():
            best = model(out).logits[0, ids.shape[1] - 1 : -1].topk(2)
        written = out[0, ids.shape[1] :]
        assert bool(((written == best.indices[:, 0]) | (best.values.diff()[:, 0] > -1e-3)).all())
        plain, passes = plain + trace.plain, passes + trace.passes
    assert plain >= 2 * passes
