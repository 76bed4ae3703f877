"""Less is better: a slow reading of the rule, and its claims."""

from __future__ import annotations

import math
import random
import re
import sysconfig
from itertools import accumulate
from pathlib import Path

import pytest

from tokenry.alphabet import LETTERS
from tokenry.data import load_text
from tokenry.vocab import Bpe, LessIsBetter
from tokenry.vocab.less_is_better import parts

RULE = {"longest": 5, "step": 0.3, "forget": 0.1, "life": 2, "gap": 2}


# --- oracle -----------------------------------------------------------------------------------


def prefixes(units, text, longest):
    """Units that begin a text, the longest first."""
    return sorted((u for u in units if len(u) <= longest and text.startswith(u)), key=len)[::-1]


def greedy(units, text, longest):
    """Every unit, or unknown character, that a text is read as, with where it ends."""
    at, found = 0, []
    while at < len(text):
        known = prefixes(units, text[at:], longest)
        at += len(known[0]) if known else 1
        found.append((at, known[0] if known else None))
    return found


def better(units, text, first, second, longest):
    """Whether reading on after the second unit is better, up to where both readings meet."""
    both = []
    for unit in (first, second):
        rest = greedy(units, text[len(unit) :], longest)
        both.append([(len(unit), unit)] + [(len(unit) + at, one) for at, one in rest])
    meet = min({at for at, _ in both[0]} & {at for at, _ in both[1]})
    costs = []
    for way in both:
        read = [one for at, one in way if at <= meet]
        known = [one for one in read if one is not None]
        costs.append((len(read) - len(known), len(known), sum(units.index(u) for u in known)))
    return costs[1] < costs[0]


def slow(documents, longest, step, forget, life, gap):
    """The lexicon after documents, every neighbour noted."""
    units, probation = sorted(set("".join(documents[0]))), {}
    for document in documents:
        noted, moves = set(), []
        for line in document:
            for candidate in candidates(units, line, probation, moves, longest, gap):
                if candidate in noted:
                    noted.remove(candidate)
                    units.append(candidate)
                else:
                    noted.add(candidate)
        settle(units, probation, moves, step)
        for unit in units[len(units) - math.ceil(forget * len(units)) :]:
            if len(unit) > 1:
                probation.setdefault(unit, life)
    return units


def candidates(units, line, probation, moves, longest, gap):
    """Read a line: what neighbours each other in it; who is to move, and who proved itself."""
    at, last, unknown = 0, None, ""
    while at < len(line):
        known = prefixes(units, line[at:], longest)
        if not known:
            unknown = unknown + line[at] if last is None else line[at]
            last, at = None, at + 1
            continue
        candidate = unknown if last is None else last + known[0]
        fits = len(candidate) <= (gap if last is None else longest)
        if candidate and fits and candidate not in units:
            yield candidate
        if len(known) == 1:
            probation.pop(known[0], None)
        elif better(units, line[at:], known[0], known[1], longest):
            moves += [(known[0], 1), (known[1], -1)]
        else:
            moves.append((known[0], -1))
            probation.pop(known[0], None)
        last, unknown, at = known[0], "", at + len(known[0])


def settle(units, probation, moves, step):
    """The end of a document: lives run out, units move."""
    for unit in list(probation):
        probation[unit] -= 1
        if not probation[unit]:
            units.remove(unit)
            del probation[unit]
    for unit, way in moves:
        place = units.index(unit) if unit in units else 0
        if not place:
            continue
        units.remove(unit)
        target = place + way * (math.floor(place * step) + 1)
        if target <= len(units) or len(unit) == 1:
            units.insert(target, unit)
        else:
            probation.pop(unit, None)


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_slow_reading(seed):
    """Documents of random letters; later ones hold letters that the first lacks."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abc d", k=draw.randint(1, 4))) for _ in range(6)]
    lines = [
        "".join(draw.choices([*words, "xy", "z"] if number > 9 else words, k=9)) + "\n"
        for number in range(60)
    ]
    rule = LessIsBetter(remember=1, lines=3, documents=20, seed=seed, **RULE)
    every = [lines[i : i + 3] for i in range(0, 60, 3)]
    order = random.Random(seed).sample(every, 20)
    assert rule.learn(["".join(lines)]) == slow(order, **RULE)


def test_the_slow_reading_notices_forgetting_and_unknown_letters():
    lines = [["abab\n"] * 2, ["abxyab\n", "abxyab\n"], *[["cd\n", "cd\n"]] * 8]
    kept = slow(lines, **{**RULE, "forget": 0})
    assert "xy" in kept
    assert "cd" in kept
    assert len(slow(lines, **{**RULE, "forget": 0.9})) < len(kept)


def test_parts_have_better_places_than_the_whole():
    places = {"of": 0, "the": 1, "ofthe": 5, "o": 2, "fthe": 9, "tof": 3, "ft": 4, "t": 6}
    assert parts("ofthe", places) == ("of", "the")
    assert parts("tof", places) == ("tof",)  # t is worse


def test_tokens_are_in_the_order_of_the_list_and_written_by_longest_prefix():
    text = "the cat sat on the mat\n" * 40
    rule = LessIsBetter(size=300, documents=5, lines=10)
    tokenizer, units = rule.train([text]), rule.learn([text])
    many = [unit.replace(" ", "Ġ").replace("\n", "Ċ") for unit in units if len(unit) > 1]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    assert tokens[1:257] == list(LETTERS)
    assert tokens[257:] == many[:43]
    expected = [one for _, one in greedy(tokens[1:], text[:23].replace(" ", "Ġ")[:22], 12)]
    assert tokenizer.encode(text[:22]).tokens == expected


def test_a_seed_decides_what_is_noted():
    texts = [example.text[:1500] for example in load_text("manpages")][:8]
    first, same, other = (
        LessIsBetter(documents=10, seed=seed, lines=20).learn(texts) for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


# --- claims -----------------------------------------------------------------------------------


def pages():
    return list(dict.fromkeys(example.text for example in load_text("manpages")))


def sentences():
    """Sentences of 3 to 12 plain words."""
    found = []
    for text in pages():
        for part in re.split(r"(?<=[.:;,])\s|\n\s*\n", text.lower()):
            words = re.findall(r"[a-z]+", part)
            if 3 <= len(words) <= 12 and " ".join(words) == " ".join(part.split()).strip(".,:;"):
                found.append(words)
    return found


def f1(units, gold):
    """Of borders between words, and of whole words, units decomposed twice."""
    places = {unit: place for place, unit in enumerate(units)}
    right = dict.fromkeys(("borders", "words"), 0)
    both = dict(right)
    for words in gold:
        text = "".join(words)
        read = [one or text[at - 1] for at, one in greedy_fast(places, text)]
        for _ in range(2):
            read = [p for unit in read for p in (parts(unit, places) if unit in places else [unit])]
        ends = [list(accumulate(map(len, way))) for way in (words, read)]
        for name, (true, seen) in {
            "borders": [set(one[:-1]) for one in ends],
            "words": [set(zip([0, *one], one, strict=False)) for one in ends],
        }.items():
            right[name] += len(true & seen)
            both[name] += len(true) + len(seen)
    return {name: 2 * right[name] / both[name] for name in right}


def greedy_fast(places, text):
    at = 0
    while at < len(text):
        end = next((e for e in range(at + 12, at, -1) if text[at:e] in places), 0)
        yield end or at + 1, text[at:end] or None
        at = end or at + 1


@pytest.mark.slow
def test_claim_words_are_found_without_spaces():
    gold = sentences()
    texts = ["".join(words) + "\n" for words in gold]
    assert len(gold) > 2000
    first, last = (
        LessIsBetter(documents=n).learn([text.removesuffix("\n") for text in texts])
        for n in (1, 400)
    )
    before, after = f1(first, gold), f1(last, gold)
    print(before, after, len(last))
    assert after["borders"] > before["borders"] + 0.2
    assert after["words"] > before["words"] + 0.25
    assert len(last) < 4000


@pytest.fixture(scope="module")
def sources():
    """Sources of Python's own library, every eighth file held out, and both vocabularies."""
    folders = ("asyncio", "email", "http", "importlib", "logging", "unittest", "xml", "json")
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    train, held = [text for i, text in enumerate(texts) if i % 8], texts[::8]
    tokenizer = LessIsBetter(documents=250, size=8000).train(train)
    return tokenizer, Bpe(size=tokenizer.get_vocab_size()).train(train), train, held


@pytest.mark.slow
def test_claim_units_hold_spaces_and_fewer_tokens_than_bpes_are_needed(sources):
    tokenizer, bpe, _, held = sources
    tokens = [token.replace("Ġ", " ") for token in tokenizer.get_vocab()]
    inside = sum(" " in token.strip() for token in tokens) / len(tokens)
    words = sum(len(bpe.pre_tokenizer.pre_tokenize_str(text)) for text in held)
    counts = [sum(len(one.encode(text).ids) for text in held) for one in (tokenizer, bpe)]
    print(len(tokens), inside, counts, words)
    assert inside > 0.1
    assert counts[0] < counts[1]


@pytest.mark.slow
def test_claim_without_forgetting_the_vocabulary_grows():
    texts = pages()[:10]
    kept, all_ = (
        len(LessIsBetter(documents=400, lines=50, forget=f).learn(texts)) for f in (1e-2, 0)
    )
    print(kept, all_)
    assert all_ > 1.15 * kept
