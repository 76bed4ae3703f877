"""What pages, help texts and messages name is there: commands, options, methods, functions."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import tokenry
from tokenry import catalog, zoo
from tokenry.cli import app
from tokenry.errors import TokenryError
from tokenry.method import settings
from tokenry.tables.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md"]
PAGES += [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "methods"]
SOURCES = sorted((ROOT / "src" / "tokenry").rglob("*.py"))
METHODS = {"method", "methods", "probe", "chunker", "chunkers", "metric", "judges", "rows"}
METHODS |= {"reducer", "like"}
"""Parameters, of commands as of functions, that take names of methods."""
PLACES = {"NAME", "SLUG", "F"}
"""Words that stand for a name."""


@cache
def code(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The blocks of a page with their languages, and the code within its lines."""
    tokens = MarkdownIt().parse(text)
    blocks = [(token.info.strip(), token.content) for token in tokens if token.type == "fence"]
    children = [child for token in tokens for child in token.children or ()]
    return blocks, [child.content for child in children if child.type == "code_inline"]


def lines(text: str) -> list[str]:
    """The whole commands of a page or a docstring."""
    blocks, _ = code(text)
    shells = [body for language, body in blocks if language in {"", "sh", "text"}]
    found = [line for body in shells for line in body.replace("\\\n", "").splitlines()]
    found += re.findall(r"Example: `(tokenry [^`]+)`", text)
    return [line.strip() for line in found if line.startswith("tokenry ")]


def docstrings(path: Path) -> list[str]:
    """The docstrings of a file's functions and classes."""
    kinds = ast.FunctionDef | ast.ClassDef
    nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)]
    return [text for node in nodes if (text := ast.get_docstring(node))]


TEXTS = {str(page.relative_to(ROOT)): [page.read_text("utf-8")] for page in PAGES}
TEXTS |= {path.name: docstrings(path) for path in SOURCES if path.stem.startswith("cli")}
COMMANDS = {name: [line for text in texts for line in lines(text)] for name, texts in TEXTS.items()}


def unknown_methods(given: Any) -> list[str]:
    """What is wrong with names of methods, joined by commas or in a list."""
    texts = [given] if isinstance(given, str) else given
    names = [one for text in texts for part in catalog.split(text) for one in stack(part)]
    found = []
    for name in names:
        try:
            catalog.make(name)
        except TokenryError as error:
            found.append(str(error))
    return found


def stack(text: str) -> list[str]:
    """The methods of a stack; a place where one stands, and a class of one's own, is none."""
    parts = catalog.split(text, "+")
    return [one for one in parts if one not in PLACES and not re.fullmatch(r"[\w.]+:\w+", one)]


def faults_of_command(line: str) -> list[str]:
    """Options, methods and models in a command that are not there."""
    words = shlex.split(line, comments=True)[1:]
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    given = dict(bound.arguments)
    for value in bound.arguments.values():
        given |= vars(value) if is_dataclass(value) else {}
    known = {one.name for one in (*zoo.models(), *zoo.tokenizers())} | PLACES
    found = [f"zoo:{name} is not there" for name in re.findall(r"zoo:([\w-]+)", line)]
    found = [one for one in found if one.removeprefix("zoo:").split()[0] not in known]
    for name in METHODS & set(given):
        found += unknown_methods(given[name] or [])
    return found


@pytest.mark.parametrize("name", [name for name, found in COMMANDS.items() if found])
def test_commands_use_what_there_is(name):
    assert {line: faults for line in COMMANDS[name] if (faults := faults_of_command(line))} == {}


def mentioned(text: str) -> list[str]:
    """Commands, whole or not, that stand between back quotes."""
    return re.findall(r"`tokenry ((?:[a-z][\w-]*)(?: [^`{}]*)?)`", text.replace("\\`", "`"))


def faults_of_mention(line: str) -> list[str]:
    """A command, or options of it, that are not there."""
    words, here = line.split(), app
    if words[0] not in here:
        return [f"tokenry {words[0]}"]
    while words and words[0] in here:
        here = here[words.pop(0)]
    arguments = here.assemble_argument_collection() if here.default_command else ()
    options = {name for one in arguments for name in one.names}
    used = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
    return sorted(used - options - {"--help"})


def test_commands_that_are_mentioned_exist():
    texts = {page: page.read_text("utf-8") for page in (*PAGES, *SOURCES)}
    found = [(path.name, one) for path, text in texts.items() for one in mentioned(text)]
    assert len(found) > 50
    assert [(name, one) for name, one in found if faults_of_mention(one)] == []


def test_extras_that_are_named_exist():
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    texts = [path.read_text("utf-8") for path in (*PAGES, *SOURCES)]
    named_here = {name for text in texts for name in re.findall(r"tokenry\[(\w+)\]", text)}
    assert "linking" in named_here
    assert [name for name in named_here if f"\n{name} = [" not in pyproject] == []


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs/reference/api.md").read_text("utf-8")
    homes = {name: home.replace(":", ".") for name, home in tokenry._HOME.items()}
    ways = {name: (f":: tokenry.{name}\n", f":: {home}\n") for name, home in homes.items()}
    lacking = [name for name, both in ways.items() if not any(way in page for way in both)]
    assert lacking == ["TokenryError"]  # it stands there with all of its module


def resolved(dotted: str) -> Any:
    """What a name such as `tokenry.plugs.attach.attach` stands for."""
    parts, found = dotted.split("."), tokenry
    for count, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(".".join(parts[:count]))
    return found


def named(node: ast.AST) -> str:
    """`a.b.c` as text; nothing where it is no such name."""
    if isinstance(node, ast.Attribute):
        before = named(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.AST) -> dict[str, Any]:
    """What a program takes from tokenry, by the names that it has there."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tokenry"):
            for one in node.names:
                found[one.asname or one.name] = resolved(f"{node.module}.{one.name}")
    return found


def faults_of_call(call: ast.Call, called: Any) -> list[str]:
    """Keywords that a function does not take, and methods that are not there."""
    parameters = inspect.signature(called).parameters
    given = {one.arg: one.value for one in call.keywords if one.arg}
    further = given.keys() - parameters
    given |= dict(zip(parameters, call.args, strict=False))
    names = [name for one in METHODS & set(given) for name in texts_in(given[one])]
    rest = [one for one in parameters.values() if one.kind is one.VAR_KEYWORD]
    if rest and "Settings" in str(rest[0].annotation):
        further -= set(Settings.__annotations__)
    elif rest:
        known = [catalog.parse(name)[0] for name in names if not unknown_methods(name)]
        own = {setting.name for slug in known for setting in settings(catalog.find(slug))}
        further = further - own if own else set()
    return [*sorted(further), *unknown_methods(names)]


def texts_in(node: ast.AST) -> list[str]:
    """The literal texts of a value, a list or a list of lists; none that is filled in later."""
    constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
    return [one for one in constants if isinstance(one, str) and "%" not in one]


def faults_of_program(source: str, more: dict[str, Any]) -> list[str]:
    """What a program takes from tokenry that is not there."""
    tree = ast.parse(source)
    here = {**more, **imported(tree)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = named(node.func)
        called = resolved(name) if name.startswith("tokenry.") else here.get(name)
        if inspect.isroutine(called) or inspect.isclass(called):
            found += [f"{name}: {fault}" for fault in faults_of_call(node, called)]
    return found


def programs(text: str) -> list[str]:
    """The Python of a page: its blocks, those that are not run, and calls within lines."""
    blocks, inline = code(text)
    found = [body for language, body in blocks if language == "python"]
    maybe = [body for language, body in blocks if language == "text" and "tokenry" in body]
    maybe += [one.replace("=,", "=...,").replace("=)", "=...)") for one in inline if "(" in one]
    return found + [one for one in maybe if "tokenry" in one and parses(one)]


def parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_uses_what_there_is(page):
    text = page.read_text("utf-8")
    blocks, inline = code(text)
    for part in (*inline, *(body for _, body in blocks)):
        for dotted in re.findall(r"(?<![\w./-])tokenry(?:\.[A-Za-z]\w*)+(?![\w/])", part):
            resolved(dotted)
    here: dict[str, Any] = {}
    for source in programs(text):
        here |= imported(ast.parse(source))
        assert faults_of_program(source, here) == []


@pytest.mark.parametrize(
    "source",
    [
        "tokenry.attach(model, 'pitom')",
        "tokenry.compare(model, ['tome(schedul=ratio)'], data)",
        "tokenry.link(left, right, treshold=0.5)",
        "tokenry.attach(model, 'tome', kep=0.5)",
        "from tokenry.plugs.cutting import cut as c\nc(texts, 'fixed-chunks', encodr=encoder)",
    ],
)
def test_what_is_not_there_is_found(source):
    assert len(faults_of_program(source, {})) == 1


@pytest.mark.parametrize("line", ["lst", "link --treshold 1", "tokenizer --x"])
def test_commands_that_are_not_there_are_found(line):
    assert faults_of_mention(line)
