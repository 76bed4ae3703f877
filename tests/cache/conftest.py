"""Views of one layer's cache, and tiny models."""

from contextlib import nullcontext
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch

from tokenry.checks.models import tiny_decoder
from tokenry.method import KVView
from tokenry.plugs.attach import attach


def make_view(seed=0, count=8, b=2, g=2, heads=2, s=24, e=4, valid=None, memory=None, **changes):
    """A complete layer of random keys, values, attention mass and last queries."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=source)

    asked = {
        "mass": draw(b, g * heads, s).exp(),
        "queries": draw(b, g * heads, 6, e),
        "query_tokens": torch.arange(s - 6, s).expand(b, -1),
    }
    given = {
        "layer": 0,
        "depth": 1,
        "count": count,
        "seen": s,
        "keys": draw(b, g, s, e),
        "values": draw(b, g, s, e + 1),
        "tokens": torch.arange(s).expand(b, g, -1),
        "size": None,
        "valid": valid,
        "places": torch.arange(s).expand(b, -1),
        "scale": e**-0.5,
        "memory": {} if memory is None else memory,
        "shared": {},
        "asked": asked,
    }
    return KVView(**{**given, **changes})


@pytest.fixture(scope="session")
def view():
    """Build a view: `view(seed=1, count=5)`."""
    return make_view


@pytest.fixture(scope="session")
def left_padded():
    """Which of 24 slots are real: all of the first text, all but the first five of the second."""
    valid = torch.ones(2, 2, 24, dtype=torch.bool)
    valid[1, :, :5] = False
    return valid


@pytest.fixture(scope="session")
def frequencies():
    """Rotary frequencies of the views."""
    return 1.0 / 100.0 ** (torch.arange(4).float() / 4)


@pytest.fixture
def look(frequencies):
    """Build a view: `look(keys, queries, count)`, the queries being the last tokens."""

    def look(keys, queries, count, valid=None, memory=None, shared=None, layer=0, depth=1):
        b, g, s, e = keys.shape
        positions = torch.arange(s).expand(b, -1)
        if valid is not None:
            positions = (valid.cumsum(1) - 1).clamp(min=0)
        return KVView(
            layer=layer,
            depth=depth,
            count=count,
            seen=s,
            keys=keys,
            values=keys,
            tokens=torch.arange(s).expand(b, g, -1),
            size=None,
            valid=None if valid is None else valid[:, None].expand(-1, g, -1),
            places=positions[:, -queries.shape[2] :],
            scale=e**-0.5,
            memory={} if memory is None else memory,
            shared={} if shared is None else shared,
            asked={"positions": positions, "inv_freq": frequencies, "queries": queries},
        )

    return look


@pytest.fixture
def heads():
    """Random keys `(b, g, s, 8)` and queries `(b, h, t, 8)`."""

    def heads(seed, s, t=1, b=2, h=6, g=3):
        source = torch.Generator().manual_seed(seed)
        keys = torch.randn(b, g, s, 8, generator=source)
        return keys, torch.randn(b, h, t, 8, generator=source)

    return heads


@pytest.fixture(scope="session")
def tiny_llama():
    """A Llama of 3 layers, 4 query heads over 2 key heads, with random weights."""
    return tiny_decoder("llama", num_hidden_layers=3)


@pytest.fixture(scope="session")
def padded_text():
    """Two texts, the first padded on the left: `padded_text(200)`."""

    def padded_text(n, padded=23):
        ids = torch.randint(3, 61, (2, n), generator=torch.Generator().manual_seed(1))
        mask = torch.ones_like(ids)
        mask[0, :padded] = 0
        return {"input_ids": ids, "attention_mask": mask}

    return padded_text


CITIES = ("Oslo", "Lima", "Cairo", "Paris", "Quito", "Dublin", "Tokyo", "Berlin", "Rome", "Delhi")


class Haystack:
    """A small chat model, pages of documentation, and a four-digit number somewhere in them."""

    def __init__(self, loaded):
        self.model, self.tokenizer = loaded.model, loaded.processor
        pages = "\n".join(topics[name] for name in sorted(topics))
        self.straw = self.encode(pages[:400_000])

    def encode(self, words):
        return self.tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"]

    def hide(self, length, which):
        """A text of `length` tokens, where the needle lies in it, the question, and the answer."""
        rng = np.random.default_rng(which)
        city, number = CITIES[which % len(CITIES)], f"{rng.integers(1000, 9999)}"
        needle = self.encode(f"\nThe secret number of {city} is {number}.\n")
        start = int(rng.integers(len(self.straw) - length))
        straw = self.straw[start : start + length - len(needle)]
        # Not among the first tokens, and not among the last third.
        place = int(rng.uniform(0.1, 0.67) * len(straw))
        question = self.encode(
            f"\nQuestion: What is the secret number of {city}?\n"
            f"Answer: The secret number of {city} is"
        )
        text = straw[:place] + needle + straw[place:]
        where = range(place, place + len(needle))
        return text, where, question, self.encode(f" {number}")

    @torch.no_grad()
    def finds(self, method, length, which):
        """Whether the number comes out: the text is read first, the question only afterwards."""
        text, _, question, answer = self.hide(length, which)
        with attach(self.model, method) if method else nullcontext():
            cache = self.model(torch.tensor([text]), logits_to_keep=1).past_key_values
            ids = torch.tensor([question])
            for token in answer:
                logits = self.model(ids, past_key_values=cache, logits_to_keep=1).logits
                if int(logits[0, -1].argmax()) != token:
                    return False
                ids = torch.tensor([[token]])
        return True


@pytest.fixture(scope="session")
def haystack(smollm2):
    """Needles for a real model."""
    return Haystack(smollm2)


def best(score, real, count, first=0, last=0):
    """`count` slots: the first and last real ones, then those of highest score, then padding."""
    forced = [*real[:first], *(real[-last:] if last else [])]
    rest = sorted((j for j in real if j not in forced), key=lambda j: (-score[j], j))
    padding = [j for j in range(len(score)) if j not in real]
    return sorted(list(dict.fromkeys(forced + rest + padding))[:count])


@pytest.fixture(scope="session")
def check_slots(left_padded):
    """`check_slots(method, seed, count, padded, rule)`: what stays is what `rule` says by loops.

    `rule(view, text, head, real)` gives a score per slot, and how many first and last ones stay.
    """

    def check_slots(method, seed, count, padded, rule):
        view = make_view(seed, count, valid=left_padded if padded else None)
        got = method.evict(view).keep
        for i in range(2):
            real = [j for j in range(24) if view.valid is None or view.valid[i, 0, j]]
            for head in range(2):
                score, first, last = rule(view, i, head, real)
                assert got[i, head].tolist() == best(score, real, count, first, last)

    return check_slots
