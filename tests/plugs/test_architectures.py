"""Every supported architecture: the generic block is its own, and keep=1 changes nothing."""

import pytest
import torch

from tokenry.errors import UnsupportedModelError
from tokenry.plugs.attach import attach
from tokenry.plugs.blocks import TOWERS, find_tower
from tokenry.plugs.encoder import blocks, encode, image_size, patch_size
from tokenry.vision import Grid, Random, ToMe

MODELS = [
    "ViTModel",
    "ViTForImageClassification",
    "DeiTModel",
    "DeiTForImageClassification",
    "DeiTForImageClassificationWithTeacher",
    "Dinov2Model",
    "Dinov2ForImageClassification",
    "Dinov2WithRegistersModel",
    "Dinov2WithRegistersForImageClassification",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "CLIPModel",
    "CLIPForImageClassification",
    "SiglipVisionModel",
    "SiglipModel",
    "SiglipForImageClassification",
]


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_keep_one_is_bit_identical(name, build, inputs, tensors):
    model = build(name)
    expected = tensors(model(**inputs(model)))
    with attach(model, "tome", keep=1.0):
        found = tensors(model(**inputs(model)))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("method", [ToMe(keep=0.5), Grid(keep=0.5)], ids=["middle", "before"])
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_reduced_outputs_are_finite_and_shaped_as_before(name, method, build, inputs, tensors):
    model = build(name)
    expected = tensors(model(**inputs(model)))
    with attach(model, method) as attachment:
        found = tensors(model(**inputs(model)))
    assert attachment.trace.share == pytest.approx(0.5, abs=1 / 64)
    for key, value in found.items():
        assert value.isfinite().all()
        if "hidden_state" not in key:
            assert value.shape == expected[key].shape


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", TOWERS)
def test_generic_block_equals_the_models_own(name, training, build):
    rates = {
        "hidden_dropout_prob": 0.5,
        "drop_path_rate": 0.5,
        "attention_probs_dropout_prob": 0.5,
        "attention_dropout": 0.5,
    }
    model = build(name, **rates).train(training)
    tower, row = find_tower(model)
    x = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1))
    for block in row.blocks(tower)[:2]:
        torch.manual_seed(3)
        expected = block(x, None)
        torch.manual_seed(3)
        assert torch.equal(row.feed(block, row.attend(block, x, None, {})), expected)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_encode_answers_in_one_shape(name, build, images):
    model = build(name)
    encoded = encode(model, images(2))
    assert encoded.pooled.shape[0] == 2
    assert encoded.pooled.ndim == 2
    assert encoded.rows.shape[0] == 2
    assert (encoded.logits is not None) == ("Classification" in name)
    assert len(blocks(model)) == 6
    assert (patch_size(model), image_size(model)) == (4, 32)


@pytest.mark.parametrize("name", ["CLIPModel", "SiglipModel", "CLIPVisionModelWithProjection"])
@torch.no_grad()
def test_encode_takes_the_projected_embedding(name, build, images, inputs):
    model = build(name)
    pooled = torch.nn.functional.normalize(encode(model, images(2)).pooled, dim=-1)
    expected = torch.nn.functional.normalize(model(**inputs(model)).image_embeds, dim=-1)
    assert torch.allclose(pooled, expected, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["Dinov2ForImageClassification", "SiglipForImageClassification", "CLIPVisionModel"]
)
@torch.no_grad()
def test_encode_gives_the_rows_of_the_encoder(name, build, images):
    model = build(name)
    tower, _ = find_tower(model)
    with attach(tower, ToMe(keep=0.5)):
        expected = tower(images(2)).last_hidden_state
    with attach(model, ToMe(keep=0.5)):
        rows = encode(model, images(2)).rows
    assert torch.allclose(rows, expected, atol=1e-6)


@torch.no_grad()
def test_encode_needs_a_pooled_output(build, images):
    model = build("SiglipVisionModel", vision_use_head=False)
    with pytest.raises(UnsupportedModelError, match="SiglipVisionModel: has no pooled output"):
        encode(model, images(1))


@torch.no_grad()
def test_other_image_sizes_run(build, images):
    model = build("Dinov2Model")
    with attach(model, Random(keep=0.5)) as attachment:
        model(images(2, side=24))
        assert (attachment.trace.full, attachment.trace.grid) == (37, (6, 6))
        model(torch.randn(1, 3, 24, 40))
        assert (attachment.trace.full, attachment.trace.grid) == (61, (6, 10))


@torch.no_grad()
def test_tuple_outputs_work(build, images):
    model = build("Dinov2ForImageClassification", num_labels=3)
    with attach(model, ToMe(keep=0.5)):
        expected = model(images(2)).logits
        (logits, *_) = model(images(2), return_dict=False)
    assert torch.equal(logits, expected)


@torch.no_grad()
def test_eager_attention_gives_the_same_numbers(build, images):
    model = build("ViTModel")
    results = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        with attach(model, ToMe(keep=0.5)):
            results.append(model(images(2)).last_hidden_state)
    assert torch.allclose(*results, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_model_gives_the_same_numbers(build, images, untyped):
    model = build("Dinov2Model", num_hidden_layers=2)
    with attach(model, ToMe(keep=0.75)):
        expected = model(images(2)).pooler_output
        try:
            found = torch.compile(model, backend="eager")(images(2)).pooler_output
        finally:
            torch.compiler.reset()
    assert torch.allclose(found, expected, atol=1e-5)
