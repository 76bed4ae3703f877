"""Dual encoders: pictures and texts of any kind to vectors, and training on records of both."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from tokenry.errors import DataError, TokenryError, UnsupportedModelError, UsageError
from tokenry.linking import Clippings
from tokenry.method import Aids, Side
from tokenry.ops.class_batches import class_batches
from tokenry.plugs.dual_encoder import DualEncoder
from tokenry.plugs.dual_tuning import tune_dual

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
WORDS = {"vocab_size": 257, "max_position_embeddings": 32, "pad_token_id": 256}


def pixels(images, return_tensors="pt"):
    small = [np.asarray(image.resize((16, 16)), dtype=np.float32) for image in images]
    return {"pixel_values": torch.from_numpy(np.stack(small) / 127.5 - 1).permute(0, 3, 1, 2)}


def built(name, tokenizer):
    """A tiny dual encoder of that architecture."""
    import transformers

    vision = SHAPE | {"image_size": 16, "patch_size": 8}
    text = SHAPE | WORDS | {"bos_token_id": 0, "eos_token_id": 256}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "two":
            vision = transformers.ViTConfig(**vision)
            config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
                vision, transformers.BertConfig(**SHAPE, **WORDS), projection_dim=16
            )
            model = transformers.VisionTextDualEncoderModel(config)
        else:
            kind = getattr(transformers, f"{name}Config")
            more = {"projection_dim": 16} if name == "CLIP" else {}
            config = kind(vision_config=vision, text_config=text, **more)
            model = getattr(transformers, f"{name}Model")(config)
    return DualEncoder(model.eval(), tokenizer, pixels, 32)


@pytest.fixture(scope="module", params=["CLIP", "Siglip", "two"])
def encoder(request, byte_reader):
    return built(request.param, byte_reader)


@pytest.fixture(scope="module")
def byte_reader(language):
    tokenizer = language().processor
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(6)]


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(encoder, pictures):
    words = ["one", "a longer text", "one", "x" * 90, "drei"]
    for read, things in ((encoder.embed, words), (encoder.picture, pictures)):
        found = read(things)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        alone = np.concatenate([read([one]) for one in things])
        assert np.allclose(found, alone, atol=1e-4)
        assert len(read([])) == 0
    assert encoder.embed(words).shape[1] == encoder.picture(pictures).shape[1]


def test_a_picture_is_the_same_from_a_path_from_bytes_and_in_memory(encoder, pictures, tmp_path):
    buffer = io.BytesIO()
    pictures[0].save(buffer, "png")
    (tmp_path / "one.png").write_bytes(buffer.getvalue())
    ways = [pictures[0], buffer.getvalue(), tmp_path / "one.png", str(tmp_path / "one.png")]
    found = encoder.picture(ways)
    assert np.allclose(found, found[0], atol=1e-6)


@pytest.mark.parametrize("bad", [b"no picture", "nowhere.png", 7])
def test_what_is_no_picture_is_named(encoder, bad):
    with pytest.raises(DataError, match=r"picture 0|nowhere"):
        encoder.picture([bad])


def test_a_model_of_texts_alone_is_refused(byte_reader):
    with pytest.raises(UnsupportedModelError, match="has no get_image_features"):
        DualEncoder(torch.nn.Linear(2, 2), byte_reader, pixels)


def test_a_folder_is_loaded_with_its_processor(byte_reader, tmp_path, pictures):
    transformers = pytest.importorskip("transformers")
    made = built("CLIP", byte_reader)
    size = {"height": 16, "width": 16}
    shown = transformers.CLIPImageProcessor(size=size, crop_size=size)
    made.model.save_pretrained(tmp_path)
    transformers.CLIPProcessor(shown, byte_reader).save_pretrained(tmp_path)
    again = DualEncoder.load(tmp_path)
    assert again.longest == 32
    assert np.allclose(again.embed(["a", "b"]), made.embed(["a", "b"]), atol=1e-5)
    assert again.picture(pictures[:2]).shape == (2, 16)


def test_pictures_may_have_grids_of_their_own(byte_reader, pictures):
    """SigLIP 2 of variable size takes the patches of each picture, its grid and its padding."""

    def patches(images, return_tensors="pt"):
        shapes = torch.tensor([(2, 2), (2, 1)] * len(images))[: len(images)]
        counts = shapes.prod(1)
        values = pixels(images)["pixel_values"].unfold(2, 8, 8).unfold(3, 8, 8)
        values = values.permute(0, 2, 3, 4, 5, 1).reshape(len(images), 4, -1)
        real = torch.arange(4) < counts[:, None]
        made = {"pixel_values": values * real[..., None], "pixel_attention_mask": real.long()}
        return made | {"spatial_shapes": shapes, "never_asked_for": values}

    made = built("Siglip2", byte_reader)
    encoder = DualEncoder(made.model, byte_reader, patches, 32)
    found = encoder.picture(pictures[:2])
    assert found.shape == (2, 32)
    assert np.allclose(found[:1], encoder.picture(pictures[:1]), atol=1e-5)


def test_training_brings_pictures_to_their_texts(byte_reader, pictures):
    words = ["a", "b", "c", "d", "e", "f"]

    def matching(encoder):
        scores = encoder.picture(pictures) @ encoder.embed(words).T
        return float(np.mean(scores.argmax(1) == np.arange(6)))

    def trained():
        encoder = built("two", byte_reader)
        batches = class_batches(np.arange(6), 1, 6, random.Random(0))
        rule = Clippings(stage="pairs", temperature=0.05)
        records = list(zip(pictures, words, strict=True))
        told = tune_dual(encoder, records, rule, batches, steps=40, rate=3e-3, progress=False)
        assert told.losses[-1] < 0.5 * told.losses[0]
        assert not encoder.model.training
        return encoder

    first, second = trained(), trained()
    assert matching(first) == 1.0
    assert np.array_equal(first.embed(words), second.embed(words))


def test_classes_pull_their_records_together(byte_reader, pictures):
    encoder = built("two", byte_reader)
    labels, words = [0, 0, 1, 1, 2, 2], ["a", "b", "c", "d", "e", "f"]

    def spread():
        side = Side(columns={"picture": pictures, "n": words}, keys=("n",), count=6)
        aids = Aids(embed=encoder.embed, picture=encoder.picture)
        return Clippings().prepare(side, side, aids).nearest(1).right.tolist()

    batches = class_batches(np.array(labels), 2, 6, random.Random(0))
    records = list(zip(pictures, words, strict=True))
    tune_dual(encoder, records, Clippings(), batches, steps=40, labels=labels, rate=3e-3)
    assert spread() == [1, 0, 3, 2, 5, 4]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, UsageError, "steps are at least 1"),
        ({"rate": float("inf")}, UsageError, "the rate is positive"),
        ({"batches": []}, UsageError, "0 batches for 1 steps"),
    ],
)
def test_wrong_numbers_are_refused(byte_reader, pictures, change, error, message):
    encoder = built("two", byte_reader)
    given = {"batches": [np.array([0, 1])], "steps": 1, "rate": 1e-3} | change
    batches = given.pop("batches")
    with pytest.raises(error, match=message):
        tune_dual(encoder, [(pictures[0], "a"), (pictures[1], "b")], Clippings(), batches, **given)


def test_a_loss_that_is_no_number_stops_training(byte_reader, pictures):
    encoder = built("two", byte_reader)
    with torch.no_grad():
        next(iter(encoder.model.text_projection.parameters())).fill_(torch.nan)
    rule = Clippings(stage="pairs")
    with pytest.raises(TokenryError, match="loss of step 1 is nan"):
        tune_dual(encoder, [(pictures[0], "a"), (pictures[1], "b")], rule, [np.array([0, 1])],
                  steps=1)  # fmt: skip
