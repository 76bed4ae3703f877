"""Texts to token vectors: windows, spans, skip lists, projections, and other people's encoders."""

import json
import shutil

import pytest
import torch
import transformers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from tokenry.checks.models import liven
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.token_encoder import TokenEncoder
from tokenry.plugs.token_windows import PlainReader

WORDS = ["the", "cat", "sat", "dog", "mat", ",", ".", "a", "##s"]


def tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {word: i for i, word in enumerate(special + WORDS)}
    inner = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=32,
        **{f"{name}_token": token for name, token in names.items()},
    )


def model():
    config = BertConfig(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    return liven(BertModel(config, add_pooling_layer=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder")
    model().save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return TokenEncoder.load(folder)


def test_a_token_has_its_state_and_its_place(encoder):
    text = "The cat, a dogs"
    made = encoder.encode([text])
    spans = [text[a:b] for a, b in made.spans.tolist()]
    assert spans == ["The", "cat", "a", "dog", "s"]
    ids = encoder.reader.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        states = encoder.reader.model(**ids).last_hidden_state[0]
    kept = torch.nn.functional.normalize(states[[1, 2, 4, 5, 6]], dim=-1)
    assert torch.allclose(made.tokens[0].float(), kept, atol=1e-3)
    pooled = torch.nn.functional.normalize(states.mean(0), dim=-1)
    assert torch.allclose(made.pooled[0].float(), pooled, atol=1e-3)


def test_queries_keep_what_documents_skip(encoder, folder):
    text = "cat, dog."
    assert encoder.encode([text]).tokens.lengths.tolist() == [2]
    assert encoder.encode([text], "query").tokens.lengths.tolist() == [4]
    all_of_it = TokenEncoder.load(folder, skip="nothing")
    assert all_of_it.encode([text]).tokens.lengths.tolist() == [4]
    assert all_of_it.fingerprint() != encoder.fingerprint()


def test_a_text_longer_than_the_encoder_is_read_whole(encoder):
    text = "the cat sat " * 40
    made = encoder.encode([text, "cat", ""])
    assert made.tokens.lengths.tolist() == [120, 1, 0]
    assert [text[a:b] for a, b in made.spans[:120].tolist()] == text.split()
    assert made.pooled.float().norm(dim=1).tolist() == pytest.approx([1, 1, 0], abs=1e-3)


def test_a_batch_changes_nothing(encoder):
    texts = ["the cat", "a dog sat, the mat " * 9, "mat"]
    together = encoder.encode(texts)
    for number, text in enumerate(texts):
        alone = encoder.encode([text])
        assert torch.allclose(alone.tokens.values, together.tokens[number], atol=2e-3)
        assert torch.allclose(alone.pooled[0], together.pooled[number], atol=2e-3)


def test_fewer_dimensions_keep_the_dot_products(encoder):
    texts = ["the cat sat, a dog", "mat dogs the a cat sat"]
    full = encoder.encode(texts).tokens.values.float()
    narrow = encoder.narrowed(texts, 9)
    rows = narrow.encode(texts).tokens.values.float()
    assert narrow.dimension == rows.shape[1] == 9
    assert torch.allclose(rows @ rows.T, full @ full.T, atol=0.02)
    assert narrow.fingerprint()["projection"] != encoder.fingerprint()["projection"]
    with pytest.raises(UsageError, match="has a projection already"):
        narrow.narrowed(texts, 4)
    with pytest.raises(UsageError, match="cannot be learned from 1 vectors"):
        encoder.narrowed(["cat"], 4)


def test_hostile_texts_are_read(encoder):
    made = encoder.encode(["\udc80 cat \x00", "\u202ecat", "🙂" * 50])
    assert made.tokens.lengths.tolist()[1] >= 1
    assert bool(made.tokens.values.isfinite().all())


def test_what_does_not_fit_is_refused(encoder, folder):
    with pytest.raises(UsageError, match="takes vectors of 5 dimensions, the model gives 16"):
        TokenEncoder.load(folder, projection=torch.ones(5, 2))

    class Slow:
        is_fast = False

    with pytest.raises(UnsupportedModelError, match="does not say where tokens stand"):
        PlainReader(model(), Slow())


@pytest.mark.slow
def test_a_multi_vector_checkpoint_is_read_by_its_library(folder, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    made = MultiVectorEncoder(str(folder), device="cpu")
    made.save(str(tmp_path / "colbert"))
    encoder = TokenEncoder.load(tmp_path / "colbert")
    texts = ["the cat sat", "a dog"]
    found = encoder.encode(texts)
    expected = made.encode_document(texts)
    assert encoder.dimension == 128
    for rows, theirs in zip(found.tokens, expected, strict=True):
        assert torch.allclose(rows.float(), theirs, atol=1e-3)
    spans = [texts[0][a:b] for a, b in found.spans[:5].tolist() if b > a]
    assert spans == ["the", "cat", "sat"]
    json.dumps(encoder.fingerprint())
    place = tmp_path / "models--some--colbert"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    shutil.copytree(tmp_path / "colbert", place / "snapshots" / "abc")
    downloaded = TokenEncoder.load(
        "multivector:some/colbert", cache_folder=str(tmp_path), local_files_only=True
    )
    assert downloaded.fingerprint() == encoder.fingerprint()


def test_a_plain_encoder_gets_no_random_projection(folder):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(UsageError, match="is no multi-vector model, and would be given"):
        TokenEncoder.load(f"multivector:{folder}")


@pytest.mark.parametrize("name", ["T5Model", "BartModel"])
def test_of_an_encoder_decoder_the_encoder_reads(name):
    cls = getattr(transformers, name)
    sizes = {"d_model": 16, "d_kv": 8, "num_heads": 2, "num_layers": 1, "d_ff": 32}
    more = {"encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 32}
    both = liven(cls(cls.config_class(vocab_size=16, decoder_start_token_id=0, **sizes, **more)))
    made = TokenEncoder("tiny", PlainReader(both, tokenizer())).encode(["the cat", "a"])
    ids = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        expected = both.get_encoder()(input_ids=ids).last_hidden_state[0, 1:3]
    expected = torch.nn.functional.normalize(expected, dim=-1).half()
    torch.testing.assert_close(made.tokens.values[:2], expected, atol=2e-3, rtol=0)


def test_positions_that_begin_behind_padding_are_not_overrun():
    """RoBERTa's table of 34 holds 32 tokens."""
    config = RobertaConfig(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    reader = tokenizer()
    reader.model_max_length = 10**30
    made = PlainReader(liven(RobertaModel(config, add_pooling_layer=False)), reader)
    assert made.room == 30
    assert len(TokenEncoder("tiny", made).encode(["the cat " * 40]).tokens.values) == 80
