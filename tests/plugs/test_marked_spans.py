"""Marks that are tokens, windows that fit, and an encoder of mentions that is saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.mentions import CLOSE, OPEN
from tokenry.plugs.marked_spans import check_marks, embed, fitted, span_encoder

pytest.importorskip("sentence_transformers")

WORDS = ["near", "paris", "rome", "the", "river", "un", "##know", "##n", ",", "ent", "<", ">", "/"]


def bert():
    """A tiny BERT with a WordPiece tokenizer that does not know the marks."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, **{f"{key}_token": value for key, value in names.items()}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
            )
        )
    return model, tokenizer


@pytest.fixture(scope="module")
def encoder():
    return span_encoder(bert(), longest=16)


def test_the_marks_become_tokens_that_start_at_the_mean(encoder):
    plain, _ = bert()
    before = plain.get_input_embeddings().weight
    after = encoder[0].auto_model.get_input_embeddings().weight
    ids = encoder.tokenizer.convert_tokens_to_ids([OPEN, CLOSE])
    assert ids == [len(before), len(before) + 1]
    assert torch.equal(after[: len(before)], before)
    assert torch.allclose(after[ids], before.mean(0).expand(2, -1))
    read = encoder.tokenizer(f"near {OPEN} paris {CLOSE} , the river")["input_ids"]
    assert [read.count(one) for one in ids] == [1, 1]
    assert encoder.tokenizer.mask_token == "[MASK]"  # noqa: S105


def test_a_tokenizer_without_them_is_refused():
    from tokenry.plugs.text_encoder import text_encoder

    plain = text_encoder(bert())
    with pytest.raises(UsageError, match="splits the mark '<ENT>' into pieces"):
        embed(plain)
    with pytest.raises(UsageError, match="span_encoder adds it"):
        check_marks(plain.tokenizer)


def test_a_saved_encoder_keeps_its_marks(encoder, tmp_path):
    encoder.save_pretrained(str(tmp_path / "e"), create_model_card=False)
    again = span_encoder(str(tmp_path / "e"), longest=16)
    assert len(again.tokenizer) == len(encoder.tokenizer)
    texts = [f"near {OPEN} paris {CLOSE}", f"{OPEN} rome {CLOSE}"]
    assert np.allclose(embed(again)(texts), embed(encoder)(texts), atol=1e-6)


@given(
    st.lists(st.sampled_from(["near", "unknown", "paris,", "rome"]), max_size=30),
    st.lists(st.sampled_from(["paris", "unknown river"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["near", "unknown", "the"]), max_size=30),
    st.integers(16, 40),
)
@settings(deadline=None, max_examples=60)
def test_a_window_fits_and_keeps_the_mention(encoder, before, mention, after, longest):
    tokenizer = encoder.tokenizer
    middle = f"{OPEN} {' '.join(mention)} {CLOSE}"
    text = " ".join([*before, middle, *after])
    found = fitted(text, tokenizer, longest)
    assert middle in found
    assert len(tokenizer(found)["input_ids"]) <= longest
    left, _, right = found.partition(middle)
    assert " ".join(before).endswith(left.strip())
    assert " ".join(after).startswith(right.strip())
    if len(tokenizer(text)["input_ids"]) <= longest:
        assert found == text


def test_room_that_one_side_leaves_goes_to_the_other(encoder):
    left, right = " ".join(["near"] * 30), " ".join(["the"] * 30)
    middle = f"{OPEN} rome {CLOSE}"
    for text, counts in (
        (f"{left} {middle}", (11, 0)),
        (f"{middle} {right}", (0, 11)),
        (f"{left} {middle} {right}", (5, 6)),
        (f"{left} {middle} the", (10, 1)),
    ):
        found = fitted(text, encoder.tokenizer, 16).split()
        assert (found.count("near"), found.count("the")) == counts


def test_equal_texts_get_equal_vectors_of_length_one(encoder):
    texts = [f"{OPEN} rome {CLOSE} the river", "rome", f"{OPEN} rome {CLOSE} the river"]
    found = embed(encoder)(texts)
    assert np.array_equal(found[0], found[2])
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
