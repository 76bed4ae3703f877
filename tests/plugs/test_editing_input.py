"""What an editable cache takes in: text, ids, rules and models, right and wrong ones."""

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenry.cache import Pie
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.ops.edits import Edit
from tokenry.plugs.editing import EditableCache
from tokenry.vision import ToMe

BASE = {"rope_theta": 10_000.0}
IDS = list(range(5, 45))


def state(cache):
    """Everything that a refused edit must leave alone."""
    layers = cache.past().layers
    return [cache.logits(), *(x.keys for x in layers), *(x.values for x in layers)]


def assert_unchanged(cache, before):
    assert all(torch.equal(a, b) for a, b in zip(state(cache), before, strict=True))


# --- text -------------------------------------------------------------------------------------

CODE = "def area(width, height):\n    return width * height\n\n\nprint(area(3, 4))\n"


@pytest.fixture(scope="module")
def tokenizer():
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=raw.pre_tokenizer.alphabet())
    raw.train_from_iterator([CODE] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw)


@pytest.fixture(scope="module")
def coder(causal):
    return causal("Llama", vocab_size=320)


@pytest.mark.parametrize(
    "after",
    [
        CODE.replace("area", "size"),
        CODE.replace("    return", "    # two sides\n    return"),
        CODE.replace("def area(width, height):\n", ""),
        CODE + "print(area(5, 6))\n",
        "x",
    ],
)
def test_update_holds_the_tokens_of_the_new_text(coder, tokenizer, after):
    cache = EditableCache(coder, tokenizer, CODE)
    plan = cache.update(after)
    ids = tokenizer(after)["input_ids"]
    assert cache.ids == tuple(ids)
    assert cache.text == after
    fresh = EditableCache(coder, None, ids)
    torch.testing.assert_close(state(cache)[1], state(fresh)[1], atol=1e-5, rtol=1e-5)
    assert plan.encoded <= len(ids)


def test_update_encodes_only_what_changed(coder, tokenizer):
    cache = EditableCache(coder, tokenizer, CODE)
    changed = len(tokenizer(" +")["input_ids"])
    assert cache.update(CODE.replace(" * ", " + ")).encoded == changed + 1


def test_tokens_joined_at_a_border_are_encoded_by_update_and_refused_by_edit(coder, tokenizer):
    ids = tokenizer(CODE)["input_ids"]
    place = next(i for i, t in enumerate(ids) if tokenizer.decode([t]) == " width")
    whole = ids[place]
    letters = tokenizer.convert_tokens_to_ids(["Ġ", "w", "i", "d", "t", "h"])
    cache = EditableCache(coder, tokenizer, CODE)
    before = state(cache)
    with pytest.raises(UsageError, match=r"other tokens from place .* give the whole new text to"):
        cache.edit(place, place + 1, letters)
    assert_unchanged(cache, before)
    assert cache.edit(place, place + 1, [whole, whole]).encoded == 3
    assert cache.text.count(" width width") == 1

    split = CODE.replace("return width", "return wi dth")
    cache.update(split)
    assert cache.ids == tuple(tokenizer(split)["input_ids"])
    assert cache.ids.count(whole) == ids.count(whole) - 1
    cache.update(CODE)
    assert cache.ids == tuple(ids)


def test_ids_given_as_ids_are_not_doubted(coder, tokenizer):
    letters = tokenizer.convert_tokens_to_ids(["w", "i", "d", "t", "h"])
    cache = EditableCache(coder, tokenizer, tokenizer(CODE)["input_ids"])
    cache.edit(0, 0, letters)
    assert cache.ids[:5] == tuple(letters)


# --- wrong use --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ((30, 41, [1]), r"start=30, stop=41 is not a range of the text's 40 tokens"),
        ((-3, 2, []), r"start=-3"),
        ((9, 8, []), r"allowed is 0 <= start <= stop <= 40"),
        ((0, 40, []), r"no token would be left"),
        ((3, 4, [97]), r"token id 97 is not in the model's vocabulary; allowed is 0 to 96"),
        ((3, 4, [-1]), r"token id -1"),
        ((3, 4, "12"), r"'12' is not a row of token ids"),
        ((3, 4, torch.tensor([1.5])), r"is not a row of token ids"),
    ],
)
def test_wrong_edits_are_refused_and_change_nothing(llama, untyped, edit, message):
    cache = EditableCache(llama, None, IDS)
    before = state(cache)
    with pytest.raises(UsageError, match=message):
        cache.edit(*edit)
    assert len(cache) == 40
    assert_unchanged(cache, before)


def test_wrong_edits_at_once_are_refused(llama):
    cache = EditableCache(llama, None, IDS)
    with pytest.raises(UsageError, match=r"\[1, 4\) and \[3, 5\) overlap"):
        cache.apply(Edit(1, 4), Edit(3, 5))
    with pytest.raises(UsageError, match=r"token id 97 is not"):
        cache.apply(Edit(1, 4, (97,)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def", r"a text needs a tokenizer, got None"),
        ([], r"no token would be left"),
        (torch.zeros(2, 5, dtype=torch.int64), r"shape \(2, 5\) are not one text"),
        ([5, 500], r"token id 500"),
    ],
)
def test_wrong_content_is_refused(llama, content, message):
    with pytest.raises(UsageError, match=message):
        EditableCache(llama, None, content)


def test_wrong_rules_are_refused(llama, untyped):
    with pytest.raises(UsageError, match=r"Pie: strategy='rotate' is not 'pie' or 'reuse'"):
        EditableCache(llama, None, IDS, strategy="rotate")
    with pytest.raises(UsageError, match=r"Pie\(\) is configured already; set tail on it"):
        EditableCache(llama, None, IDS, Pie(), tail=2)
    with pytest.raises(UsageError, match=r"ToMe\(keep=1.0\) is no editor of a cache; give pie"):
        EditableCache(llama, None, IDS, ToMe())
    with pytest.raises(UnknownNameError, match=r"method 'pies' is unknown; nearest: pie"):
        EditableCache(llama, None, IDS, "pies")
    with pytest.raises(UsageError, match=r"text needs a tokenizer"):
        _ = EditableCache(llama, None, IDS).text


LONG = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("GPT2", {}, r"GPT2LMHeadModel has no rotary positions"),
        ("GPTNeoX", {}, r"GPTNeoXForCausalLM \(gpt_neox\) is not a causal language model whose"),
        (
            "Llama",
            {"rope_parameters": BASE | {"rope_type": "dynamic", "factor": 2.0}},
            r"rope_type='dynamic', whose frequencies depend on the length",
        ),
        ("Phi3", {"rope_parameters": BASE | LONG | {"rope_type": "longrope"}}, r"'longrope'"),
        ("Mistral", {"sliding_window": 16}, r"sliding-window or linear attention in 4 of 4 layers"),
        (
            "Qwen2",
            {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 3},
            r"in 1 of 4 layers \(the first is layer 3\)",
        ),
    ],
)
def test_models_whose_keys_cannot_be_moved_are_refused(causal, family, changes, message):
    if family == "GPT2":
        config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=97)
        model = transformers.GPT2LMHeadModel(config)
    else:
        model = causal(family, **changes)
    with pytest.raises(UnsupportedModelError, match=message):
        EditableCache(model, None, IDS)


def test_a_model_without_a_language_head_is_refused(llama):
    with pytest.raises(UnsupportedModelError, match=r"LlamaModel \(llama\) is not a causal"):
        EditableCache(llama.model, None, IDS)
