"""Help, exit codes, and the commands that list, show and check."""

import json
import time
from pathlib import Path

import pytest

from tokenry import catalog, zoo
from tokenry.method import settings

COMMANDS = ["compare", "list", "show", "report", "zoo", "probe", "check", "audit", "find"]
COMMANDS += ["evaluate"]

MINE = '''
from dataclasses import dataclass
from typing import ClassVar, final

from tokenry.card import Card
from tokenry.method import Method


@final
@dataclass(frozen=True, kw_only=True)
class {name}(Method):
    """{summary}"""

    card: ClassVar[Card] = Card(
        slug="mine", name="M", title="T", summary="S", family="vision", have="h", want="w", dial="d"
    )
'''


def test_commands_end_with_their_codes_in_a_process(process):
    for words, code in ((["--help"], 0), (["list"], 0), (["lisst"], 2), (["show", "tomme"], 2)):
        began = time.perf_counter()
        done = process(*words)
        print(words, f"{time.perf_counter() - began:.2f} s")
        assert done.code == code
        assert "Traceback" not in done.err


def test_help_names_every_command(tokenry):
    for words in ((), ("--help",)):
        done = tokenry(*words)
        assert done.code == 0
        assert all(f" {command} " in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example_and_every_option_a_text(command, tokenry):
    done = tokenry(command, "--help")
    assert done.code == 0
    assert f"tokenry {command}" in done.out.split("Usage:")[1].split("\n", 1)[1]
    assert ":param" not in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lisst",), 'Did you mean "list"|Unknown command'),
        (("list", "--famly", "vision"), "--famly"),
        (("list", "--family", "visions"), "visions"),
        (("show",), "METHOD"),
        (("show", "tomme"), "nearest: tome"),
        (("show", "tome", "pitome"), "pitome"),
        (("compare", "zoo:x", "--methods", "tome"), "--data"),
        (("check", "json:dumps"), "not a subclass"),
        (("check", "no.such:Thing"), "cannot be imported"),
    ],
)
def test_wrong_usage_ends_with_two_and_one_line(words, message, tokenry):
    import re

    done = tokenry(*words)
    assert (done.code, done.out) == (2, "")
    assert re.search(message, done.err)
    assert done.err.startswith("tokenry: ")
    assert "Traceback" not in done.err


def test_version(tokenry):
    import tokenry as package

    assert tokenry("--version").out.strip() == package.__version__


def test_list_names_every_method(tokenry):
    done = tokenry("list")
    assert done.code == 0
    assert all(name in done.out for name in catalog.names())


def test_list_for_machines_and_by_family(tokenry):
    assert [card["slug"] for card in json.loads(tokenry("list", "--json").out)] == [
        card["slug"] for card in catalog.cards()
    ]
    assert json.loads(tokenry("list", "--family", "cache", "--json").out) == [
        card for card in catalog.cards() if card["family"] == "cache"
    ]


def test_a_family_without_methods_is_said_to_have_none(tokenry):
    done = tokenry("list", "--family", "codes")
    assert done.code == 0
    assert "No method is of the family codes yet; there are some of vision, cache," in done.out
    assert tokenry("list", "--family", "codes", "--json").out == "[]\n"


def test_show_takes_a_name_with_settings(tokenry):
    assert tokenry("show", "tome(schedule=ratio)").out == tokenry("show", "tome").out
    assert "parentheses do not match" in tokenry("show", "tome(schedule").err


def test_list_holds_methods_of_installed_packages(tokenry, monkeypatch):
    package = Path(__file__).parents[1] / "common" / "example_package"
    monkeypatch.syspath_prepend(str(package))
    assert "acme-shortest" in tokenry("list").out
    assert json.loads(tokenry("list", "--json").out)[-1]["slug"] == "acme-shortest"


@pytest.mark.parametrize("slug", catalog.names())
def test_show_tells_all_of_a_card(slug, tokenry):
    done, card = tokenry("show", slug), catalog.card(slug)
    assert done.code == 0
    told = [card["title"], card["summary"], card["dial"], *card["differs"]]
    told += [claim["paper"] for claim in card["claims"]]
    assert all(text in done.out for text in told)
    assert all(setting.name in done.out for setting in settings(catalog.find(slug)))
    if card["arxiv"]:
        assert f"https://arxiv.org/abs/{card['arxiv']}" in done.out


def test_show_for_machines(tokenry):
    found = json.loads(tokenry("show", "pitome", "--json").out)
    (margin,) = [setting for setting in found["settings"] if setting["name"] == "margin"]
    assert margin["allowed"] == "float in [0, 1]"
    assert found["arxiv"] == "2405.16148"


def test_zoo_lists_every_model_and_tokenizer(tokenry):
    done = tokenry("zoo")
    assert done.code == 0
    every = [*zoo.models(), *zoo.tokenizers()]
    assert all(f"zoo:{one.name}" in done.out for one in every)
    found = json.loads(tokenry("zoo", "--json").out)
    assert [one["name"] for one in found] == [one.name for one in every]
    kinds = {one["name"]: one["kind"] for one in found}
    assert (kinds["smollm2-135m"], kinds["gpt-2"]) == ("causal-lm", "tokenizer")


def test_zoo_gives_the_line_that_installs_a_missing_model(tokenry, monkeypatch):
    from tokenry.errors import MissingExtraError

    def missing(self):
        raise MissingExtraError("x", "y")

    monkeypatch.setattr(zoo.ZooModel, "locate", missing)
    out = tokenry("zoo").out
    assert all(model.install in out for model in zoo.models())
    assert not json.loads(tokenry("zoo", "--json").out)[0]["installed"]


def test_check_finds_a_class_in_the_current_folder(tokenry, tmp_path):
    sound = MINE.format(name="Sound", summary="Do nothing.")
    (tmp_path / "mine_for_check.py").write_text(sound + MINE.format(name="Dumb", summary="nothing"))
    done = tokenry("check", "mine_for_check:Sound", "--json")
    assert done.code == 0
    assert {result["outcome"] for result in json.loads(done.out)} == {"passed"}
    done = tokenry("check", "mine_for_check:Dumb")
    assert done.code == 1
    assert "the docstring does not begin with one sentence" in " ".join(done.out.split())


def test_check_tries_everything_on_a_method_of_ours(process):
    done = process("check", "tome", "--json")
    results = json.loads(done.out)
    assert [result for result in results if result["outcome"] != "passed"] == []
    assert done.code == 0
    assert "compile" in {result["name"] for result in results}
