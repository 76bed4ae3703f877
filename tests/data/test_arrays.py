from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tokenry.data import load
from tokenry.errors import DataError


def batch(n=4, shape=(5, 6, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def test_images_arrays_and_tensors_agree():
    pixels = batch(2)
    chw = torch.from_numpy(np.moveaxis(pixels, -1, 1).copy())
    sources = [
        list(pixels),
        [Image.fromarray(p) for p in pixels],
        list(chw),
        list(chw / 255),
        tuple(torch.from_numpy(pixels)),
        list((chw / 255).requires_grad_()),
    ]
    loaded = [load(source) for source in sources]
    assert len({data.hash for data in loaded}) == 1
    assert [e.id for e in loaded[0]] == ["0", "1"]
    assert np.array_equal(np.asarray(loaded[2][1].image()), pixels[1])
    assert (loaded[0].name, loaded[0].source, loaded[0].labels) == ("pictures", "memory", ())


def test_half_precision_tensors():
    image = load([torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16)])[0].image()
    assert image.getpixel((0, 0)) == (128, 128, 128)


def test_pairs_have_labels(red):
    data = load([(red, "red"), (np.zeros((2, 2), np.uint8), np.int64(3)), (red, None), red])
    assert [e.label for e in data] == ["red", "3", None, None]


def test_empty_list():
    with pytest.raises(DataError, match="the list holds no pictures"):
        load([])


@pytest.mark.parametrize("item", ["cat.png", 3, None, ("cat.png", "cat")])
def test_other_items(red, item):
    with pytest.raises(DataError, match=r"picture 1 of the list: is .*; give a Pillow image"):
        load([red, item])


def test_other_labels(red):
    with pytest.raises(DataError, match="picture 0 of the list: label is list; give text or"):
        load([(red, ["a"])])


def test_nan_tensor_is_named():
    bad = torch.zeros(3, 4, 4)
    bad[0, 1, 2] = torch.nan
    with pytest.raises(DataError, match=r"1 of 2 pictures.*\n  picture 1 of the list: holds NaN"):
        load([torch.zeros(3, 4, 4), bad])


def test_broken_pillow_image_is_found(noise):
    out = io.BytesIO()
    noise.save(out, "PNG")
    with pytest.raises(DataError, match="picture 0 of the list: is broken or cut short"):
        load([Image.open(io.BytesIO(out.getvalue()[:2000]))])


def test_large_pillow_image(red):
    with pytest.raises(DataError, match="6 x 4 is more than max_pixels=20"):
        load([red], max_pixels=20)


def test_npz_with_train_and_test(tmp_path):
    np.savez(
        tmp_path / "cifar.npz",
        x_train=batch(4),
        y_train=np.array([0, 1, 1, 0]),
        x_test=batch(2),
        y_test=np.array([[1], [0]]),
        classes=np.array(["cat", "dog"]),
    )
    data = load(tmp_path / "cifar.npz")
    assert (data.name, data.labels) == ("cifar", ("cat", "dog"))
    assert [(e.id, e.label, e.split) for e in data][3:5] == [
        ("train/3", "cat", "train"),
        ("test/0", "dog", "test"),
    ]
    assert np.array_equal(np.asarray(data[2].image()), batch(4)[2])


def test_npz_with_images(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=batch(3, (4, 4)), labels=np.array([5, 6, 7]))
    assert [e.label for e in load(tmp_path / "a.npz")] == ["5", "6", "7"]
    np.savez(tmp_path / "b.npz", images=batch(3), labels=np.array(["x", "y", "x"]))
    assert load(tmp_path / "b.npz").labels == ("x", "y")
    np.savez(tmp_path / "c.npz", images=batch(3))
    assert load(tmp_path / "c.npz").labels == ()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": batch()}, "holds nothing; give images"),
        ({"images": batch(0)}, "holds images; give images .and labels."),
        ({"images": batch(4), "labels": np.arange(3)}, "labels has 3 labels for 4 pictures"),
        ({"images": batch(2), "labels": np.zeros(2)}, "labels is float64; give whole numbers"),
        ({"images": np.array(3)}, "images is one value"),
        (
            {"images": batch(1), "labels": np.array([2]), "classes": np.array(["a"])},
            "labels points outside the 1 classes",
        ),
        ({"images": np.array([{}])}, "cannot be read as .npz .*pickle"),
    ],
)
def test_wrong_npz(tmp_path, arrays, message):
    path = tmp_path / "w.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        load(path)


def test_npz_that_is_no_archive(tmp_path):
    (tmp_path / "w.npz").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"w.npz: cannot be read as .npz"):
        load(tmp_path / "w.npz")


def test_npz_bomb_is_not_unpacked(tmp_path, monkeypatch):
    from tokenry.data import arrays

    monkeypatch.setattr(arrays, "MAX_NPZ_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(100_000))
    with pytest.raises(DataError, match="unpacks to 100,000 bytes, over 1,000; split it"):
        load(tmp_path / "w.npz")
