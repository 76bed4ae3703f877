"""Data mixture: the linear program against the dense one, and mixtures that we made ourselves."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import sysconfig
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import tokenry.data.manpages
from tokenry.errors import UsageError
from tokenry.method import Usage
from tokenry.names import names
from tokenry.ops.merges import Replay
from tokenry.ops.mixture import MixtureProgram, history
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import DataMixture

SHARES = np.array([0.55, 0.1, 0.35])
NAMES = ("prose", "python", "headers")


def usage_of(vocab, texts, category, parts=1):
    """As `Usage` stands for texts."""
    held = [
        Counter(chain.from_iterable(map(vocab.scribe.words, texts[k::parts]))) for k in range(parts)
    ]
    words = sum(held, Counter())
    return Usage(
        category=category,
        counts=np.zeros(len(vocab), np.int64),
        texts=len(texts),
        characters=sum(map(len, texts)),
        size=sum(len(text.encode()) for text in texts),
        words=words,
        parts=held if parts > 1 else (),
    )


def learned(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, min_frequency=0
    )
    tokenizer.train_from_iterator(texts, trainer)
    return vocabulary(tokenizer)


def cut(texts, size):
    """The first of the texts, of so many characters in all."""
    sizes = np.cumsum([0, *map(len, texts)])
    return [text[: max(0, size - before)] for text, before in zip(texts, sizes, strict=False)]


@pytest.fixture(scope="module")
def kinds():
    """English manual pages, Python and C++, each in two halves of other files."""
    pages = Path(tokenry.data.manpages.__file__).parent / "manpages" / "manpages.jsonl"
    prose = [json.loads(line)["text"] for line in pages.read_text("utf-8").splitlines()]
    code = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:120]
    headers = sorted(Path(torch.__file__).parent.glob("include/ATen/*.h"))[:160]
    read = [[path.read_text("utf-8", "ignore") for path in files] for files in (code, headers)]
    return [(texts[::2], texts[1::2]) for texts in (prose, *read)]


@pytest.fixture(scope="module")
def made(kinds):
    """A vocabulary of a known mixture, its training texts by kind, and other texts of each."""
    training = [
        cut(own, int(300_000 * share)) for share, (own, _) in zip(SHARES, kinds, strict=True)
    ]
    vocab = learned(chain.from_iterable(training), 456)
    return vocab, training, [cut(other, 300_000) for _, other in kinds]


def true_shares(vocab, training):
    """Of pairs, as alpha counts them."""
    words = [usage_of(vocab, texts, "x").words for texts in training]
    pairs = [sum((len(word) - 1) * count for word, count in one.items()) for one in words]
    return np.array(pairs) / sum(pairs)


def found(vocab, usage, what="pairs", **settings):
    figures = DataMixture(**{"merges": 200, "resamples": 0, **settings}).judge(vocab, usage).figures
    return np.array([figures[f"{what}/{one.category}"].value for one in usage])


def every_row(again, totals, merges):
    """A row per merge and pair: the place of the merge, that of the pair, and shares."""
    rows, merge, names, missing = [], 0, {}, []
    for place, (left, right, new) in enumerate(merges):
        shares = dict(zip(again.pairs, again.counts / totals, strict=True))
        chosen = shares.get((left, right))
        if chosen is not None and chosen.any():
            for pair, share in shares.items():
                if pair != (left, right) and share.any():
                    rows.append((merge, names.setdefault(pair, len(names)), chosen - share))
            merge += 1
        else:
            missing.append(place)
        again.merge(left, right, new)
    return rows, merge, names, missing


def test_program_is_the_dense_one():
    """Every row of every merge and pair at once, with scipy, on counts that fit no mixture."""
    draw = np.random.default_rng(0)
    words = [draw.integers(0, 6, draw.integers(2, 7)).tolist() for _ in range(60)]
    merges = [(0, 1, 6), (2, 3, 7), (6, 2, 8), (4, 4, 9), (5, 0, 10), (9, 5, 11), (99, 99, 100)]
    counts = draw.integers(0, 9, (3, 60)).astype(float)
    replay = Replay(words, counts)
    totals = replay.counts.sum(0)
    seen = history(replay, merges)
    program = MixtureProgram(seen.weighed(np.diag(1 / totals)))
    solved = program.solve()

    rows, merge, names, missing = every_row(Replay(words, counts), totals, merges)
    width = 3 + merge + len(names)
    table = np.zeros((len(rows), width))
    for row, (at, pair, share) in zip(table, rows, strict=True):
        row[:3], row[3 + at], row[3 + merge + pair] = share, 1, 1
    cost = np.append(np.zeros(3), np.ones(width - 3))
    one = np.append(np.ones(3), np.zeros(width - 3))[None]
    dense = linprog(cost, A_ub=-table, b_ub=np.zeros(len(rows)), A_eq=one, b_eq=[1])
    assert dense.fun > 1e-3
    assert solved.slack == pytest.approx(dense.fun, rel=1e-5)
    assert list(seen.missing) == missing
    assert 6 in missing
    optimal = program.optimal()
    for kind in range(3):
        for sign, end in ((1, optimal[2 * kind, kind]), (-1, optimal[2 * kind + 1, kind])):
            goal = np.zeros(width)
            goal[kind] = sign
            best = linprog(
                goal,
                A_ub=np.vstack([-table, cost]),
                b_ub=np.append(np.zeros(len(rows)), dense.fun * (1 + 1e-6)),
                A_eq=one,
                b_eq=[1],
            )
            assert end == pytest.approx(sign * best.fun, abs=1e-3)


def test_the_solver_says_nothing():
    """Standard output is for what a command prints, such as JSON; banners come once a process."""
    code = (
        "import numpy as np; from tokenry.ops.merges import Replay\n"
        "from tokenry.ops.mixture import MixtureProgram, history\n"
        "seen = history(Replay([[0, 1, 0, 1]], np.ones((2, 1))), [(0, 1, 2)])\n"
        "MixtureProgram(seen.weighed(np.eye(2))).solve()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout + done.stderr


def test_mixture_of_its_own_text_is_found_exactly(made):
    vocab, training, _ = made
    usage = [usage_of(vocab, texts, name) for texts, name in zip(training, NAMES, strict=True)]
    findings = DataMixture(merges=200, resamples=0).judge(vocab, usage)
    assert findings.figures["slack"].value < 1e-9
    assert found(vocab, usage) == pytest.approx(true_shares(vocab, training), abs=1e-3)
    sizes = np.array([one.size for one in usage])
    assert found(vocab, usage, "bytes") == pytest.approx(sizes / sizes.sum(), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_claim_mixture_of_other_texts_is_found(seed):
    """Names of languages and countries in six languages; other names than those trained on."""
    pytest.importorskip("pycountry")
    languages, source = ("de", "fr", "pl", "ru", "sv", "tr"), random.Random(seed)
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(languages)))
    training, usage = [], []
    for language, share in zip(languages, shares, strict=True):
        words = [f"{name}\n" for _, name in names(language)]
        source.shuffle(words)
        training.append(cut(words[::2], int(60_000 * share)))
        usage.append((words[1::2], language))
    vocab = learned(chain.from_iterable(training), 256 + 300)
    true = true_shares(vocab, training)
    there = found(vocab, [usage_of(vocab, *one) for one in usage], merges=300)
    error, guess = ((there - true) ** 2).mean(), ((1 / 6 - true) ** 2).mean()
    print(f"{error:.1e} against {guess:.1e}")
    assert 50 * error < guess


def test_interval_holds_the_finding_and_needs_parts(made):
    vocab, _, others = made
    parts, whole = (
        [usage_of(vocab, texts, name, parts) for texts, name in zip(others, NAMES, strict=True)]
        for parts in (4, 1)
    )
    findings = DataMixture(merges=60, resamples=5).judge(vocab, parts)
    for name, figure in findings.figures.items():
        if name != "slack":
            assert figure.low <= figure.value <= figure.high
            assert figure.high - figure.low > 1e-3
    assert not any("one part" in note for note in findings.notes)
    notes = DataMixture(merges=60, resamples=5).judge(vocab, whole).notes
    assert any("one part" in note for note in notes)


def test_order_and_copies_of_categories_change_nothing(made):
    vocab, _, others = made
    usage = [usage_of(vocab, texts, name) for texts, name in zip(others, NAMES, strict=True)]
    judge = DataMixture(merges=100, resamples=0)
    slack = judge.judge(vocab, usage).figures["slack"].value
    first = found(vocab, usage, merges=100)
    assert found(vocab, usage[::-1], merges=100)[::-1] == pytest.approx(first, abs=1e-4)
    twice = [*usage, replace(usage[0], category="again")]
    assert judge.judge(vocab, twice).figures["slack"].value == pytest.approx(slack, rel=1e-5)
    shares = found(vocab, twice, merges=100)
    assert shares[0] + shares[3] == pytest.approx(first[0], abs=1e-3)
    assert judge.judge(vocab, usage[1:]).figures["slack"].value > 1.5 * slack


def test_merges_that_occur_nowhere_are_listed(made):
    vocab, _training, others = made
    spelled = [b"".join(vocab.spelled[part] for part in merge[:2]) for merge in vocab.merges]
    gone = next(place for place, word in enumerate(spelled) if word.isalpha())
    usage = [
        usage_of(vocab, [text.replace(spelled[gone].decode(), "#") for text in texts], name)
        for texts, name in zip(others, NAMES, strict=True)
    ]
    missing = DataMixture(merges=100, resamples=0).judge(vocab, usage).tables["missing merges"]
    left, right, _ = vocab.merges[gone]
    assert {"left": vocab.pieces[left], "right": vocab.pieces[right]} in missing


def test_merges_put_in_by_hand_are_dropped(made):
    vocab, _, others = made
    usage = [usage_of(vocab, texts, name) for texts, name in zip(others, NAMES, strict=True)]
    token = int(vocab.merges[5, 2])
    findings = DataMixture(merges=50, resamples=0).judge(
        replace(vocab, added=frozenset({token})), usage
    )
    assert findings.tables["put in by hand"] == [{"token": vocab.pieces[token]}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, u: (replace(v, merges=v.merges[:0]), u), "has no merges"),
        (lambda v, u: (v, u[:1]), "give texts of two or more"),
        (lambda v, u: (v, [u[0], u[0]]), "each once"),
        (
            lambda v, u: (v, [u[0], replace(u[1], words={})]),
            "'python'.*give it text, or leave it out",
        ),
        (
            lambda v, u: (v, [replace(u[0], words={b"q@": 1}), replace(u[1], words={b"~@": 1})]),
            "none of the .* merges",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(made, change, message):
    vocab, _, others = made
    usage = [usage_of(vocab, texts[:3], name) for texts, name in zip(others, NAMES, strict=True)]
    vocab, usage = change(vocab, usage)
    with pytest.raises(UsageError, match=message):
        DataMixture(merges=50).judge(vocab, usage)
