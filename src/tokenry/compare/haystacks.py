"""Texts to compare on: files and tables, or the items of a probe with exact answers."""

from __future__ import annotations

from typing import Any

from tokenry import catalog, data
from tokenry.errors import UsageError
from tokenry.method import Item, Probe
from tokenry.ops.sampling import balanced


class Haystacks(data.TextData):
    """The items of a probe; what sets them apart is their `meta`."""

    def limit(self, n: int, seed: int = 0) -> Haystacks:
        """At most `n`, with every length, depth and kind as often as can be."""
        conditions = [example.meta for example in self.examples]
        return self._only(self.examples[i] for i in balanced(conditions, n, seed))


def texts(source: Any) -> data.TextData:
    """What `tokenry.data.load_text` gives, or the items of a probe as texts.

    Args:
        source: What `load_text` takes; or the name of a probe, alone or with settings as in
            "needle-threading(lengths=(2000, 4000), digits=6)".

    Raises:
        UsageError: If the probe asks for no answers.
    """
    name = source.partition("(")[0].strip() if isinstance(source, str) else ""
    if name not in catalog.names("probes"):
        return data.load_text(source)
    probe = catalog.configured(source, Probe, "compare")
    if probe.asks != "answer":
        raise UsageError(
            f"compare: the probe {name} asks for no answers that could be scored; "
            f"`tokenry.probe(model, {name!r})` measures it."
        )
    return Haystacks(
        name=source,
        examples=tuple(_example(item) for item in probe.items()),
        license="made by rule",
        source=source,
    )


def _example(item: Item) -> data.TextExample:
    question, _, prefix = item.rest.strip().rpartition("\n")
    return data.TextExample(
        id=item.id,
        text=item.context,
        question=question or prefix,
        answers=item.answers,
        answer_prefix=prefix if question else None,
        meta={name: str(value) for name, value in item.conditions.items()},
    )
