"""Every code block of the README and the documentation is run, or at least understood."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "AGENTS.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent.name not in {"methods"}),
]
LANGUAGES = {"python", "sh", "toml", "text"}


def fences(page: Path) -> list[tuple[str, str]]:
    """Language and content of each code block of a page; Sphinx's directives are none."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    found = [(token.info.strip(), token.content) for token in tokens if token.type == "fence"]
    return [(language, content) for language, content in found if not language.startswith("{")]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [content for name, content in fences(page) if name == language]


def marked(page: Path) -> object:
    """A page as a parameter; slow when its code needs a real model."""
    slow = any("zoo:" in body for body in blocks(page, "python"))
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


COMMANDS = [
    pytest.param(line.partition("#")[0].strip(), id=f"{page.stem}: {line.strip()[:60]}")
    for page in PAGES
    for body in blocks(page, "sh")
    for line in body.replace("\\\n", "").splitlines()
    if line.strip()
]


@pytest.fixture
def reader(tmp_path):
    """A folder like a reader's, with a few pictures of two kinds."""
    import tokenry.data

    for example in tokenry.data.load("emoji", limit=12):
        file = tmp_path / "pictures" / f"{example.id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        example.image().save(file)
    return tmp_path


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if blocks(page, "python")])
def test_a_reader_can_paste_the_whole_page(page, reader, program):
    done = program("\n\n".join(blocks(page, "python")), reader)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("page", "name", "some"),
    [("own-method", "Longest", {"padding", "compile"}), ("own-linker", "CommonWords", {"ties"})],
)
def test_the_method_of_a_how_to_passes_every_check(page, name, some, tmp_path, program):
    body = blocks(ROOT / "docs" / "how-to" / f"{page}.md", "python")[0]
    (tmp_path / "mine.py").write_text(body, encoding="utf-8")
    check = f"from tokenry.cli import main; main(['check', 'mine:{name}', '--json'])"
    found = json.loads(program(check, tmp_path).out)
    assert some <= {result["name"] for result in found}
    assert [result for result in found if result["outcome"] != "passed"] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    program, *arguments = shlex.split(command)
    if program == "tokenry":
        from tokenry.cli import app

        app.parse_args(arguments, exit_on_error=False, print_error=False)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert [a for a in arguments if f"\n{a}:" not in makefile] == []
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        assert (ROOT / get_args_parser().parse_args(arguments).training_script).is_file()
    else:
        assert (program, arguments[0]) == ("pip", "install")
        wanted = [argument for argument in arguments[1:] if not argument.startswith("-")]
        assert [w for w in wanted if not is_installable(w)] == []


def is_installable(name: str) -> bool:
    """Whether `pip install name` means this package with a real extra, or a zoo model's."""
    from tokenry.zoo import models

    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if match := re.fullmatch(r"tokenry\[(\w+)\]", name):
        return f"\n{match[1]} = [" in pyproject
    return name == "tokenry" or name in {model.package for model in models()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_names_a_language_that_is_checked(page):
    assert {language for language, _ in fences(page)} <= LANGUAGES


def test_wrong_commands_are_not_understood():
    assert not is_installable("tokenry[nothing]")
    assert not is_installable("requests")
