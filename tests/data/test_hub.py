from __future__ import annotations

import datasets
import numpy as np
import pytest

from tokenry.data import load
from tokenry.errors import DataError, UnknownNameError, UsageError


@pytest.fixture
def pets(noise, red):
    kinds = datasets.ClassLabel(names=["cat", "dog"])
    features = {"img": datasets.Image(), "kind": kinds, "note": datasets.Value("string")}
    rows = {"img": [noise, red, noise], "kind": [1, 0, 1], "note": ["a", "b", None]}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def test_dataset(pets, noise):
    data = load(pets)
    assert data.labels == ("cat", "dog")
    assert [(e.id, e.label) for e in data] == [("0", "dog"), ("1", "cat"), ("2", "dog")]
    assert np.array_equal(np.asarray(data[0].image()), np.asarray(noise))
    assert data[0].picture.seen.digest == data[2].picture.seen.digest
    assert data.hash == load(pets).hash


@pytest.mark.parametrize("kind", ["torch", "numpy", "pandas"])
def test_format_of_the_dataset_does_not_matter(pets, kind):
    assert load(pets.with_format(kind)).hash == load(pets).hash


def test_columns(pets):
    assert [e.label for e in load(pets, label_column="note")] == ["a", "b", None]
    two = pets.add_column("other", [1, 2, 3]).rename_column("img", "photo")
    assert len(load(two, path_column="photo")) == 3
    with pytest.raises(UnknownNameError, match="column 'imgs' is unknown; nearest: img"):
        load(pets, path_column="imgs")
    with pytest.raises(DataError, match=r"column 'note' does not hold images.*columns are img"):
        load(pets, path_column="note")
    with pytest.raises(DataError, match="its image columns are none"):
        load(pets.remove_columns("img"))


def test_files_and_missing_cells(folder, tmp_path):
    good = str(folder / "cat" / "0.png")
    rows = {"image": [good, None, str(tmp_path / "none.png")], "split": [1, 2, 3]}
    kinds = datasets.Features({"image": datasets.Image(), "split": datasets.Value("int64")})
    data = datasets.Dataset.from_dict(rows, features=kinds)
    with pytest.raises(DataError) as error:
        load(data)
    assert "row 1 of dataset: has no picture" in str(error.value)
    assert "row 2 of dataset: cannot be read" in str(error.value)
    with pytest.warns(UserWarning, match="2 of 3"):
        assert [e.label for e in load(data, on_error="skip")] == [None]


def test_split_of_a_part(pets):
    part = datasets.Dataset.from_dict(pets[:], features=pets.features, split="validation")
    assert {e.split for e in load(part)} == {"test"}


def test_other_kinds_of_datasets(pets):
    with pytest.raises(UsageError, match="Of a DatasetDict give one part"):
        load(datasets.DatasetDict({"train": pets}))
