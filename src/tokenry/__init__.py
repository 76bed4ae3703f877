"""tokenry: the toolkit for the tokens of transformer models, on your model and your data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenry.catalog import names as methods
    from tokenry.checks import check
    from tokenry.compare.auditing import audit
    from tokenry.compare.chunking import chunks
    from tokenry.compare.evaluating import evaluate
    from tokenry.compare.probing import probe
    from tokenry.compare.results import Results
    from tokenry.compare.run import compare
    from tokenry.errors import TokenryError
    from tokenry.finder import find
    from tokenry.index.index import Index
    from tokenry.plugs.attach import attach
    from tokenry.plugs.moving import transplant
    from tokenry.report.page import report
    from tokenry.tables.classifying import classify_pairs
    from tokenry.tables.clustering import cluster
    from tokenry.tables.deduping import dedupe
    from tokenry.tables.evaluating import evaluate_links
    from tokenry.tables.linking import aggregate, link, merge
    from tokenry.tables.transforming import transform_rows
    from tokenry.tables.tuning import tune
    from tokenry.tables.tuning_classifier import tune_classifier

__all__ = [
    "Index",
    "Results",
    "TokenryError",
    "aggregate",
    "attach",
    "audit",
    "check",
    "chunks",
    "classify_pairs",
    "cluster",
    "compare",
    "dedupe",
    "evaluate",
    "evaluate_links",
    "find",
    "link",
    "merge",
    "methods",
    "probe",
    "report",
    "transform_rows",
    "transplant",
    "tune",
    "tune_classifier",
]

_HOME = {
    "Index": "tokenry.index.index:Index",
    "Results": "tokenry.compare.results:Results",
    "TokenryError": "tokenry.errors:TokenryError",
    "aggregate": "tokenry.tables.linking:aggregate",
    "attach": "tokenry.plugs.attach:attach",
    "audit": "tokenry.compare.auditing:audit",
    "check": "tokenry.checks:check",
    "chunks": "tokenry.compare.chunking:chunks",
    "classify_pairs": "tokenry.tables.classifying:classify_pairs",
    "cluster": "tokenry.tables.clustering:cluster",
    "compare": "tokenry.compare.run:compare",
    "dedupe": "tokenry.tables.deduping:dedupe",
    "evaluate": "tokenry.compare.evaluating:evaluate",
    "evaluate_links": "tokenry.tables.evaluating:evaluate_links",
    "find": "tokenry.finder:find",
    "link": "tokenry.tables.linking:link",
    "merge": "tokenry.tables.linking:merge",
    "methods": "tokenry.catalog:names",
    "probe": "tokenry.compare.probing:probe",
    "report": "tokenry.report.page:report",
    "transform_rows": "tokenry.tables.transforming:transform_rows",
    "transplant": "tokenry.plugs.moving:transplant",
    "tune": "tokenry.tables.tuning:tune",
    "tune_classifier": "tokenry.tables.tuning_classifier:tune_classifier",
}

# Two verbs are called like the folder they live in. A folder sets its name on this module once,
# when it is first imported. Importing both now (they are empty) and then forgetting their names
# leaves the names to the verbs, whatever is imported later and in whatever order.
for _folder in ("compare", "report"):
    import_module(f"tokenry.{_folder}")
    globals().pop(_folder, None)
del _folder


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        from importlib import metadata

        value: Any = metadata.version("tokenry")
    elif name in _HOME:
        module, _, attribute = _HOME[name].partition(":")
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'tokenry' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
