"""Every command that takes a model's name, with one that nobody has and no network."""

import pytest

NAME = "wrong/name"
COMMANDS = (
    f"index notes --out made --encoder {NAME}",
    f"chunks notes --encoder {NAME} --out made.html",
    f"compare {NAME} --data notes --methods bm25 --folder made --out made.html",
    f"probe {NAME} verbatim-memory",
    f"audit {NAME} --text notes --out made.html",
    f"transplant {NAME} {NAME} --method fvt --text notes --out made",
    f"tune t.csv --left a --right b --encoder {NAME} --out made",
    f"tune-classifier t.csv --left a --label b --classifier {NAME} --out made",
    f"classify-pairs t.csv --left a --right b --classifier {NAME} --out made.csv",
    f"link t.csv t.csv --on a --method linktransformer --encoder {NAME} --out made.csv",
    f"transform-rows t.csv --on a --referee {NAME} --out made.csv",
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_it_is_told_at_once_and_nothing_is_left(tokenry, tmp_path, silent_hub, command):
    (tmp_path / "notes").mkdir()
    for name in "abcdef":
        text = f"# Of {name}\n\nthe cat {name} sat on the mat\n\n# More of {name}\n\na dog barked\n"
        (tmp_path / "notes" / f"{name}.md").write_text(text)
    rows = [f"name{i},{('yes', 'no')[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    before = sorted(tmp_path.rglob("*"))
    done = tokenry(*command.split())
    assert (done.code, done.out) == (2, "")
    assert len(silent_hub) == 1
    assert f"{NAME!r} cannot be loaded; tried a local folder" in done.err
    assert "zoo:minilm-l6" in done.err
    assert sorted(tmp_path.rglob("*")) == before
