"""What `tokenry.data.load_linked` gives, as examples to compare linkers on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tokenry.compare.linked import LinkingData, duplicated, paired, searched
from tokenry.data.linked import LinkedData, load_linked
from tokenry.errors import UsageError


def linking_data(source: Any) -> LinkingData:
    """Tables with known links.

    Args:
        source: What `load_linked` takes, alone or as a tuple of its first three, or what it gave.

    Raises:
        UsageError: If of a single table not every row is known.
    """
    if isinstance(source, LinkedData):
        data = source
    else:
        data = load_linked(*source) if isinstance(source, tuple) else load_linked(source)
    about = {"name": data.name, "license": data.license, "source": data.source}
    if data.right is None:
        return _one(data, about)
    tables = data.left.to_pydict(), data.right.to_pydict()
    on = [(name, name) for name in data.on]
    if data.parts:
        return paired(tables, on, _labelled(data), **about)
    links: Sequence[Sequence[int]] = data.matches.tolist()
    return searched(tables, on, [(one, other) for one, other in links], **about)


def _one(data: LinkedData, about: dict[str, str]) -> LinkingData:
    if data.entity is None or not data.complete:
        raise UsageError(
            f"compare: of {data.name}, one table, it is not known what every row is; take the rows "
            "that are known, or measure clusters with tokenry.evaluate_links."
        )
    return duplicated(data.left.to_pydict(), data.on, data.entity.tolist(), **about)


def _labelled(data: LinkedData) -> Iterator[tuple[int, int, bool, str]]:
    for part, pairs in data.parts.items():
        columns = (pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist())
        for left, right, same in zip(*columns, strict=True):
            yield left, right, bool(same), part
