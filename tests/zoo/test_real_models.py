"""The real models: equal to their source, and good at what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image

from tokenry.data.manpages import manpages
from tokenry.zoo import Loaded, find, load, load_saliency_decoder

pytestmark = pytest.mark.slow

SALIENCY = find("dinov2-small-saliency")
needs_saliency = pytest.mark.skipif(not SALIENCY.installed, reason=SALIENCY.install)

# Every 56th row and column of the ONNX output on `golden_input()`, by onnxruntime 1.31.1 on CPU:
# InferenceSession("vit_s_focus.onnx").run(None, {"input_image": golden_input()})[0][0, 0]
GOLDEN = [
    [0.3996143937110901, 0.4283897280693054, 0.6120522618293762, 0.4129179120063782],
    [0.622809886932373, 0.5169160962104797, 0.7935508489608765, 0.5585299730300903],
    [0.6836227774620056, 0.6592257022857666, 0.8312011957168579, 0.6745002865791321],
    [0.6299579739570618, 0.6577897071838379, 0.9364034533500671, 0.6483473777770996],
]


def golden_input() -> np.ndarray:
    rows, columns = np.arange(224)[:, None] / 20, np.arange(224) / 12
    planes = [2 * np.sin(rows * (c + 1)) * np.cos(columns) for c in range(3)]
    return np.stack(planes)[None].astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENRY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def smollm2(own_cache) -> Loaded:
    return load("zoo:smollm2-135m")


def saliency(pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    loaded, decoder = load("zoo:dinov2-small-saliency"), load_saliency_decoder()
    x = torch.as_tensor(pixels)
    with torch.no_grad():
        tokens = loaded.model(x).last_hidden_state
        return decoder(tokens[:, 1:], (x.shape[2] // 14, x.shape[3] // 14))


@needs_saliency
def test_saliency_equals_onnxruntime() -> None:
    found = saliency(golden_input())[0, ::56, ::56]
    torch.testing.assert_close(found, torch.tensor(GOLDEN), atol=2e-5, rtol=0)


@needs_saliency
def test_saliency_equals_the_onnx_graph_on_another_grid() -> None:
    pixels = golden_input()[:, :, :42, :70]
    graph = ReferenceEvaluator(str(SALIENCY.locate()))
    expected = graph.run(None, {"input_image": pixels})[0][:, 0]
    torch.testing.assert_close(saliency(pixels), torch.tensor(expected), atol=2e-5, rtol=0)


@needs_saliency
def test_saliency_pictures_are_padded_to_a_black_bordered_square() -> None:
    processor = load("zoo:dinov2-small-saliency").processor
    wide = Image.new("RGB", (100, 50), (255, 255, 255))
    pixels = processor(wide, return_tensors="pt")["pixel_values"][0, 0]
    assert pixels.shape == (224, 224)
    black, white = -0.485 / 0.229, (1 - 0.485) / 0.229
    for row, expected in ((0, black), (54, black), (60, white), (160, white), (223, black)):
        torch.testing.assert_close(pixels[row], torch.full((224,), expected), atol=1e-4, rtol=0)
    large = {"max_height": 518, "max_width": 518}
    pixels = processor(wide, size=large, crop_size={"height": 518, "width": 518})["pixel_values"]
    assert np.shape(pixels[0]) == (3, 518, 518)


def test_smollm2_continues_a_sentence(smollm2) -> None:
    inputs = smollm2.processor("The capital of France is", return_tensors="pt")
    tokens = smollm2.model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert smollm2.processor.decode(tokens[0]).startswith("The capital of France is Paris")


def test_smollm2_has_its_chat_template_and_length(smollm2) -> None:
    chat = [{"role": "user", "content": "hi"}]
    text = smollm2.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    assert smollm2.processor.model_max_length == 8192


def test_smollm2_digits_are_tokens_of_their_own(smollm2) -> None:
    tokenizer = smollm2.processor
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("in   2024")["input_ids"])
    assert tokens == ["in", "ĠĠĠ", "2", "0", "2", "4"]


def test_the_draft_reads_what_smollm2_reads_and_guesses_what_it_says(smollm2) -> None:
    draft, pages = load("zoo:smollm2-draft"), manpages().examples
    assert draft.processor.get_vocab() == smollm2.processor.get_vocab()
    assert draft.model.dtype == torch.float32
    held_out = list(dict.fromkeys(page.text for page in pages))[10]
    ids = smollm2.processor(held_out[:1500], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        guess, said = (one.model(ids).logits[0].argmax(-1) for one in (draft, smollm2))
    # To say the word that SmolLM2 says most often, always, is right for one in fifteen.
    always = (said == said.mode().values).float().mean()
    assert (guess == said).float().mean() > 2 * always


def test_minilm_puts_like_sentences_together() -> None:
    loaded = load("zoo:minilm-l6")
    sentences = ["A man is playing a guitar.", "Someone plays an instrument.", "Tax law is dry."]
    inputs = loaded.processor(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = loaded.model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    means = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))
    cosines = means @ means.T
    assert cosines[0, 1] > 0.5
    assert cosines[0, 2] < 0.2


def test_second_load_does_not_convert(monkeypatch) -> None:
    from tokenry.zoo import minilm

    first: Path = load("zoo:minilm-l6").model.config._name_or_path
    monkeypatch.setattr(minilm, "convert", None)
    assert load("zoo:minilm-l6").model.config._name_or_path == first
