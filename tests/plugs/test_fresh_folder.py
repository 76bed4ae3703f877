"""A folder is new, and whole or not there."""

from __future__ import annotations

import pytest

from tokenry.errors import UsageError
from tokenry.plugs.fresh_folder import fresh_folder, whole


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "file").write_text("mine")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match=r"tune: .* holds something; give a new folder"):
            fresh_folder("tune", taken)
    (tmp_path / "empty").mkdir()
    assert fresh_folder("tune", str(tmp_path / "empty")) == tmp_path / "empty"


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_there_when_all_was_written(tmp_path, there, monkeypatch):
    folder = tmp_path / "a" / "b"
    if there:
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
    with whole(fresh_folder("tune", "." if there else folder)) as place:
        place.mkdir()
        (place / "weights").write_text("1")
    assert [path.name for path in folder.iterdir()] == ["weights"]
    assert list(folder.parent.iterdir()) == [folder]


def failing(folder):
    with whole(folder) as place:
        place.mkdir()
        raise OSError("full")


def test_nothing_is_left_of_what_failed(tmp_path):
    with pytest.raises(OSError, match="full"):
        failing(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
