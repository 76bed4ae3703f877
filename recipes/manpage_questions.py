"""Questions with exact answers about a manual page, made by rule; used by `manpage_data.py`.

A question is kept only if its answer follows from the page alone: what the question quotes stands
in the page exactly once, and no other question of the page has the same answer.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PER_PAGE = 6


class Question(NamedTuple):
    """A question, how its reply begins, every spelling of its one answer, and how it was made."""

    kind: str
    question: str
    answer_prefix: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A term of a definition list and the text below it."""

    section: str
    heads: tuple[str, ...]  # the terms: several spellings of one thing
    body: str

    @property
    def sentence(self) -> str:
        """The first sentence of the text, or all of it when short and without a full stop."""
        found = re.match(r"(.{20,140}?[^.]\.)(?= [A-Z]|$)", self.body)
        if found:
            return found[1]
        return self.body if 20 <= len(self.body) <= 140 and "." not in self.body else ""


class Option(NamedTuple):
    """One spelling of an option and its argument, if it takes one."""

    name: str
    argument: str
    spelling: str


def indent(line: str) -> int:
    """Count the spaces before a line."""
    return len(line) - len(line.lstrip())


TERM = re.compile(r"(-{1,2}[\w?#].*?|[A-Z][A-Z0-9_]{3,}|[~/][\w./~-]{4,})(?: {2,}(\S.*))?")


def entries(text: str) -> Iterator[Entry]:
    """Find the terms of the definition lists: options, variables, files."""
    lines = text.split("\n")
    section, i = "", 0
    while i < len(lines):
        line = lines[i]
        if line and not line.startswith(" "):
            section = line
        found = TERM.fullmatch(line.strip()) if line.startswith("  ") else None
        if found is None:
            i += 1
            continue
        depth, heads, inline = indent(line), [found[1]], found[2]
        while not inline and i + 1 < len(lines) and indent(lines[i + 1]) == depth:
            found = TERM.fullmatch(lines[i + 1].strip())
            if found is None:
                break
            heads.append(found[1])
            inline, i = found[2], i + 1
        i += 1
        body = [inline] if inline else []
        while not body and i < len(lines) and not lines[i]:
            i += 1
        while i < len(lines) and lines[i] and indent(lines[i]) > depth:
            body.append(lines[i].strip())
            i += 1
        if body:
            yield Entry(section, tuple(heads), " ".join(" ".join(body).split()))


OPTION = re.compile(r"(--?[A-Za-z0-9?][\w-]*)(?:(?: ?=| )?[<\[{]?=?([A-Za-z][\w.:/-]*)[>\]}]?)?")


def options(entry: Entry) -> tuple[Option, ...]:
    """Read an entry's terms as spellings of one option; none if any is unclear."""
    found = []
    for head in entry.heads:
        for part in re.split(r", ?| or | \| ", head):
            match = OPTION.fullmatch(part.strip().replace("(", "").replace(")", ""))
            if match is None:
                return ()
            found.append(Option(match[1], match[2] or "", part.strip()))
    return tuple(found)


def spellings(found: Sequence[Option]) -> tuple[str, ...]:
    """All ways to write an option, with and without its argument."""
    return tuple(dict.fromkeys(text for one in found for text in (one.name, one.spelling)))


def ask_pair(found: Sequence[Option]) -> Iterator[Question]:
    """From the short to the long spelling, and back."""
    short = [one for one in found if re.fullmatch(r"-\w", one.name)]
    long = [one for one in found if one.name.startswith("--")]
    if len(found) == 2 and len(short) == len(long) == 1:
        for kind, given, wanted in (("long", short, long), ("short", long, short)):
            question = f"Which {kind} option is the same as {given[0].name}?"
            prefix = f"The same as {given[0].name} is"
            yield Question(kind, question, prefix, spellings(wanted))


QUOTE = "[\"'\u2018\u2019\u201c\u201d]"
DEFAULT = re.compile(
    r"(?:[Tt]he default (?:value |setting )?is|[Dd]efaults to|\([Dd]efault:|\([Dd]efault is)"
    rf" (?:to )?{QUOTE}?([^\s,;()]+?(?: [a-z]+)?){QUOTE}?[.,;)]+(?= |$)"
)


def ask_default(entry: Entry, found: Sequence[Option]) -> Iterator[Question]:
    """The default that the option's text states, if it states one."""
    values = DEFAULT.findall(entry.body)
    if len(values) != 1 or entry.body.lower().count("default") != 1:
        return
    value, first = values[0], values[0].split()[0]
    if " " in value and not first[0].isdigit():
        return
    answers = tuple(dict.fromkeys((value, first)))
    name = found[0].name
    prefix = f"The default of {name} is"
    yield Question("default", f"What is the default of the option {name}?", prefix, answers)


def ask_option(entry: Entry, found: Sequence[Option]) -> Iterator[Question]:
    """Questions about one option."""
    yield from ask_pair(found)
    yield from ask_default(entry, found)
    names = spellings(found)
    if entry.sentence and not any(name in entry.sentence for name in names):
        question = f"Which option does this: {entry.sentence}"
        yield Question("option", question, "The option that does this is", names)
    name, argument = found[-1].name, found[-1].argument
    if len(argument) > 1 and not any(argument.lower() in one.name.lower() for one in found):
        question = f"What is the argument of the option {name} called?"
        yield Question("argument", question, f"The argument of {name} is called", (argument,))


def ask_sentence(entry: Entry) -> Iterator[Question]:
    """How the first sentence of a term's text ends."""
    words = entry.sentence.rstrip(".").split()
    begin, end = " ".join(words[:-3]), " ".join(words[-3:])
    if len(words) >= 8 and re.fullmatch(r"[\w' -]+", end) and not end.isdigit():
        question = f"Complete this sentence from the page: {begin} ..."
        yield Question("sentence", question, begin, (end,))


def ask(text: str) -> Iterator[Question]:
    """Make every question that the rules find in a page."""
    name = re.search(r"^NAME\n +(\S+?)(?:, .*)? [-\u2013] (.{15,90})$", text, re.MULTILINE)
    if name:
        question = f"What is {name[1]}, in the words of the section NAME?"
        yield Question("purpose", question, f"{name[1]} -", (name[2].strip(),))
    found = [(entry, options(entry)) for entry in entries(text)]
    times = Counter(one.name for _, spelt in found for one in spelt)
    # A page that writes both -dN and -d N leaves open what the option is called.
    times.update({name: 1 for name in times if name[2:] and f"{name[:2]} {name[2:]}" in text})
    for entry, spelt in found:
        head = entry.heads[0]
        yield from ask_sentence(entry)
        if spelt and all(times[one.name] == 1 for one in spelt):
            yield from ask_option(entry, spelt)
        elif head[0] != "-" and len(entry.heads) == 1 and entry.sentence:
            kind = "file" if head[0] in "~/" else "variable"
            if head not in entry.sentence:
                question = f"Which {kind} is this: {entry.sentence}"
                yield Question(kind, question, f"The {kind} is", (head,))


def sound(question: Question, flat: str) -> bool:
    """Whether the page alone answers: what is quoted stands once, an answer at least once."""
    quoted = question.question.partition(": ")[2].removesuffix(" ...")
    if question.kind == "sentence":
        return flat.count(quoted) == 1 and f"{quoted} {question.answers[0]}" in flat
    once = not quoted or flat.count(quoted) == 1
    return once and any(answer in flat for answer in question.answers)


def rank(*parts: str) -> bytes:
    """Order the same on every machine."""
    return hashlib.sha256(":".join(parts).encode()).digest()


def choose(page: str, text: str) -> list[Question]:
    """Keep up to PER_PAGE sound questions: kinds in turn, no answer and no question twice."""
    flat = " ".join(text.split())
    by_kind: dict[str, list[Question]] = {}
    for question in sorted(ask(text), key=lambda q: rank(page, q.question)):
        if sound(question, flat):
            by_kind.setdefault(question.kind, []).append(question)
    kinds = sorted(by_kind, key=lambda kind: (kind != "sentence", rank(page, kind)))
    turns = [
        by_kind[kind][turn]
        for turn in range(PER_PAGE)
        for kind in kinds
        if turn < len(by_kind[kind])
    ]
    kept: list[Question] = []
    taken: set[str] = set()
    for question in turns:
        if len(kept) < PER_PAGE and not taken & {question.question, *question.answers}:
            kept.append(question)
            taken |= {question.question, *question.answers}
    return kept
