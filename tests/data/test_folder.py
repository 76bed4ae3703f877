from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tokenry.data import load
from tokenry.data.folder import folder as folder_data
from tokenry.errors import DataError


def test_sub_folders_are_labels(folder):
    data = load(folder)
    assert data.name == "pets"
    assert data.source == str(folder)
    assert data.license == "not stated"
    assert data.labels == ("cat", "dog")
    assert [e.id for e in data][:2] == ["cat/0.png", "cat/1.png"]
    assert {e.split for e in data} == {None}
    assert data[0].image().mode == "RGB"


def test_a_flat_folder_has_no_labels(folder):
    data = load(str(folder / "cat"))
    assert data.labels == ()
    assert [e.label for e in data] == [None] * 3


def test_deep_folders_take_the_first_label_and_mixed_sizes_and_suffixes(tmp_path, red):
    (tmp_path / "a" / "x" / "y").mkdir(parents=True)
    red.save(tmp_path / "a" / "x" / "y" / "1.PNG")
    red.resize((40, 30)).save(tmp_path / "a" / "2.JPeG")
    red.save(tmp_path / "top.webp")
    data = load(tmp_path)
    assert [(e.id, e.label, e.image().size) for e in data] == [
        ("a/2.JPeG", "a", (40, 30)),
        ("a/x/y/1.PNG", "a", (6, 4)),
        ("top.webp", None, (6, 4)),
    ]


def _kept(root, seed):
    return {e.id for e in folder_data(root, 10**6).limit(2, seed)}


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_beside_test_are_splits(folder, tmp_path, held_out):
    for part in ("train", held_out):
        shutil.copytree(folder, tmp_path / "parts" / part)
    data = load(tmp_path / "parts")
    assert data.labels == ("cat", "dog")
    assert {(e.id.split("/")[0], e.split) for e in data} == {("train", "train"), (held_out, "test")}


def test_train_beside_other_names_is_a_label(folder):
    (folder / "cat").rename(folder / "train")
    assert load(folder).labels == ("dog", "train")
    (folder / "train").rename(folder / "test")
    (folder / "dog").rename(folder / "val")
    assert load(folder).labels == ("test", "val")


def test_hidden_and_other_files_are_left_out(folder, red):
    (folder / ".trash").mkdir()
    red.save(folder / ".trash" / "x.png")
    red.save(folder / "cat" / "._0.png")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    assert len(load(folder)) == 6


def test_empty_folder(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: is empty; give a folder with .bmp"):
        load(tmp_path)


def test_folder_without_pictures(tmp_path):
    (tmp_path / "pets.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"holds 1 files, none of them a picture.*unpack them"):
        load(tmp_path)


def test_broken_pictures_are_all_counted_and_five_named(folder):
    for i in range(7):
        (folder / "cat" / f"bad{i}.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError) as error:
        load(folder)
    text = str(error.value)
    assert f"{folder}: 7 of 13 pictures cannot be read; mend or remove them, or" in text
    assert "on_error='skip'" in text
    assert [f"bad{i}.jpg: is not a picture" in text for i in range(7)] == [True] * 5 + [False] * 2
    assert text.endswith("and 2 more")


def test_skip_warns_once_with_the_count(folder, noise):
    noise.save(folder / "cut.jpg")
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(load(folder, on_error="skip")) == 6
    assert len(caught) == 1
    assert "2 of 8 pictures cannot be read and are left out" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_skipping_everything_is_an_error(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=r"1 of 1 pictures cannot be read:\n.*a.png: is not"):
        load(tmp_path, on_error="skip")


def test_limit_comes_before_the_look(folder):
    (folder / "cat" / "bad.png").touch()
    with pytest.raises(DataError, match="1 of 7"):
        load(folder)
    lucky = [seed for seed in range(9) if "cat/bad.png" not in _kept(folder, seed)]
    assert 0 < len(lucky) < 9
    assert len(load(folder, limit=2, seed=lucky[0])) == 2


def test_animation_is_noted(tmp_path, red):
    red.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (6, 4))])
    red.save(tmp_path / "b.gif")
    first, second = load(tmp_path)
    assert first.meta == {"frames": "first of 2"}
    assert second.meta == {}
    assert first.image().getpixel((0, 0)) == (255, 0, 0)


def test_links_that_leave_are_refused(folder, tmp_path, red):
    red.save(tmp_path / "secret.png")
    (folder / "cat" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"symbolic links that leave.*cat/link.png \(1 in all\)"):
        load(folder, on_error="skip")


def test_links_to_folders_are_refused(folder):
    (folder / "cat" / "loop").symlink_to(folder)
    with pytest.raises(DataError, match=r"lead to a folder are not followed.*cat/loop"):
        load(folder)


def test_links_inside_are_followed(folder):
    (folder / "dog" / "same.png").symlink_to(folder / "cat" / "0.png")
    data = load(folder)
    assert len(data) == 7
    assert data[-1].picture.seen.digest == data[0].picture.seen.digest


def test_100_megapixels_are_bounded(tmp_path):
    Image.new("1", (10_000, 10_001)).save(tmp_path / "huge.png")
    with pytest.raises(DataError, match=r"huge.png: 10000 x 10001 is more than max_pixels=50,000,"):
        load(tmp_path)


def test_a_file_larger_than_its_pixels_could_be_is_not_read(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(500_000_000)
    with pytest.raises(DataError, match=r"sparse.png: 500,000,000 bytes is more than 50,000,000"):
        load(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png: is not a plain file"):
        load(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a file's name")
def test_names_that_are_not_utf8_become_printable(tmp_path, red):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    red.save(folder / "x.png")
    example = load(tmp_path)[0]
    assert example.label == "caf\\udce9"
    assert example.id.encode() == b"caf\\udce9/x.png"
    assert example.image().size == (6, 4)


def test_a_file_that_went_away(folder):
    data = load(folder)
    (folder / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"cat/0.png: cannot be read"):
        data[0].image()


def test_hash_is_over_bytes_and_reads_each_file_once(folder, monkeypatch):
    reads = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))
    data = load(folder)
    first = data.hash
    assert (data.hash, len(reads)) == (first, 6)
    image = Image.open(folder / "cat" / "0.png")
    image.save(folder / "cat" / "0.png", compress_level=1)
    again = load(folder)
    assert np.array_equal(np.asarray(again[0].image()), np.asarray(data[0].image()))
    assert again.hash != first


def test_hash_does_not_depend_on_where_the_folder_lies(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert load(folder).hash == load(tmp_path / "elsewhere").hash
    (folder / "cat" / "0.png").rename(folder / "cat" / "00.png")
    assert load(folder).hash != load(tmp_path / "elsewhere").hash
