"""`tokenry.audit`: what tokenizers are like, several side by side, on the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.compare.audits import Audit, Audited, Category, Found, Pair
from tokenry.compare.records import Interval
from tokenry.compare.splits import EXAMPLE, pieces_of, worst
from tokenry.compare.stats import drawn_interval, resampled_means, verdict
from tokenry.errors import DataError, UsageError
from tokenry.method import Embeddings, Judge, Usage, Vocab
from tokenry.plugs.token_rows import token_rows
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.progress import showing, track
from tokenry.zoo.tokenizer import read, tokenizer

BLOCKS = 400
"""Neighbouring texts are resampled together where there are more."""

_MERGES, _DRAWS = 300, 8  # of data-mixture: seconds for ten categories, where 3,000 take minutes

Array = NDArray[np.float64]
_EXACT = "Été: no\n  Blank"  # what a tokenizer must spell as it is to lose nothing


def audit(
    tokenizers: Any,
    texts: Any,
    judges: Sequence[str | Judge] | None = None,
    *,
    lexicon: str | PathLike[str] | Sequence[str] = (),
    morphemes: str | PathLike[str] | Sequence[str] = (),
    language: str = "tr",
    parallel: bool = False,
    seed: int = 0,
    progress: bool | None = None,
) -> Audit:
    """Say what tokenizers are like, side by side, on the same texts.

    Where a name or folder holds a model as well, its rows are judged too: tokens that it has
    hardly learned.

    Args:
        tokenizers: One or several: `zoo:NAME`, a folder, a tokenizer.json, or tokenizers of
            transformers or of the `tokenizers` library.
        texts: A folder whose sub-folders are categories such as languages, a file, a table, a list,
            or a mapping from category to one of these.
        judges: Names, with settings as in "qtok(other=2)", or instances. When not given, parity,
            qtok and glitch; token-purity where there is a lexicon or morphemes; data-mixture where
            there are two categories.
        lexicon: Valid words of a language, or a file with one on each line.
        morphemes: Its roots and affixes, or a file with one on each line.
        language: Its code, and the name of its category.
        parallel: Whether documents of the same name say the same in each category.
        seed: Of the resampling.
        progress: Show bars; None shows them on a terminal.

    Returns:
        What was found. A judge that cannot judge a tokenizer says why.

    Raises:
        UsageError: If an argument is not one of those above.
        UnknownNameError: If there is no such judge or zoo model.
        DataError: If texts or a list cannot be read, or a category is empty.
    """
    sources = tokenizers if isinstance(tokenizers, list | tuple) else [tokenizers]
    vocabs = _vocabs(sources)
    words = {"lexicon": _lines(lexicon), "morphemes": _lines(morphemes)}
    chosen = _usual(parallel, seed, language, words) if judges is None else _judges(judges)
    tokens = {vocab.name: set(filter(None, vocab.spelled)) for vocab in vocabs}
    with showing(progress):
        used = usage(vocabs, texts, words=any(judge.reads_words for judge in chosen.values()))
        if judges is None:
            chosen = {slug: one for slug, one in chosen.items() if one.categories <= len(used[0])}
        several = track([*zip(vocabs, used, sources, strict=True)], "judging", unit="tokenizer")
        audited = [_audited(vocab, own, chosen, seed, tokens, at) for vocab, own, at in several]
    return Audit(
        texts=str(texts) if isinstance(texts, str | PathLike) else "texts",
        tokenizers=tuple(audited),
        categories=tuple(
            Category(one.category, one.texts, one.size, one.characters, one.broken)
            for one in used[0]
        ),
        pairs=_pairs(vocabs, used, seed),
        core=len(set.intersection(*tokens.values())),
        cards={slug: catalog.card(slug) for slug in chosen},
        notes=(*_notes(used[0]), *map(_lossy, filter(_loses, vocabs))),
    )


def _audited(
    vocab: Vocab,
    used: Sequence[Usage],
    judges: Mapping[str, Judge],
    seed: int,
    tokens: Mapping[str, set[bytes]],
    source: Any,
) -> Audited:
    """What there is to say of one of several tokenizers, given the tokens of each."""
    rows = None
    if isinstance(source, str | PathLike) and any(one.reads_rows for one in judges.values()):
        rows = token_rows(str(source))
    mine, rest = tokens[vocab.name], {n: t for n, t in tokens.items() if n != vocab.name}
    return Audited(
        name=vocab.name,
        kind=vocab.kind,
        size=len(vocab),
        found={slug: _judged(judge, vocab, used, rows) for slug, judge in judges.items()},
        bytes_per_token=_intervals(used, seed),
        examples={one.category: _example(vocab, one) for one in used},
        splits={one.category: worst(vocab, one) for one in used},
        shared={name: len(mine & theirs) / max(1, len(mine)) for name, theirs in rest.items()},
        only=len(mine.difference(*rest.values())),
        written=int(sum(one.counts.sum() for one in used)),
        seconds=sum(one.seconds for one in used),
    )


def _vocabs(sources: Sequence[Any]) -> list[Vocab]:
    """The vocabularies, by names that differ."""
    if not sources:
        raise UsageError("audit: there are no tokenizers; give at least one.")
    found: list[Vocab] = []
    for source in sources:
        if isinstance(source, str | PathLike):
            path = Path(source).expanduser()
            made = read(path) if path.is_file() else tokenizer(str(source))
            vocab = vocabulary(made, _name(str(source)))
        else:
            vocab = vocabulary(source)
        if vocab.name in {one.name for one in found}:
            vocab = replace(vocab, name=f"{vocab.name} ({len(found) + 1})")
        found.append(vocab)
    return found


def _name(source: str) -> str:
    """What a person calls the tokenizer of this name, folder or file."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path.resolve().name
    if path.is_file():
        return path.resolve().parent.name if path.stem == "tokenizer" else path.stem
    return source


def _lines(source: str | PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(source, str | PathLike):
        return tuple(source)
    try:
        return tuple(Path(source).read_text(encoding="utf-8-sig").split("\n"))
    except (OSError, UnicodeError) as error:
        raise DataError(f"{source}: cannot be read as a list of words ({error}).") from error


def _judges(given: Sequence[str | Judge]) -> dict[str, Judge]:
    made = [catalog.configured(one, Judge, "audit") for one in given]
    return {one.card.slug: one for one in made}


def _usual(
    parallel: bool, seed: int, language: str, words: Mapping[str, tuple[str, ...]]
) -> dict[str, Judge]:
    """The judges that are asked when nobody says which."""
    asked: dict[str, dict[str, Any]] = {"parity": {"parallel": parallel, "seed": seed}}
    asked |= {"qtok": {}, "glitch": {}}
    if any(words.values()):
        asked["token-purity"] = {"language": language, **words}
    asked["data-mixture"] = {"merges": _MERGES, "resamples": _DRAWS}
    return {
        slug: catalog.configured(slug, Judge, "audit", **given) for slug, given in asked.items()
    }


def _judged(judge: Judge, vocab: Vocab, used: Sequence[Usage], rows: Embeddings | None) -> Found:
    partly = ""
    try:
        findings = [judge.judge(vocab, used)]
    except UsageError as error:
        return Found(refused=str(error))
    try:
        findings += [] if rows is None else [judge.judge_rows(vocab, rows)]
    except UsageError as error:
        partly = str(error)
    return Found(
        partly=partly,
        figures={n: asdict(one) for found in findings for n, one in found.figures.items()},
        tables={name: rows for found in findings for name, rows in found.tables.items()},
        notes=tuple(note for found in findings for note in found.notes),
    )


def _example(vocab: Vocab, used: Usage) -> tuple[str, ...]:
    rows = [row for row in used.sequences if len(row)]
    return pieces_of(vocab, rows[0][:EXAMPLE].tolist()) if rows else ()


def _blocks(used: Sequence[Usage]) -> Array:
    """Bytes and tokens of blocks of texts, `(2, n)`."""
    rows = np.concatenate([one.lengths for one in used if one.lengths is not None])
    edges = np.linspace(0, len(rows), min(len(rows), BLOCKS) + 1).astype(int)[:-1]
    sums: Array = np.add.reduceat(rows, edges, axis=0).T.astype(np.float64)
    return sums


def _intervals(used: Sequence[Usage], seed: int) -> dict[str, Interval]:
    """Bytes per token of all texts, by the name "", and of each category."""
    found = {}
    for name, part in _parts(used):
        blocks = _blocks(part)
        size, tokens = resampled_means(blocks, seed)
        sums = blocks.sum(1)
        value = float(sums[0] / max(sums[1], 1))
        found[name] = drawn_interval(value, size / np.maximum(tokens, 1e-9), blocks.shape[1])
    return found


def _parts(used: Sequence[Usage]) -> list[tuple[str, Sequence[Usage]]]:
    return [("", used), *((one.category, [one]) for one in used)]


def _pairs(vocabs: Sequence[Vocab], used: Sequence[Sequence[Usage]], seed: int) -> tuple[Pair, ...]:
    """Each vocabulary after the first against the first: the same texts, resampled together."""
    found = []
    for index, (name, first) in enumerate(_parts(used[0])):
        for vocab, own in zip(vocabs[1:], used[1:], strict=True):
            both = np.stack([_blocks(first)[1], _blocks(_parts(own)[index][1])[1]])
            draws = resampled_means(both, seed)
            value = float(both[0].sum() / max(both[1].sum(), 1))
            ratio = drawn_interval(value, draws[0] / np.maximum(draws[1], 1e-9), both.shape[1])
            span = Interval(ratio.value - 1, ratio.low - 1, ratio.high - 1)
            what = verdict(both[0] - both[1], span, None, higher_is_better=True)
            found.append(Pair(vocab.name, vocabs[0].name, name, ratio, what))
    return tuple(found)


def _loses(vocab: Vocab) -> bool:
    """Whether tokens spell other capitals, accents or blanks than the text had."""
    (tokens,) = vocab.scribe.encode([_EXACT])
    spelled = b"".join(vocab.spelled[token] or b"" for token in tokens)
    return spelled.removeprefix(b" ") != _EXACT.encode()


def _lossy(vocab: Vocab) -> str:
    return (
        f"{vocab.name} does not give every text back as it was: capitals, accents or blanks are "
        "lost. That it needs fewer tokens than one that keeps them is partly no saving."
    )


def _notes(used: Sequence[Usage]) -> tuple[str, ...]:
    return tuple(
        f"{one.category}: {one.broken} bytes are not UTF-8 and were read as replacement characters."
        for one in used
        if one.broken
    )
